"""Sentences that say what something is."""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline.languages import STOPWORDS
from orchestrator.agents.offline.nouns import MONTHS
from orchestrator.agents.offline.quoting import stands_alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.agents.offline.reading import Block, Sentence

MAX_SUBJECT_WORDS = 5
MIN_MEANING_CHARS = 12

# By language: the words between a term and its meaning.
LINKS = {
    "en": r"(?:is|are|was|were) (?:defined as|the (?:name|term) for|a|an|the|one of|any|where|when|how"
    r"|what)(?! (?:first|second|third|fourth|last|next|same|only|most|least|best|worst)\b)"
    r"|means|mean|refers? to|denotes?|stands for|describes|consists? of|is short for",
    "de": r"(?:ist|sind) (?:ein|eine|der|die|das|einer|jede[rs]?)|bedeutet|bezeichnet|heißt|steht für"
    r"|versteht man",
    "fr": r"(?:est|sont) (?:un|une|le|la|les|l['’]|des)|signifie|désigne|se définit comme",
    "es": r"(?:es|son) (?:un|una|el|la|los|las|unos)|significa|se refiere a|designa|se define como",
    "it": r"(?:è|sono) (?:un|una|uno|il|la|i|le|gli|l['’])|significa|indica|si riferisce a",
    "pt": r"(?:é|são) (?:um|uma|o|a|os|as)|significa|refere-se a|designa",
    "nl": r"(?:is|zijn) (?:een|de|het)|betekent|verwijst naar|staat voor",
    "ru": r"(?:—|–|-) это|это|означает|называется|называют",
}
SHORT_SUBJECT = re.compile(
    r"^(?P<subject>[^\s:–—][^:–—]{0,60}?)\s?(?::|\s[–—-])\s+(?P<meaning>\S.{11,})$", re.DOTALL
)
ARTICLE = re.compile(
    r"^(?:the|a|an|der|die|das|ein|eine|le|la|les|un|une|el|los|las|il|lo|i|gli|o|os|as|de|het|een)\s+|^l['’]",
    re.IGNORECASE,
)
# "This is the …", "There are a …" point at something; they define nothing.
EXAMPLE = re.compile(r"^(?:\w+ ){0,2}(?:example|instance)s?\b", re.IGNORECASE)
POINTER_WORDS = """
    this that these those it they there here he she we you i what which who one each both all another
    some many result reason problem example idea question note notes answer goal point aim following
    first second third next last other others step case thing however therefore warning tip hint nb
    important remember
"""
POINTERS = frozenset(POINTER_WORDS.split())
NAME = r"[A-Z][\w'’-]*(?: (?:of |the )*[A-Z][\w'’-]*){0,4}"
# "the Bastille, a fortress and prison": a name with what it is beside it.
BESIDE = re.compile(rf"(?P<subject>\b{NAME}), (?P<meaning>(?:a|an) [a-z][^,;:.]{{6,90}})(?=[,;.])")
PLACED = re.compile(r"^(?:in|on|at|by|from|after|before|during|near|to|with|under)(?: the)? $", re.IGNORECASE)
# "which is called the Terror": what follows is the name, and the sentence says what bears it.
CALLED = re.compile(
    r"\b(?:is|are|was|were) (?:also |often |usually )?(?:called|known as|named|termed) (?:the |an? )?"
    r"(?P<subject>[\w'’-]+(?: [\w'’-]+){0,3}?)"
    r"(?=[,.;:)]|$| (?:and|or|that|which|because|by|in|where|wanted)\b)"
)
CJK_LINK = re.compile(
    r"^(?P<subject>[\u3040-\u30ff\u3400-\u9fffA-Za-z]{1,14}?)"
    r"(?:是一种|是一種|是指|是一个|是由|是|とは|指的是|叫做|意思是)[、，]?(?P<meaning>.{6,})$"
)


@dataclass(frozen=True, slots=True)
class Definition:
    """A term and the sentence that says what it is, word for word."""

    term: str
    sentence: str
    meaning: str


def definitions(blocks: Iterable[Block], language: str) -> list[Definition]:
    """One definition per term, in the order of the text; the first sentence that defines a term wins."""
    found: dict[str, Definition] = {}
    for block in blocks:
        for number, sentence in enumerate(block.sentences if block.kind != "heading" else ()):
            if not stands_alone(sentence.text, language):
                continue
            for definition in _named(sentence) if language == "en" else ():
                found.setdefault(definition.term.casefold(), definition)
            defined = _defined(sentence, language, starts_block=number == 0)
            if defined is not None:
                found.setdefault(defined.term.casefold(), defined)
    return list(found.values())


def _named(sentence: Sentence) -> Iterator[Definition]:
    """What is named in passing: by what stands beside it, or by what it is called."""
    text = " ".join(sentence.text.split())
    for match in (*BESIDE.finditer(text), *CALLED.finditer(text)):
        names = [word.casefold() for word in match["subject"].split()]
        placed = match.re is BESIDE and PLACED.match(text[: match.start()])
        if not placed and not MONTHS.intersection(names) and not STOPWORDS["en"].intersection(names[:1]):
            yield Definition(match["subject"], sentence.text, text)


def _defined(sentence: Sentence, language: str, *, starts_block: bool) -> Definition | None:
    text = " ".join(sentence.text.split())
    if text.endswith("?"):
        return None
    links = LINKS.get(language, LINKS["en"])
    match = CJK_LINK.match(text) or re.match(
        rf"(?P<subject>[^\s,;:.()][^,;:.!?]{{0,70}}?(?: \([^)]{{1,40}}\))?)\s(?P<link>{links})"
        r"\s?(?P<meaning>\b\S.*)$",
        text,
        re.DOTALL,
    )
    if match is None and starts_block:
        match = SHORT_SUBJECT.match(text)
    if match is None:
        return None
    subject = ARTICLE.sub("", match["subject"]).strip(" \"'“”«»*")
    names = [word.casefold() for word in re.findall(r"[^\W_]+", subject)]
    if not names or len(names) > MAX_SUBJECT_WORDS or POINTERS.intersection((names[0], names[-1])):
        return None
    if EXAMPLE.match(match["meaning"]):
        return None
    if len(match["meaning"]) < MIN_MEANING_CHARS and match.re is not CJK_LINK:
        return None
    return Definition(subject, sentence.text, match["meaning"].strip())
