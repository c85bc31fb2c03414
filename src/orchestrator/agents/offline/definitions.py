"""Sentences that say what something is."""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.agents.offline.reading import Block, Sentence

MAX_SUBJECT_WORDS = 5
MIN_MEANING_CHARS = 12

# By language: the words between a term and its meaning.
LINKS = {
    "en": r"(?:is|are) (?:defined as|called|known as|the (?:name|term) for|a|an|the|one of|any|where|when|how"
    r"|what)|means|mean|refers? to|denotes?|stands for|describes|consists? of|is short for",
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
            definition = _defined(sentence, language, starts_block=number == 0)
            if definition is not None:
                found.setdefault(definition.term.casefold(), definition)
    return list(found.values())


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
