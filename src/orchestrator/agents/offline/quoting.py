"""Which sentences can be quoted by themselves: they say what they speak of, and hold no markup."""

# Signs of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.agents.offline.words import MARKUP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.agents.offline.reading import Sentence

POINTS_BACK = re.compile(
    r"^(?:this|that|these|those|it|its|they|their|he|she|his|her|such|here|there|we|but|so|and|also|then|both"
    r"|neither|either|another|others?|the others?|however|therefore|thus|hence|instead|otherwise|moreover"
    r"|for example|for instance|as a result|in contrast|two of|some of (?:these|those|them))\b",
    re.IGNORECASE,
)
# Demonstratives point back wherever they stand, but for "such as" and "those who".
DEMONSTRATIVE = re.compile(
    r"\b(?:this|these|those(?! who| that| which)|such(?! as)|the (?:former|latter)"
    r"|of the (?:two|three|four|five|rest))\b",
    re.IGNORECASE,
)
PRONOUN = re.compile(r"\b(?:it|they|them|he|she|him)\b", re.IGNORECASE)
POSSESSIVE = re.compile(r"^(?:\w+ ){0,3}(?:its|their|his|her)\b", re.IGNORECASE)
CLAUSE_END = re.compile(r"[,;:–—]|\b(?:and|but|that|which|who|when|while|because|if|as|than|where|so)\b")


def stands_alone(text: str, language: str) -> bool:
    """Whether a sentence can be understood without the one before it, and shows no markup.

    What points back is known for English alone.
    """
    if MARKUP.search(text):
        return False
    if language != "en":
        return True
    pointing = (POINTS_BACK.match(text), DEMONSTRATIVE.search(text), POSSESSIVE.match(text))
    return not any(pointing) and PRONOUN.search(_first_clause(text)) is None


def _first_clause(text: str) -> str:
    """Up to where a clause ends after its first words: there a pronoun has nothing before it to stand for."""
    opening = re.match(r"(?:when|if|while|because|as|in|at|on|by|after|before)\b", text, re.IGNORECASE)
    end = CLAUSE_END.search(text, opening.end() if opening else 0)
    return text[: end.start()] if end else text


def without_repeats(sentences: Iterable[Sentence]) -> list[Sentence]:
    """The sentences without those that say nearly the same as one before."""
    kept: dict[frozenset[str], Sentence] = {}
    for sentence in sentences:
        kept.setdefault(
            frozenset(word.stem for word in sentence.words) or frozenset([sentence.text]), sentence
        )
    return list(kept.values())
