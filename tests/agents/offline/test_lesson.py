"""Lessons composed offline, from realistic materials and from any text at all."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import TypeAdapter

from orchestrator.agents.offline import (
    ConceptMap,
    Material,
    Outline,
    TopicAnalysis,
    analyze,
    concept_map,
    outline,
    overview,
    section,
)
from orchestrator.agents.offline.definitions import definitions
from orchestrator.agents.offline.questions import questions
from orchestrator.agents.offline.reading import read
from orchestrator.agents.offline.terms import terms_of

HERE = Path(__file__).parent
LARGEST_CHARS = 200_000


def material(name: str) -> Material:
    """One of the texts beside this file."""
    return Material(name, (HERE / name).read_text(encoding="utf-8"))


PHOTOSYNTHESIS = material("photosynthesis.md")
TCP = material("tcp.txt")
NOTES = material("economics-notes.md")


def lesson(topic: str, *materials: Material) -> tuple[TopicAnalysis, Outline, str]:
    """The whole lesson."""
    analysis = analyze(topic, materials)
    planned = outline(analysis, materials)
    text = "".join(piece for part in planned.sections for piece in section(analysis, part, materials))
    return analysis, planned, text


def squeezed(text: str) -> str:
    """``text`` without white space, for comparing across line breaks."""
    return "".join(text.split())


def test_headings_become_sections_in_their_order() -> None:
    """The author's own structure is kept; a lone title divides nothing."""
    _, planned, _ = lesson("photosynthesis", PHOTOSYNTHESIS)
    assert [part.title for part in planned.sections] == [
        "Photosynthesis",
        "Chloroplasts",
        "Light-dependent reactions",
        "The Calvin cycle",
        "What limits the rate",
    ]
    assert all(part.objectives for part in planned.sections)


def test_the_analysis_says_what_the_materials_hold() -> None:
    """Subject terms as the author writes them, language, level, and whether they fit the topic."""
    analysis, _, _ = lesson("photosynthesis", PHOTOSYNTHESIS)
    terms = {term.text for term in analysis.terms}
    assert {"Calvin cycle", "light-dependent reactions", "chloroplast", "RuBisCO"} <= terms
    assert (analysis.language, analysis.level, analysis.covered) == ("en", "easy", 1.0)
    assert analysis.generator == "offline"
    assert "check that it fits" in analyze("Roman law", (PHOTOSYNTHESIS,)).summary


def test_a_section_teaches_what_it_defines_shows_and_explains() -> None:
    """Definitions, lists and tables whole, links, and questions with answers, all from the text."""
    _, _, text = lesson("photosynthesis", PHOTOSYNTHESIS)
    assert "- **Stroma** — The stroma is the fluid that surrounds the thylakoids." in text
    assert "- NADPH, which carries electrons" in text
    assert "| Calvin cycle | Stroma | Carbon dioxide, ATP, NADPH | Glucose |" in text
    assert "1. What does “Chloroplasts” mean?" in text
    assert "Why is this so? “Leaves look green.”" in text
    assert "**Because chlorophyll reflects green light.**" in text
    assert "What happens when chlorophyll absorbs a photon?" in text
    assert "[the overview](<https://example.org/photosynthesis>)" in text


def test_plain_text_is_cut_where_its_subject_changes() -> None:
    """Without headings, sections begin where the words change and are named by their terms."""
    _, planned, text = lesson("TCP", TCP)
    assert len(planned.sections) > 1
    assert "congestion" in planned.sections[-1].title.casefold() + planned.sections[-2].title.casefold()
    assert "What does “Transmission Control Protocol (TCP)” mean?" in text


def test_the_parts_of_notes_become_sections() -> None:
    """A short list item with others below it is a heading, and "term: meaning" is a definition."""
    _, planned, text = lesson("supply and demand", NOTES)
    titles = " ".join(part.title for part in planned.sections)
    assert all(name in titles for name in ("Basics", "Equilibrium", "Shifts"))
    assert "What does “surplus” mean?" in text


def test_several_materials_say_where_each_passage_is_from() -> None:
    """Every section names its material."""
    _, planned, text = lesson("networks and plants", PHOTOSYNTHESIS, TCP)
    assert text.count("*From photosynthesis.md*") >= 5
    assert "*From tcp.txt*" in text
    assert len(planned.sections) <= 10


def test_concept_maps_use_the_authors_own_linking_words() -> None:
    """An edge carries the phrase between two terms, and everything hangs together with the topic first."""
    mapped = concept_map(analyze("photosynthesis", (PHOTOSYNTHESIS,)), (PHOTOSYNTHESIS,))
    assert mapped is not None
    said = {(mapped.nodes[edge.source], edge.label, mapped.nodes[edge.target]) for edge in mapped.edges}
    assert ("Calvin cycle", "takes place in", "stroma") in said
    assert ("photosynthesis", "is a", "process") in said
    assert mapped.nodes[0] == "photosynthesis"
    reached = {0}
    for _ in mapped.nodes:
        ends = [{edge.source, edge.target} for edge in mapped.edges]
        reached = reached.union(*(pair for pair in ends if pair & reached))
    assert reached == set(range(len(mapped.nodes)))


LINKED = (
    "The kernel blocks the thread. The scheduler chooses the process. The mutex protects the memory. "
    "Here are a kernel, a thread, a scheduler, a process, a mutex and a memory. "
)


@pytest.mark.parametrize(
    ("sentence", "wrong"),
    [
        ("Six of the kernel and six of the process become one mutex.", ("process", "mutex")),
        ("The process does not help the mutex.", ("process", "mutex")),
        ("Dead process blocks the mutex.", ("process", "mutex")),
        ("The process is a small mutex reader.", ("process", "mutex")),
        ("The process blocks it, and the mutex waits.", ("process", "mutex")),
    ],
)
def test_half_a_clause_links_nothing(sentence: str, wrong: tuple[str, str]) -> None:
    """An arrow stands only where one clause has its subject, its verb and its object whole."""
    brought = (Material("m", LINKED + sentence),)
    mapped = concept_map(analyze("threads", brought), brought)
    assert mapped is not None
    labelled = {(mapped.nodes[edge.source], mapped.nodes[edge.target]) for edge in mapped.edges if edge.label}
    assert {("kernel", "thread"), ("scheduler", "process"), ("mutex", "memory")} <= labelled
    assert wrong not in labelled


def test_a_map_with_too_few_links_is_left_out() -> None:
    """Two links say less than a sentence does."""
    brought = (Material("m", "The kernel blocks the thread. The scheduler chooses the process."),)
    assert concept_map(analyze("threads", brought), brought) is None


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("machine learning", "machine learning"),
        ("Introduction to machine learning", "machine learning"),
        ("How do volcanoes erupt?", "“How do volcanoes erupt?”"),
    ],
)
def test_without_materials_there_is_an_honest_guide(topic: str, name: str) -> None:
    """It says that it knows nothing of the topic, and asks questions that name it."""
    analysis, planned, text = lesson(topic)
    assert "nothing is known about the topic" in analysis.summary
    assert f"It knows nothing about {name}" in text
    assert f"How would you explain {name} to a twelve-year-old?" in text
    assert len(planned.sections) == 6
    assert "without materials" in overview(planned)
    mapped = concept_map(analysis)
    assert mapped is not None
    assert mapped.nodes[0] == name.strip("“”")


def test_results_pass_through_json_unchanged() -> None:
    """Durable steps hand them on as JSON."""
    analysis, planned, _ = lesson("TCP", TCP)
    mapped = concept_map(analyze("photosynthesis", (PHOTOSYNTHESIS,)), (PHOTOSYNTHESIS,))
    assert mapped is not None
    for value, shape in ((analysis, TopicAnalysis), (planned, Outline), (mapped, ConceptMap)):
        adapter: TypeAdapter[object] = TypeAdapter(shape)
        assert adapter.validate_json(adapter.dump_json(value)) == value


def test_other_peoples_markup_does_nothing() -> None:
    """HTML, links with scripts and stray signs are shown as they are, and code keeps its fence."""
    hostile = (
        "Cells <script>alert(1)</script> divide *fast* [now](javascript:alert(1)) and often.\n\n"
        "````\n```\n````\n"
    )
    _, _, text = lesson("cells", Material("m", hostile))
    shown = MarkdownIt().render(text)
    assert "<script>" not in shown
    assert 'href="javascript' not in shown
    assert "<code>```\n</code>" in shown


@pytest.mark.parametrize(
    ("topic", "text", "language", "term"),
    [
        (
            "光合作用",
            "叶绿体是进行光合作用的场所。光合作用产生氧气。叶绿体含有叶绿素。光合作用很重要。",
            "zh",
            "光合作用",
        ),
        (
            "光合成",
            "光合成とは、植物が有機物を作る反応である。葉緑体で光合成が行われる。葉緑体は緑色である。",
            "ja",
            "光合成",
        ),
        (
            "Zellen",
            "Die Zelle ist die kleinste Einheit des Lebens. Jede Zelle hat eine Membran.",
            "de",
            "Zelle",
        ),
        ("תאים", "התא הוא יחידת החיים. התא מוקף בקרום. הקרום שומר על התא.", "he", "התא"),
    ],
)
def test_other_languages_are_read_too(topic: str, text: str, language: str, term: str) -> None:
    """The language is recognised and its words are found, with or without spaces between them."""
    analysis, _, _ = lesson(topic, Material("m", text))
    assert analysis.language == language
    assert term in {found.text for found in analysis.terms}


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "ab cd ef " * 11_000,
        "> " * 20_000 + "deep",
        "- a\n  - b\n    - c\n" * 9_000,
        "[" * 100_000,
        "```\nreturn x\n" * 9_000,
        "שלום עולם. " * 9_000,
        "字" * 100_000,
        "# h\n" * 20_000,
        "|a|\n|-|\n" + "|b|\n" * 20_000,
    ],
    ids=["one word", "no stop", "quotes", "lists", "brackets", "code", "rtl", "han", "headings", "table"],
)
def test_hostile_materials_take_bounded_time(text: str) -> None:
    """Ten seconds of processor time is far above what any takes here, and far below what a square would."""
    began = time.process_time()
    _, planned, _ = lesson("anything", Material("m", text[:LARGEST_CHARS]))
    assert time.process_time() - began < 10
    assert 1 <= len(planned.sections) <= 10


FRAGMENTS = st.sampled_from(
    [
        *("# A title\n", "\n\n", "- item\n", "  - deeper\n", "```\n", "| a | b |\n|---|---|\n| c | d |\n"),
        *("*", "_", "[x](", "\\", "<b>", "&amp;", "https://example.org ", "\r\n", "\x00", "\u202e"),
        *("A cell is a unit of life. ", "Cells divide because they grow. ", "If light rises, cells grow. "),
        *("e.g. ", "cell: a small thing\n", "。", "細胞は", "שלום "),
    ]
)
TEXTS = st.lists(st.one_of(FRAGMENTS, st.text(max_size=40)), max_size=40).map("".join)


@settings(max_examples=150, deadline=None)
@given(topic=st.text(max_size=60), texts=st.lists(TEXTS, max_size=3))
@example(topic="", texts=["Cells divide."])
def test_any_text_gives_the_same_lesson_twice(topic: str, texts: list[str]) -> None:
    """It never fails, and depends on nothing but its input."""
    materials = [Material(f"m{number}", text) for number, text in enumerate(texts)]
    first = lesson(topic, *materials)
    read.cache_clear()
    terms_of.cache_clear()
    assert lesson(topic, *materials) == first
    assert len(first[1].sections) <= 10
    mapped = concept_map(first[0], materials)
    assert concept_map(first[0], materials) == mapped
    assert mapped is None or mapped.nodes


@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_every_extracted_sentence_occurs_in_the_materials(text: str) -> None:
    """Nothing is made up: sentences, definitions and answers stand in the text as Markdown shows it."""
    reading = read((Material("m", text),))
    shown = squeezed(" ".join(_shown_text(text)))
    sentences = [sentence for block in reading.blocks for sentence in block.sentences]
    assert all(squeezed(sentence.text) in shown for sentence in sentences)
    found = {sentence.text for sentence in sentences}
    defined = definitions(reading.blocks, reading.language)
    assert {definition.sentence for definition in defined} <= found
    asked = questions(sentences, terms_of(reading.materials).best(10), defined, reading.language, 10)
    assert {question.sentence for question in asked} <= found


def _shown_text(text: str) -> list[str]:
    """What a Markdown parser shows of ``text``, piece by piece, read apart from the composer's own reader."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    pieces: list[str] = []
    for token in parser.parse(text.replace("\x00", " ").replace("\r\n", "\n")):
        if token.type in ("fence", "code_block"):
            pieces.append(token.content)
        shown = ("text", "code_inline", "text_special")
        pieces += [child.content for child in token.children or () if child.type in shown]
    return pieces


def test_the_overview_is_made_of_the_materials_sentences() -> None:
    """Each of its sentences stands in the text."""
    _, planned, _ = lesson("photosynthesis", PHOTOSYNTHESIS)
    said = overview(planned, (PHOTOSYNTHESIS,))
    shown = squeezed(re.sub(r"[*_]", "", PHOTOSYNTHESIS.text))
    assert all(squeezed(sentence) in shown for sentence in re.split(r"(?<=[.]) ", said))
