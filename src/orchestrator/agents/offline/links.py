"""What a sentence says of two terms: subject, verb and object, or nothing.

A link is taken only where one clause holds all three whole: the clause begins with the first term, a verb
follows at once, and the second term ends its object. Everything else is left unsaid, since half a clause
says something else than its author did.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DETERMINER = r"(?:the|a|an|its|their|each|every|all|some|most|many)"
CONJUNCTION = r"(?:when|because|where|while|if|once|since|although)"
# Before the subject: the start of a clause, an article, and at most two words that describe it.
CLAUSE_START = re.compile(
    rf"(?:(?:^|[;:.]\s|,\s(?:and|but|so)\s)(?:{CONJUNCTION}\s)?|\b{CONJUNCTION}\s)"
    rf"(?:{DETERMINER}\s)?(?P<describing>(?:[\w-]+\s){{0,2}})$",
    re.IGNORECASE,
)
JOINTS_TEXT = """
    of in on at by to from with for into about or but not no never as than this these those that
    less more few fewer enough too only almost nearly the a an one such
"""
JOINTS = frozenset(JOINTS_TEXT.split())
ADVERBS = r"(?:also|always|often|usually|sometimes|mainly|mostly|partly|directly|together)"
PREPOSITIONS = r"(?:in|into|from|on|to|by|with|at|through|of|for|around|inside|between|against|after|before)"
# Verbs that tell a relation on any subject; others count where their ending shows the third person.
PLAIN_VERBS = """
    absorb adopt attack bring build burn carry cause change collect come consist consume contain
    control convert count create cut decide depend destroy drive enter fill fix follow form gain
    give govern hold include increase invade join lack lead let limit live lose make meet move need
    occur open own pay produce protect pump reach receive reflect release replace require restore
    rule send share split start stop store support surround swear take transport turn use waste
    yield
"""
PAST_VERBS = """
    became began bought broke brought built came drew drove fell fought found gave held led left lost made
    met overthrew sent sold spread took wrote won
"""
VERB = (
    rf"(?:{'|'.join(PLAIN_VERBS.split())}|{'|'.join(PAST_VERBS.split())}"
    r"|[a-z]{3,}(?:[^su\W]s|ed)|goes|has|had)"
)
PARTICIPLE = (
    r"(?:[a-z]{3,}ed|made|done|found|built|held|called|kept|taken|led|lost|sent|set|driven|known|drawn)"
)
SAID = re.compile(
    rf"^(?P<label>(?:{ADVERBS} )?(?:(?:is|are|was|were) {PARTICIPLE} {PREPOSITIONS}"
    r"|(?:is|are|was|were) (?:part|parts|made|full|in|inside)(?: of)?"
    rf"|{VERB}(?: place)?(?: {PREPOSITIONS})?))"
    rf"(?: {DETERMINER})?(?P<describing>(?: [\w-]+){{0,2}})$"
)
IS_A = re.compile(r"^(?P<label>(?:is|was) (?:a|an|the))(?P<describing>(?: [\w-]+){0,2})$")
IS_WHAT_DOES = re.compile(
    rf"^(?:is|are|was|were) (?:{DETERMINER} )?[\w -]{{1,40}}? (?:that|which) "
    rf"(?P<label>{VERB}(?: {PREPOSITIONS})?)(?: {DETERMINER})?(?P<describing>(?: [\w-]+){{0,2}})$"
)
OBJECT_END = re.compile(
    r"^(?:$|[.,;:!?)]|\s(?:and|or|in|on|at|by|to|from|with|for|into|that|which|when|where|while|because|if|as"
    r"|but|so|during"
    r"|under|over|after|before|through|inside|around|between|until|without|of|up|down|out|off|away)\b)"
)
# "One molecule of glucose", "a number of men": what counts here stands behind the "of".
MEASURES = re.compile(
    r"^(?:molecules?|parts?|kinds?|pieces?|numbers?|sets?|rings?|stacks?|amounts?"
    r"|types?|forms?|chains?|groups?"
    r"|members?|sorts?|lots?|periods?|halves|half|ends?|sides?)$",
    re.IGNORECASE,
)
ASIDE = re.compile(r"^, [^,;:.]{3,80}, ")
MAX_LABEL_CHARS = 28


def said_between(
    sentence: str, subject: tuple[int, int], object_: tuple[int, int], is_noun: Callable[[str], bool]
) -> str:
    """The verb that links the two terms at these places, or nothing where no clause says it whole.

    ``is_noun`` tells nouns apart from the words that describe one.
    """
    before, after = sentence[: subject[0]], sentence[object_[1] :]
    start = CLAUSE_START.search(before)
    if start is None or not all(map(is_noun, start["describing"].split())) or OBJECT_END.match(after) is None:
        return ""
    if after.startswith(" of") and MEASURES.match(sentence[object_[0] : object_[1]]):
        return ""
    between = ASIDE.sub("", " ".join(sentence[subject[1] : object_[0]].split()))
    for pattern in (IS_WHAT_DOES, IS_A, SAID):
        match = pattern.match(between)
        if match and not _joins(match["describing"]) and not any(map(is_noun, match["describing"].split())):
            label = _being(match["label"], sentence[object_[0]]) if pattern is IS_A else match["label"]
            return label if len(label) <= MAX_LABEL_CHARS else ""
    return ""


def _being(label: str, initial: str) -> str:
    """The article that fits: who "is the molecule that" does something is a molecule."""
    return f"{label.partition(' ')[0]} {'an' if initial.casefold() in 'aeiou' else 'a'}"


def _joins(describing: str) -> bool:
    return (
        any(word.casefold() in JOINTS - {"and"} for word in describing.split()) or describing.strip() == "and"
    )
