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

from orchestrator.agents import offline
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
from orchestrator.agents.offline.quoting import stands_alone
from orchestrator.agents.offline.reading import read
from orchestrator.agents.offline.terms import terms_of
from orchestrator.agents.offline.words import count_words

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
        ("Knitting", "knitting"),
        ("Machine learning", "machine learning"),
        ("Paris", "Paris"),
        ("Roman law", "Roman law"),
        ("DNA", "DNA"),
        ("French Revolution", "French Revolution"),
        ("How do volcanoes erupt?", "“How do volcanoes erupt?”"),
    ],
)
def test_without_materials_there_is_an_honest_guide(topic: str, name: str) -> None:
    """It says that it knows nothing of the topic, and asks questions that name it."""
    analysis, planned, text = lesson(topic)
    assert analysis.summary.count("nothing is known about the topic") == 1
    assert "made offline" not in text
    assert f"How would you explain {name} to a twelve-year-old?" in text
    assert len(planned.sections) == 6
    assert "study guide" in overview(planned)
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


REVOLUTION = Material(
    "revolution.txt",
    "In May 1789 the king summoned the Estates-General, an assembly of clergy, nobles and commoners. "
    "The commoners, who were called the Third Estate, wanted more votes. War began in August.\n\n"
    "On 14 July a crowd attacked the Bastille, a fortress and prison. It was nearly empty. "
    "In August the National Assembly abolished feudal rights, and the king's wars were the third reason.\n\n"
    "In June the king fled. The Directory was a government of five men. The crowd refused to collect taxes "
    "some years ago.\n\n"
    "The Terror was a period of mass arrests and executions. This period is remembered. "
    "Robespierre was a lawyer from Arras. Robespierre fell in July, and the National Assembly was closed.\n",
)


def test_plain_text_defines_by_the_past_and_in_passing() -> None:
    """What was, what stands beside a name, and what something is called are definitions; an order is none."""
    reading = read((REVOLUTION,))
    defined = {found.term for found in definitions(reading.blocks, "en")}
    assert {"Estates-General", "Third Estate", "Bastille", "Directory", "Terror", "Robespierre"} <= defined
    assert not any("wars" in term or "period" in term for term in defined)


def test_terms_are_nouns_and_whole_names() -> None:
    """No months, ordinals, possessives or verbs, and no name cut in two."""
    terms = {term.text for term in terms_of((REVOLUTION,)).best(40)}
    assert {"National Assembly", "Third Estate", "Terror", "king"} <= terms
    wrong = {
        "June",
        "August",
        "third",
        "began",
        "ago",
        "collect",
        "king's wars",
        "National",
        "Assembly",
        "fell",
    }
    assert not wrong & terms


def test_plain_text_has_sections_named_by_what_they_open_with() -> None:
    """A few paragraphs make a section, and its title is one name or term."""
    _, planned, text = lesson("The French Revolution", REVOLUTION)
    titles = [part.title for part in planned.sections]
    assert len(titles) > 1
    assert not any(" and " in title for title in titles)
    gaps = re.findall(r"^\d+\. \*\*(.+)\*\* — “", text, re.MULTILINE)
    assert not {"ago", "began", "collect", "June"} & set(gaps)


def test_what_points_back_is_not_quoted_alone() -> None:
    """A sentence whose subject stands in another one is no summary, question or definition."""
    _, _, text = lesson("The French Revolution", REVOLUTION)
    assert "It was nearly empty" not in text
    assert "This period is remembered" not in text
    assert not stands_alone("A thylakoid is one such sac.", "en")
    assert not stands_alone("A plant turns these three into sugar.", "en")
    assert not stands_alone("Cacti collect it at night, when opening costs less.", "en")
    assert stands_alone("The crown owed $5 million and later $10 million to bankers.", "en")
    assert stands_alone("Cells that divide do so because they grow, such as skin cells.", "en")


def test_repeated_sentences_are_said_once() -> None:
    """A text that says one thing five times says it once in the lesson's summary."""
    said = "The kernel blocks the thread that waits for a semaphore."
    brought = (Material("m", f"{said} " * 5 + "The scheduler chooses a process from the long queue of all."),)
    planned = outline(analyze("kernels", brought), brought)
    assert overview(planned, brought).count(said) == 1


def test_signs_for_machines_are_no_vocabulary() -> None:
    """Addresses, tags, formulas, boxes to tick and pictures are in no term, gap, goal or summary."""
    text = (
        "- [x] read the chapter on cells\n- [ ] draw the cell\n\n"
        "A cell is the unit of life. Every cell has a membrane, and the membrane keeps water in the cell. "
        "Read https://example.com/a/page.html on the cell. Then <script>alert(1)</script> divides the cell. "
        "The rate is $\\frac{atom}{script}$ of the cell. ![an atom](atom.png)\n"
    )
    brought = (Material("m", text),)
    analysis, _, written = lesson("Cells", *brought)
    vocabulary = " ".join(term.text for term in analysis.terms)
    assert not re.search(r"atom|script|alert|https|com|page|frac|html", vocabulary)
    assert not re.search(r"alert|https|frac|\\\[x", written)
    assert "read the chapter on cells" in written


def test_other_languages_are_told_what_is_in_english() -> None:
    """A lesson from German materials says that its headings are in English; one from English says nothing."""
    german = Material("m", "Die Zelle ist die kleinste Einheit des Lebens. Jede Zelle hat eine Membran.")
    assert "Headings and questions are in English" in analyze("Zellen", (german,)).summary
    assert "in English" not in analyze("TCP", (TCP,)).summary


@pytest.mark.parametrize(("text", "words"), [("a b - c\n# d", 4), ("光合作用", 4), ("", 0), ("ATP是能量", 4)])
def test_words_are_counted_as_people_count_them(text: str, words: int) -> None:
    """Signs are no words."""
    assert count_words(text) == words


def test_the_parts_of_a_lesson_are_a_picture_of_any_text() -> None:
    """Sections around the title; the terms where there is one section; nothing where there is neither."""
    parts = offline.Outline(
        "Tides", (offline.OutlineSection("The moon", ()), offline.OutlineSection("The sun", ()))
    )
    drawn = offline.outline_map(parts, ())
    assert drawn is not None
    assert drawn.nodes == ("Tides", "The moon", "The sun")
    assert [(edge.source, edge.target, edge.label) for edge in drawn.edges] == [(0, 1, ""), (0, 2, "")]
    alone = offline.Outline("Tides", (offline.OutlineSection("Tides", ()),))
    of_terms = offline.outline_map(alone, (offline.Term("gravity", 2, 1.0),))
    assert of_terms is not None
    assert of_terms.nodes == ("Tides", "gravity")
    assert offline.outline_map(alone, ()) is None
