"""Writing a section: what the materials say about it, in their own words, and questions to learn it by."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from orchestrator.agents.offline import study_guide
from orchestrator.agents.offline.definitions import Definition, definitions
from orchestrator.agents.offline.markdown import bulleted, escaped, fenced, sentence_case
from orchestrator.agents.offline.outlining import Outline, OutlineSection, blocks_of
from orchestrator.agents.offline.questions import GAP, Question, questions
from orchestrator.agents.offline.quoting import stands_alone, without_repeats
from orchestrator.agents.offline.ranking import ranked
from orchestrator.agents.offline.reading import Block, Material, Reading, Sentence, read
from orchestrator.agents.offline.terms import Term, TermIndex, terms_of
from orchestrator.agents.offline.words import MARKUP

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from orchestrator.agents.offline.analysis import TopicAnalysis

SUMMARY_SHARE = 0.4
SUMMARY_SENTENCES = (3, 6)
OVERVIEW_SENTENCES = 5
DEFINITIONS = 8
TERMS = 10
QUESTIONS = 6
KEPT_PARTS = 8
KEPT_CHARS = 6_000
KEPT_ITEMS = 15
KEPT_LINES = 80
LINKS = 8


def section(
    analysis: TopicAnalysis, planned: OutlineSection, materials: Sequence[Material] = ()
) -> Iterator[str]:
    """Write one section as Markdown, part by part; the parts joined are the section."""
    yield f"## {escaped(planned.title)}\n\n"
    if planned.guide:
        yield from study_guide.section(analysis.topic, planned.guide)
        return
    reading = read(tuple(materials))
    blocks = blocks_of(planned, reading)
    sentences = _quotable(_sentences(blocks), reading)
    index = terms_of(reading.materials)
    terms = index.within(blocks, TERMS)
    defined = definitions(blocks, reading.language)[:DEFINITIONS]
    yield _source(blocks, reading)
    yield f"**After this section you can**\n\n{bulleted([escaped(goal) for goal in planned.objectives])}\n\n"
    yield from _headed("In short", _in_short(_prose(blocks), reading, index))
    yield from _headed(
        "Key terms", _key_terms(defined, terms, {sentence.text for sentence in _prose(blocks)})
    )
    yield from _headed("Worth keeping whole", _kept(blocks))
    asked = questions(sentences, terms, defined, reading.language, QUESTIONS)
    yield from _headed("Check yourself", _asked(asked))
    yield from _headed("Links in your materials", _linked(blocks))


def overview(planned: Outline, materials: Sequence[Material] = ()) -> str:
    """The lesson in a few sentences of the materials, as plain text; what it is, where there are none."""
    reading = read(tuple(materials))
    share = -(-OVERVIEW_SENTENCES // max(1, len(planned.sections)))
    best: list[Sentence] = []
    for part in planned.sections:
        sentences = _quotable(_prose(blocks_of(part, reading)), reading)
        positions = sorted(position for position, _ in ranked(sentences)[:share])
        best.extend(sentences[position] for position in positions)
    if not reading.blocks:
        return (
            f"A study guide for “{planned.title}” in {len(planned.sections)} parts: where you stand, what to "
            "ask, where to look, how to note, test and review what you find."
        )
    if not best:
        return f"{len(planned.sections)} sections: {'; '.join(part.title for part in planned.sections)}."
    return " ".join(sentence.text for sentence in without_repeats(best)[:OVERVIEW_SENTENCES])


def _headed(heading: str, body: str) -> Iterator[str]:
    if body:
        yield f"### {heading}\n\n{body}\n\n"


def _sentences(blocks: Iterable[Block]) -> list[Sentence]:
    return [sentence for block in blocks if block.kind != "heading" for sentence in block.sentences]


def _prose(blocks: Iterable[Block]) -> list[Sentence]:
    return [sentence for block in blocks if block.kind == "prose" for sentence in block.sentences]


def _source(blocks: Sequence[Block], reading: Reading) -> str:
    if len(reading.materials) < 2:  # noqa: PLR2004 - with one material there is nothing to tell apart
        return ""
    names = list(dict.fromkeys(reading.materials[block.material].name for block in blocks))
    return f"*From {', '.join(escaped(name) for name in names)}*\n\n"


def _in_short(prose: Sequence[Sentence], reading: Reading, index: TermIndex) -> str:
    """What says most, in the order of the text. Lists are left out: they follow whole.

    Where no sentence stands alone, the passage is quoted from its start.
    """
    best = _weightiest(_quotable(prose, reading), index)
    start = [sentence for sentence in without_repeats(prose) if not MARKUP.search(sentence.text)]
    return " ".join(escaped(sentence.text) for sentence in best or start[: SUMMARY_SENTENCES[0]])


def _quotable(sentences: Iterable[Sentence], reading: Reading) -> list[Sentence]:
    """The sentences that can be quoted by themselves, each once."""
    return without_repeats(each for each in sentences if stands_alone(each.text, reading.language))


def _weightiest(sentences: Sequence[Sentence], index: TermIndex) -> list[Sentence]:
    least, most = SUMMARY_SENTENCES
    wanted = min(most, max(least, round(len(sentences) * SUMMARY_SHARE)))
    scored = ranked(sentences)
    weights = {position: index.weight(sentences[position]) for position, _ in scored}
    heaviest = max(weights.values(), default=0.0) or 1.0
    chosen: list[int] = []
    for position, _ in sorted(scored, key=lambda pair: (-pair[1] - weights[pair[0]] / heaviest, pair[0])):
        if not any(_repeats(sentences[position], sentences[other]) for other in chosen):
            chosen.append(position)
        if len(chosen) == wanted:
            break
    return [sentences[position] for position in sorted(chosen)] or list(sentences[:least])


def _repeats(one: Sentence, other: Sentence) -> bool:
    first = {word.stem for word in one.words if not word.small}
    second = {word.stem for word in other.words if not word.small}
    return 2 * len(first & second) > len(first | second)


def _key_terms(defined: Sequence[Definition], terms: Sequence[Term], prose: Container[str]) -> str:
    """What is defined in running text with its definition, and what else to know. Lists follow whole."""
    lines = [
        f"**{escaped(sentence_case(each.term))}** — {escaped(each.sentence)}"
        for each in defined
        if each.sentence in prose
    ]
    known = " ".join(each.term for each in defined if each.sentence in prose).casefold()
    others = [term.text for term in terms if term.text.casefold() not in known]
    paragraphs = [bulleted(lines)] if lines else []
    if others:
        named = ", ".join(escaped(term) for term in others)
        paragraphs.append(f"{'Also know' if lines else 'Know'}: {named}.")
    return "\n\n".join(paragraphs)


def _kept(blocks: Sequence[Block]) -> str:
    """Lists, code and tables as they stand, each under the heading or the line that leads to it."""
    parts: list[str] = []
    lead = ""
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        run = list(group)
        if kind in ("heading", "prose"):
            lead = run[-1].text if kind == "heading" or run[-1].text.endswith(":") else lead
            continue
        body = _whole(kind, run)
        if body and len(parts) < KEPT_PARTS and sum(map(len, parts)) + len(body) <= KEPT_CHARS:
            parts.append(f"**{escaped(lead.rstrip(':'))}**\n\n{body}" if lead else body)
            lead = ""
    return "\n\n".join(parts)


def _whole(kind: str, blocks: list[Block]) -> str:
    if kind == "item":
        return _list(blocks) if len(blocks) > 1 else ""
    shown = [block for block in blocks if len(block.raw.splitlines()) <= KEPT_LINES]
    return "\n\n".join(block.raw if kind == "table" else fenced(block.raw, block.language) for block in shown)


def _list(items: list[Block]) -> str:
    top = min(item.level for item in items)
    lines = [f"{'  ' * min(item.level - top, 3)}- {escaped(item.text)}" for item in items[:KEPT_ITEMS]]
    if len(items) > KEPT_ITEMS:
        lines.append(f"- … and {len(items) - KEPT_ITEMS} more in your material")
    return "\n".join(lines)


def _asked(asked: Sequence[Question]) -> str:
    if not asked:
        return ""
    lines = [f"{number}. {_with_gap(escaped(each.question))}" for number, each in enumerate(asked, 1)]
    answers = [f"{number}. {_answer(each)}" for number, each in enumerate(asked, 1)]
    return "{}\n\n**Answers**, word for word from your materials\n\n{}".format(
        "\n".join(lines), "\n".join(answers)
    )


def _with_gap(question: str) -> str:
    """Underscores after a space do nothing in Markdown, and read better without the backslashes."""
    return question.replace(escaped(GAP), GAP)


def _answer(question: Question) -> str:
    if question.answer == question.sentence:
        return escaped(question.answer)
    return f"**{escaped(question.answer)}** — “{escaped(question.sentence)}”"


def _linked(blocks: Sequence[Block]) -> str:
    found = dict.fromkeys(link for block in blocks for link in block.links)
    return bulleted([f"[{escaped(text) or 'link'}](<{address}>)" for text, address in list(found)[:LINKS]])
