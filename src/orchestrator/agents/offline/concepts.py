"""Concept maps: the terms of the materials, and the words with which the author links them."""

# Signs and letters of other scripts are what this file is about.
# ruff: noqa: RUF001

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from orchestrator.agents.offline import study_guide
from orchestrator.agents.offline.analysis import GENERATOR, TopicAnalysis
from orchestrator.agents.offline.languages import stem
from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.agents.offline.reading import Material, Reading, Sentence, read
from orchestrator.agents.offline.terms import COMMON_ENGLISH, Term, key_of, mentions, terms_of
from orchestrator.agents.offline.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.agents.offline.outlining import OutlineSection

MAX_NODES = 10
MAX_EDGES = 14
MAX_DEGREE = 5
MAX_LINK_WORDS = 5
MAX_LINK_CHARS = 32
LABELLED_WEIGHT = 3  # a linking phrase says more than standing in one sentence
TRIMMED = re.compile(
    r"^(?:(?:and|or|also|then|the|a|an|that|which|it|they)\b\s*)+|\s*\b(?:the|a|an|its|their|this|that)$",
    re.IGNORECASE,
)
NO_PHRASE = re.compile(
    r"[.,;:!?()\[\]{}<>|\"“”/=]|^(?:each|both|every|next|if|when|while|because)\b|(?:^|\s)[-–—]+(?:\s|$)",
    re.IGNORECASE,
)
AUXILIARIES = frozenset(
    ["is", "are", "was", "were", "has", "have", "had", "can", "may", "must", "be", "do", "does"]
)
VERB_STEMS = frozenset(stem(word, "en") for word in COMMON_ENGLISH)


@dataclass(frozen=True, slots=True)
class Edge:
    """A link between two nodes by position; ``label`` is empty where the author gives no short phrase."""

    source: int
    target: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """Terms and their links. The first node is the centre."""

    title: str
    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    generator: str = GENERATOR


def concept_map(
    analysis: TopicAnalysis, materials: Sequence[Material] = (), section: OutlineSection | None = None
) -> ConceptMap:
    """Map the whole lesson, or one section of it. Without materials: the questions to ask of the topic."""
    reading = read(tuple(materials))
    blocks = reading.blocks if section is None else reading.blocks[section.first : section.end]
    if not blocks or (section is not None and section.guide):
        title, nodes, links = study_guide.question_map(analysis.topic)
        return ConceptMap(title, nodes, tuple(Edge(0, target, label) for target, label in links))
    terms = terms_of(reading.materials).within(blocks, MAX_NODES)
    sentences = [sentence for block in blocks if block.kind != "heading" for sentence in block.sentences]
    title = sentence_case(section.title if section else analysis.topic)
    return _mapped(title, terms, _links(sentences, terms, reading), reading.language)


def _links(
    sentences: Sequence[Sentence], terms: Sequence[Term], reading: Reading
) -> list[tuple[int, int, str]]:
    """Every pair of neighbours in a sentence, with the phrase between them where it is one."""
    keys = [key_of(words(term.text, reading.language)) for term in terms]
    found = []
    for sentence in sentences:
        places = sorted(_places(sentence, keys))
        for (_, end, one), (start, _, other) in pairwise(places):
            if one != other and start >= end:
                found.append((one, other, _phrase(sentence.text[end:start], reading.language)))
    return found


def _places(sentence: Sentence, keys: Sequence[tuple[str, ...]]) -> Iterator[tuple[int, int, int]]:
    for number, key in enumerate(keys):
        for start, end in mentions(sentence, key) if key else ():
            yield start, end, number


def _phrase(between: str, language: str) -> str:
    """The words between two terms where they link them: few, and in English with a verb among them."""
    text = " ".join(between.split())
    phrase = TRIMMED.sub("", TRIMMED.sub("", text)).strip()
    if NO_PHRASE.search(text) or NO_PHRASE.search(phrase):
        return ""
    parts = [part.casefold() for part in phrase.split()]
    if not 0 < len(parts) <= MAX_LINK_WORDS or len(phrase) > MAX_LINK_CHARS:
        return ""
    if language == "en" and not any(_is_verb(part) for part in parts):
        return ""
    return phrase


def _is_verb(word: str) -> bool:
    return (
        word in AUXILIARIES
        or stem(word, "en") in VERB_STEMS
        or word.endswith(("ed", "es"))
        or (len(word) > len("its") and word.endswith("s") and not word.endswith(("ss", "us", "is")))
    )


def _mapped(
    title: str, terms: Sequence[Term], links: list[tuple[int, int, str]], language: str
) -> ConceptMap:
    weights: Counter[tuple[int, int]] = Counter()
    labels: dict[tuple[int, int], Counter[tuple[int, int, str]]] = defaultdict(Counter)
    for one, other, phrase in links:
        pair = (min(one, other), max(one, other))
        weights[pair] += LABELLED_WEIGHT if phrase else 1
        if phrase:
            labels[pair][one, other, phrase] += 1
    degrees: Counter[int] = Counter()
    edges: list[Edge] = []
    for pair in sorted(weights, key=lambda pair: (-weights[pair], pair)):
        if len(edges) < MAX_EDGES and all(degrees[node] < MAX_DEGREE for node in pair):
            degrees.update(pair)
            said = labels[pair]
            best = min(said, key=lambda link: (-said[link], len(link[2]), link)) if said else (*pair, "")
            edges.append(Edge(*best))
    names = [term.text for term in terms]
    centre = key_of(words(title, language))
    middle = next(
        (place for place, name in enumerate(names) if key_of(words(name, language)) == centre), None
    )
    if middle is None:
        names, middle = [*names, title], len(names)
    return ConceptMap(title, *_centred(names, edges, middle))


def _centred(names: list[str], edges: list[Edge], middle: int) -> tuple[tuple[str, ...], tuple[Edge, ...]]:
    """Put the middle first, and tie to it each group of terms that hangs together without it."""
    degrees = Counter(node for edge in edges for node in (edge.source, edge.target))
    order = sorted(range(len(names)), key=lambda node: (node != middle, -degrees[node], node))
    place = {node: position for position, node in enumerate(order)}
    moved = [Edge(place[edge.source], place[edge.target], edge.label) for edge in edges]
    reached = _reached_from({0}, moved)
    for node in range(1, len(names)):
        if node not in reached:
            moved.append(Edge(0, node))
            reached = _reached_from(reached | {node}, moved)
    return tuple(names[node] for node in order), tuple(moved)


def _reached_from(start: set[int], edges: Sequence[Edge]) -> set[int]:
    reached, grown = set(start), True
    while grown:
        touched = {
            node
            for edge in edges
            for node in (edge.source, edge.target)
            if {edge.source, edge.target} & reached
        }
        grown = not touched <= reached
        reached |= touched
    return reached
