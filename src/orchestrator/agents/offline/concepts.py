"""Concept maps: the terms of the materials, and the words with which the author links them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline import study_guide
from orchestrator.agents.offline.analysis import GENERATOR, TopicAnalysis
from orchestrator.agents.offline.links import said_between
from orchestrator.agents.offline.markdown import sentence_case
from orchestrator.agents.offline.reading import Material, Reading, Sentence, read
from orchestrator.agents.offline.terms import Term, key_of, mentions, terms_of
from orchestrator.agents.offline.words import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.agents.offline.outlining import Outline, OutlineSection

MAX_NODES = 12
FEWEST_PARTS = 2
MOST_PARTS = 8
MAX_EDGES = 14
MAX_DEGREE = 5
CANDIDATES = 80
REACH = 3  # terms further on in a sentence
LEAST_TRUE_LINKS = 3  # with fewer a map shows no more than a list of terms
MOST_ALIKE = 0.6  # of all the links of two maps: beyond that they are one picture drawn twice


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


def outline_map(outline: Outline, terms: Sequence[Term]) -> ConceptMap | None:
    """The lesson's parts around its title, or its terms where it has one part: true of every text.

    None where there is neither.
    """
    parts = [section.title for section in outline.sections if section.title != outline.title]
    if len(parts) < FEWEST_PARTS:
        parts = [term.text for term in terms]
    around = tuple(dict.fromkeys(parts))[:MOST_PARTS]
    if not around:
        return None
    edges = tuple(Edge(0, position) for position in range(1, len(around) + 1))
    return ConceptMap("What this lesson covers", (outline.title, *around), edges)


def concept_map(
    analysis: TopicAnalysis, materials: Sequence[Material] = (), section: OutlineSection | None = None
) -> ConceptMap | None:
    """Map the whole lesson, or one section of it; None where the text links too few of its terms.

    Without materials: the questions to ask of the topic.
    """
    reading = read(tuple(materials))
    blocks = reading.blocks if section is None else reading.blocks[section.first : section.end]
    if not blocks or (section is not None and section.guide):
        title, nodes, asked = study_guide.question_map(analysis.topic)
        return ConceptMap(title, nodes, tuple(Edge(0, target, label) for target, label in asked))
    index = terms_of(reading.materials)
    terms = index.within(blocks, CANDIDATES)
    sentences = [sentence for block in blocks if block.kind != "heading" for sentence in block.sentences]
    title = sentence_case(section.title if section else analysis.topic)
    links = _links(sentences, terms, reading)
    if len({(one, other) for one, other, _ in links}) < LEAST_TRUE_LINKS:
        return None
    return _mapped(title, terms, links, reading.language)


def alike(one: ConceptMap, other: ConceptMap) -> bool:
    """Whether the two maps show nearly the same."""
    first, second = _shown(one), _shown(other)
    return len(first & second) > MOST_ALIKE * min(len(first), len(second))


def _shown(drawn: ConceptMap) -> set[tuple[str, str]]:
    return {(drawn.nodes[edge.source], drawn.nodes[edge.target]) for edge in drawn.edges if edge.label}


def _links(
    sentences: Sequence[Sentence], terms: Sequence[Term], reading: Reading
) -> list[tuple[int, int, str]]:
    """What the sentences say of each two terms: subject, object, verb. Only English is understood."""
    if reading.language != "en":
        return []
    keys: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
    for number, term in enumerate(terms):
        key = key_of(words(term.text, reading.language))
        keys[key[0]].append((number, key))
    nouns = terms_of(reading.materials).is_noun
    return [
        link for sentence in sentences for link in _links_in(sentence, keys, [t.text for t in terms], nouns)
    ]


def _links_in(
    sentence: Sentence,
    keys: Mapping[str, list[tuple[int, tuple[str, ...]]]],
    names: Sequence[str],
    is_noun: Callable[[str], bool],
) -> Iterator[tuple[int, int, str]]:
    """The links of one sentence; where it has a term in another number than the map, no verb would fit."""
    stems = dict.fromkeys(word.stem for word in sentence.words)
    places = sorted(
        (begin, end, number)
        for stem in stems
        for number, key in keys.get(stem, ())
        for begin, end in mentions(sentence, key)
        if sentence.text[begin:end].casefold() == names[number].casefold()
    )
    for first, (begin, end, one) in enumerate(places):
        for start, stop, other in places[first + 1 : first + 1 + REACH]:
            if one != other and start > end:
                label = said_between(sentence.text, (begin, end), (start, stop), is_noun)
                if label:
                    yield one, other, label


def _mapped(
    title: str, terms: Sequence[Term], links: list[tuple[int, int, str]], language: str
) -> ConceptMap:
    said: dict[tuple[int, int], Counter[tuple[int, int, str]]] = defaultdict(Counter)
    for one, other, label in links:
        said[min(one, other), max(one, other)][one, other, label] += 1
    degrees: Counter[int] = Counter()
    edges: list[Edge] = []
    for pair in sorted(said, key=lambda pair: (-said[pair].total(), sum(pair), pair)):
        new = [node for node in pair if not degrees[node]]
        room = len([node for node in degrees if degrees[node]]) + len(new) <= MAX_NODES
        if room and len(edges) < MAX_EDGES and all(degrees[node] < MAX_DEGREE for node in pair):
            degrees.update(pair)
            ways = said[pair]
            edges.append(Edge(*min(ways, key=lambda link: (-ways[link], len(link[2]), link))))
    kept = sorted(node for node in degrees if degrees[node])
    place = {node: position for position, node in enumerate(kept)}
    names = [terms[node].text for node in kept]
    edges = [Edge(place[edge.source], place[edge.target], edge.label) for edge in edges]
    centre = key_of(words(title, language))
    middle = next(
        (number for number, name in enumerate(names) if key_of(words(name, language)) == centre), None
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
