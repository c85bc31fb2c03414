"""What the learner's materials are about, and what they cover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.agents.offline import languages
from orchestrator.agents.offline.definitions import definitions
from orchestrator.agents.offline.reading import Material, Reading, Sentence, read
from orchestrator.agents.offline.terms import Term, terms_of
from orchestrator.agents.offline.words import count_words, lix, words

if TYPE_CHECKING:
    from collections.abc import Sequence

GENERATOR = "offline"
TERMS = 16
MAX_NAMED_HEADINGS = 12
# Björnsson's scale of LIX.
LEVELS = ((30.0, "very easy"), (40.0, "easy"), (50.0, "medium"), (60.0, "demanding"))
HARDEST = "very demanding"


@dataclass(frozen=True, slots=True)
class MaterialReport:
    """What one material holds."""

    name: str
    words: int
    sentences: int
    headings: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True)
class TopicAnalysis:
    """What is known about a topic from the materials; nothing where there are none.

    ``level`` follows the readability index LIX, None where it does not apply. ``covered`` is the share of
    the topic's own words that the materials hold, from 0 to 1.
    """

    topic: str
    language: str
    level: str | None
    readability: float | None
    covered: float
    terms: tuple[Term, ...]
    definitions: int
    materials: tuple[MaterialReport, ...]
    summary: str
    generator: str = GENERATOR

    @property
    def has_materials(self) -> bool:
        """Whether there is anything to build a lesson from."""
        return any(material.words for material in self.materials)


def analyze(topic: str, materials: Sequence[Material] = ()) -> TopicAnalysis:
    """Read the materials and say what they are about."""
    reading = read(tuple(materials))
    prose = [sentence.text for sentence in _sentences(reading)]
    reports = tuple(_report(reading, number) for number in range(len(reading.materials)))
    readability = lix(prose) if prose else None
    terms = tuple(terms_of(reading.materials).best(TERMS))
    analysis = TopicAnalysis(
        topic=topic,
        language=reading.language if prose else languages.guess(topic),
        level=_level(readability),
        readability=None if readability is None else round(readability, 1),
        covered=_covered(topic, reading),
        terms=terms,
        definitions=len(definitions(reading.blocks, reading.language)),
        materials=reports,
        summary="",
    )
    return replace(analysis, summary=_summary(analysis))


def _sentences(reading: Reading) -> list[Sentence]:
    return [sentence for block in reading.blocks if block.kind != "heading" for sentence in block.sentences]


def _report(reading: Reading, number: int) -> MaterialReport:
    blocks = [block for block in reading.blocks if block.material == number]
    inside = [sentence for block in blocks for sentence in block.sentences]
    headings = tuple(block.text for block in blocks if block.kind == "heading")
    material = reading.materials[number]
    return MaterialReport(
        name=material.name,
        words=count_words(material.text),
        sentences=len(inside),
        headings=headings[:MAX_NAMED_HEADINGS],
        language=languages.guess(material.text),
    )


def _level(readability: float | None) -> str | None:
    if readability is None:
        return None
    return next((name for below, name in LEVELS if readability < below), HARDEST)


def _covered(topic: str, reading: Reading) -> float:
    asked = {word.stem for word in words(topic, reading.language) if not word.small}
    held = {word.stem for block in reading.blocks for sentence in block.sentences for word in sentence.words}
    return round(len(asked & held) / len(asked), 2) if asked else 0.0


def _summary(analysis: TopicAnalysis) -> str:
    """One paragraph for people, as plain text."""
    if not analysis.has_materials:
        return (
            "Without materials and without a model, nothing is known about the topic "
            f"“{analysis.topic}” itself, so this is a study guide: how to learn it, not what it says."
        )
    total = sum(material.words for material in analysis.materials)
    one = len(analysis.materials) == 1
    said = [
        f"{'One material' if one else f'{len(analysis.materials)} materials'} with {_counted(total, 'word')}."
    ]
    if analysis.terms:
        said.append(f"Most of it is about {_listed([term.text for term in analysis.terms[:5]])}.")
    if analysis.definitions:
        said.append(f"It defines {_counted(analysis.definitions, 'term')}.")
    if analysis.level:
        said.append(f"It reads as {analysis.level} (LIX {analysis.readability:g}).")
    if not analysis.covered:
        said.append(f"None of the words of “{analysis.topic}” occur in it, so check that it fits the topic.")
    if analysis.language not in ("en", languages.UNKNOWN):
        said.append("Headings and questions are in English; what is quoted is in your materials' language.")
    return " ".join(said)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
