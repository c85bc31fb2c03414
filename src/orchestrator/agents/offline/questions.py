"""Questions made from real sentences, each with its answer and where it comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.agents.offline.terms import key_of, mentions
from orchestrator.agents.offline.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.agents.offline.definitions import Definition
    from orchestrator.agents.offline.reading import Sentence
    from orchestrator.agents.offline.terms import Term

GAP = "_____"
MIN_CLOZE_WORDS = 7
MAX_CLOZE_WORDS = 40
MAX_CLAUSE_WORDS = 24

BECAUSE = re.compile(r"^(?P<claim>[^,;:]{15,160}?),?\s+because\s+(?!of\b)(?P<reason>.{10,})$", re.DOTALL)
BECAUSE_FIRST = re.compile(
    r"^Because\s+(?!of\b)(?P<reason>[^,]{10,}),\s+(?P<claim>.{15,160})[.!]$", re.DOTALL
)
PURPOSE = re.compile(r"^(?P<claim>[^,;:]{15,140}?)\s+(?:in order to|so that)\s+(?P<reason>.{8,})$", re.DOTALL)
CONDITION = re.compile(r"^(?P<when>(?:If|When|Whenever)\s[^,]{8,120}),\s+(?P<then>.{12,})$", re.DOTALL)
POINTS_AWAY = re.compile(
    r"^(?:this|that|these|those|it|its|they|their|he|she|such|here|there|we|but|so|and|also)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its answer, and the sentence that both were made from, word for word."""

    question: str
    answer: str
    sentence: str


def questions(
    sentences: Sequence[Sentence],
    terms: Sequence[Term],
    defined: Sequence[Definition],
    language: str,
    limit: int,
) -> list[Question]:
    """At most ``limit`` questions: on meaning, on reasons, and gaps to fill; no sentence serves twice."""
    pools = [
        [_meaning(definition, language) for definition in defined],
        _reasons(sentences) if language == "en" else [],
        _gaps(sentences, terms, language),
    ]
    chosen: list[Question] = []
    used: set[str] = set()
    while len(chosen) < limit and any(pools):
        for pool in pools:
            question = next((candidate for candidate in pool if candidate.sentence not in used), None)
            pool[:] = [
                candidate for candidate in pool if candidate.sentence not in used and candidate != question
            ]
            if question is not None and len(chosen) < limit:
                chosen.append(question)
                used.add(question.sentence)
    return chosen


def _meaning(definition: Definition, language: str) -> Question:
    asked = f"What does “{definition.term}” mean?" if language == "en" else f"“{definition.term}” = ?"
    return Question(asked, definition.sentence, definition.sentence)


def _reasons(sentences: Sequence[Sentence]) -> list[Question]:
    found = []
    for sentence in sentences:
        text = " ".join(sentence.text.split())
        because = BECAUSE.match(text) or BECAUSE_FIRST.match(text)
        purpose, condition = PURPOSE.match(text), CONDITION.match(text)
        if because and _stands_alone(because["claim"]):
            found.append(_why(because["claim"], because["reason"], sentence))
        elif purpose and _stands_alone(purpose["claim"]):
            asked = f"What is the purpose here? “{_ended(purpose['claim'])}”"
            found.append(Question(asked, sentence_case(purpose["reason"]), sentence.text))
        elif condition and len(condition["when"].split()) <= MAX_CLAUSE_WORDS:
            when = condition["when"][0].lower() + condition["when"][1:]
            if not POINTS_AWAY.match(when.partition(" ")[2]):
                found.append(
                    Question(f"What happens {when}?", sentence_case(condition["then"]), sentence.text)
                )
    return found


def _why(claim: str, reason: str, sentence: Sentence) -> Question:
    return Question(
        f"Why is this so? “{_ended(sentence_case(claim))}”", f"Because {_ended(reason)}", sentence.text
    )


def _stands_alone(claim: str) -> bool:
    return len(claim.split()) <= MAX_CLAUSE_WORDS and POINTS_AWAY.match(claim) is None


def _ended(text: str) -> str:
    stripped = text.strip()
    return stripped if stripped.endswith((".", "!", "?")) else f"{stripped}."


def _gaps(sentences: Sequence[Sentence], terms: Sequence[Term], language: str) -> list[Question]:
    """For each term, the first good sentence with a gap in its place."""
    found = []
    for term in terms:
        key = key_of(words(term.text, language))
        for sentence in sentences:
            places = list(mentions(sentence, key)) if key else []
            if len(places) == 1 and _fits_gap(sentence):
                start, end = places[0]
                gapped = f"{sentence.text[:start]}{GAP}{sentence.text[end:]}"
                found.append(Question(f"Fill the gap: {gapped}", sentence.text[start:end], sentence.text))
                break
    return found


def _fits_gap(sentence: Sentence) -> bool:
    if sentence.text.endswith((":", "?")):
        return False
    return MIN_CLOZE_WORDS <= len(sentence.words) <= MAX_CLOZE_WORDS
