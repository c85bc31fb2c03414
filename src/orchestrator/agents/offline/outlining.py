"""The order of a lesson: from the headings of the materials, else from where their subject changes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from orchestrator.agents.offline import study_guide
from orchestrator.agents.offline.analysis import GENERATOR, TopicAnalysis
from orchestrator.agents.offline.definitions import definitions
from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.agents.offline.reading import Block, Material, Reading, read
from orchestrator.agents.offline.segmenting import cuts
from orchestrator.agents.offline.terms import key_of, mentions, terms_of
from orchestrator.agents.offline.words import words

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

MAX_SECTIONS = 10
MAX_SPANS = 200
MIN_SECTION_WORDS = 25
MAX_TITLE_CHARS = 80
MAX_OBJECTIVES = 4


@dataclass(frozen=True, slots=True)
class OutlineSection:
    """One section to write: blocks ``first`` up to but not including ``end`` of the materials as read.

    In a study guide, which has no materials, ``guide`` names the part instead.
    """

    title: str
    objectives: tuple[str, ...]
    first: int = 0
    end: int = 0
    guide: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """A lesson's title and its sections."""

    title: str
    sections: tuple[OutlineSection, ...]
    generator: str = GENERATOR


def outline(analysis: TopicAnalysis, materials: Sequence[Material] = ()) -> Outline:
    """Order the materials into at most ten sections with objectives; without any, a study guide."""
    title = sentence_case(" ".join(analysis.topic.split()))
    reading = read(tuple(materials))
    spans = _spans(reading)
    if not spans:
        parts = study_guide.parts(analysis.topic)
        return Outline(title, tuple(OutlineSection(p.title, p.objectives, guide=p.name) for p in parts))
    if len(spans) == 1 and spans[0].title not in {block.text for block in reading.blocks}:
        spans = [replace(spans[0], title=title)]
    merged = _merged(spans, reading)
    sections = [replace(span, objectives=_objectives(span, reading)) for span in merged]
    return Outline(title, tuple(_distinct(sections, reading)))


def _spans(reading: Reading) -> list[OutlineSection]:
    """Sections material by material; those with nothing to read are left out."""
    spans: list[OutlineSection] = []
    for number in range(len(reading.materials)):
        held = [position for position, block in enumerate(reading.blocks) if block.material == number]
        if held:
            spans.extend(_spans_of(reading, held[0], held[-1] + 1))
    return [span for span in spans if any(block.kind != "heading" for block in blocks_of(span, reading))]


def _spans_of(reading: Reading, first: int, end: int) -> list[OutlineSection]:
    headings = [position for position in range(first, end) if reading.blocks[position].kind == "heading"]
    level = _dividing_level([reading.blocks[position].level for position in headings])
    starts = [position for position in headings if reading.blocks[position].level <= level]
    if not starts:
        return _segments(reading, first, end)
    edges = [*starts, end]
    spans = [
        OutlineSection(_short(reading.blocks[start].text), (), start, stop) for start, stop in pairwise(edges)
    ]
    if starts[0] > first:
        spans.insert(0, OutlineSection("Introduction", (), first, starts[0]))
    return spans


def _dividing_level(levels: list[int]) -> int:
    """The highest level of heading that occurs more than once, so that a lone title divides nothing."""
    counted = Counter(levels)
    several = [level for level in sorted(counted) if counted[level] > 1]
    return several[0] if several else max(levels, default=0)


def _segments(reading: Reading, first: int, end: int) -> list[OutlineSection]:
    bags = [
        Counter(word.stem for sentence in block.sentences for word in sentence.words if not word.small)
        for block in reading.blocks[first:end]
    ]
    edges = [first, *(first + cut for cut in cuts(bags, MAX_SECTIONS)), end]
    pairs = list(pairwise(edges))
    spans: list[OutlineSection] = []
    for number, (start, stop) in enumerate(pairs, 1):
        title = _named_by_terms(reading, start, stop, {span.title for span in spans})
        spans.append(OutlineSection(title or f"Part {number}", (), start, stop))
    return spans


def _named_by_terms(reading: Reading, first: int, end: int, taken: Container[str]) -> str:
    """After the main name in the section's first sentence, else after what sets the section apart."""
    blocks = reading.blocks[first:end]
    index = terms_of(reading.materials)
    opening = [replace(block, sentences=block.sentences[:1]) for block in blocks if block.sentences][:1]
    names = [term for term in index.within(opening, 5, telling=True) if term.text[:1].isupper()]
    best = [*names, *index.within(blocks, 3, telling=True)]
    titles = [_short(sentence_case(term.text)) for term in best]
    return next((title for title in titles if title not in taken), "")


def _merged(spans: list[OutlineSection], reading: Reading) -> list[OutlineSection]:
    """Join the smallest section to its smaller neighbour until none is tiny and there are ten at most."""
    merged = _grouped(spans)
    sizes = [_size(span, reading) for span in merged]
    while len(merged) > 1:
        least = min(range(len(merged)), key=lambda position: (sizes[position], position))
        beside = [position for position in (least - 1, least + 1) if 0 <= position < len(merged)]
        own = [position for position in beside if _same_material(merged, least, position, reading)]
        too_many = len(merged) > MAX_SECTIONS
        if not too_many and (sizes[least] >= MIN_SECTION_WORDS or not own):
            break
        other = min(own or beside, key=lambda position: sizes[position])
        left, right = sorted((least, other))
        merged[left : right + 1] = [_joined(merged[left], merged[right], reading)]
        sizes[left : right + 1] = [sizes[left] + sizes[right]]
    return merged


def _grouped(spans: list[OutlineSection]) -> list[OutlineSection]:
    """At most two hundred spans, so that merging takes bounded time: neighbours joined in equal groups."""
    step = -(-len(spans) // MAX_SPANS)
    groups = [spans[start : start + step] for start in range(0, len(spans), step)]
    return [replace(group[0], end=group[-1].end) for group in groups]


def _joined(left: OutlineSection, right: OutlineSection, reading: Reading) -> OutlineSection:
    """Both sections in one, named after both where that is short, else after the larger."""
    title = left.title if left.title == right.title else f"{left.title}; {right.title}"
    if len(title) > MAX_TITLE_CHARS:
        title = max(left, right, key=lambda section: _size(section, reading)).title
    return OutlineSection(title, (), left.first, right.end)


def _size(span: OutlineSection, reading: Reading) -> int:
    """Words of a section; code and tables count by the lines they have."""
    return sum(
        sum(len(sentence.words) for sentence in block.sentences) + 8 * len(block.raw.splitlines())
        for block in blocks_of(span, reading)
    )


def _same_material(spans: list[OutlineSection], one: int, other: int, reading: Reading) -> bool:
    return reading.blocks[spans[one].first].material == reading.blocks[spans[other].first].material


def blocks_of(section: OutlineSection, reading: Reading) -> tuple[Block, ...]:
    """The section's blocks."""
    return reading.blocks[section.first : section.end]


def _objectives(section: OutlineSection, reading: Reading) -> tuple[str, ...]:
    """What a learner can do afterwards, from what the section defines, names and shows."""
    blocks = blocks_of(section, reading)
    defined = [definition.term for definition in definitions(blocks, reading.language)][:2]
    terms = [term.text for term in terms_of(reading.materials).within(blocks, 5)]
    others = [term for term in terms if not any(_alike(term, name) for name in defined)]
    subheadings = [block.text for block in blocks[1:] if block.kind == "heading"][:1]
    goals = [f"say in your own words what “{name}” means" for name in defined]
    goals += [f"walk someone through “{_short(name)}”" for name in subheadings]
    pair = _together(others, blocks, reading.language)
    if pair:
        goals.append(f"explain how {pair[0]} and {pair[1]} belong together")
    elif others:
        goals.append(f"explain what part {others[0]} plays here")
    if any(block.kind == "code" for block in blocks):
        goals.append("read the code shown and say what each line does")
    if any(block.kind == "table" for block in blocks):
        goals.append("read the table and say what it compares")
    return tuple(sentence_case(goal) for goal in goals[:MAX_OBJECTIVES]) or (
        f"Sum up “{section.title}” without looking",
    )


def _together(terms: list[str], blocks: Sequence[Block], language: str) -> tuple[str, str] | None:
    """The first two terms that stand in one sentence."""
    sentences = [sentence for block in blocks if block.kind != "heading" for sentence in block.sentences]
    keys = {term: key_of(words(term, language)) for term in terms}
    for one, other in combinations(terms, 2):
        if any(any(mentions(each, keys[one])) and any(mentions(each, keys[other])) for each in sentences):
            return one, other
    return None


def _alike(one: str, other: str) -> bool:
    return one.casefold() in other.casefold() or other.casefold() in one.casefold()


def _distinct(sections: list[OutlineSection], reading: Reading) -> list[OutlineSection]:
    """Titles that occur twice say which material they are from, or their number."""
    counted = Counter(section.title for section in sections)
    seen: Counter[str] = Counter()
    named = []
    for section in sections:
        seen[section.title] += 1
        name = reading.materials[reading.blocks[section.first].material].name
        extra = f" ({name})" if len(reading.materials) > 1 else f" ({seen[section.title]})"
        named.append(replace(section, title=section.title + extra) if counted[section.title] > 1 else section)
    return named


def _short(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= MAX_TITLE_CHARS else line[: MAX_TITLE_CHARS - 1].rstrip() + "…"
