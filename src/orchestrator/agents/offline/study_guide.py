"""A study guide for a topic about which nothing is known here: how to learn it and check yourself.

The questions climb the steps of Bloom's taxonomy as revised by Anderson and Krathwohl (2001). The dates of
review widen, since spaced practice holds better than the same time in one piece (Cepeda et al. 2006).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.agents.offline.markdown import bulleted, escaped

if TYPE_CHECKING:
    from collections.abc import Iterator

REVIEW_DAYS = (1, 3, 7, 16, 35)
MAX_NAME_CHARS = 80
OPENINGS = re.compile(
    r"^(?:an? |the )?(?:introduction|intro|guide|primer|basics|fundamentals|overview) (?:to|of|on|for)\s+"
    r"(?:the\s+)?",
    re.IGNORECASE,
)
REQUESTS = re.compile(
    r"^(?:please\s+)?(?:teach me|tell me|i want to learn|learn|explain|help me understand)(?: about)?\s+",
    re.IGNORECASE,
)
COMMON_NOUN = re.compile(
    r"(?:ing|ism|logy|graphy|nomy|metry|sis|tion|sion|ics|ment|ity|ness|ture|ance|ence|ship|ery|ware)s?$"
)
OF_A_PLACE = re.compile(r"(?:ish|ese|ian|ican|pean|French|Greek|Dutch|German|Roman|Norman|Swiss|Czech)$")
ASKING = re.compile(r"^(?:what|why|how|when|where|who|which|is|are|do|does|can|should)\b.*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the guide."""

    name: str
    title: str
    objectives: tuple[str, ...]


def parts(topic: str) -> tuple[Part, ...]:
    """The parts of the guide, in order."""
    name = subject(topic)
    return (
        Part(
            "start",
            "Where you stand",
            (f"Say what you know of {name} already", "Decide what you want it for"),
        ),
        Part("questions", "Questions to learn by", (f"Turn {name} into questions that can be answered",)),
        Part(
            "sources",
            "Find sources and judge them",
            ("Find three sources that differ", "Tell a good one from a bad one"),
        ),
        Part("notes", "Notes that make you think", (f"Write one page on {name} that you could teach from",)),
        Part("test", "Test yourself", ("Answer without looking", "See what is missing")),
        Part("review", "Come back to it", (f"Still know {name} in five weeks",)),
    )


def subject(topic: str) -> str:
    """The topic as it reads inside a sentence: without "Introduction to", in quotes when it is a question."""
    name = REQUESTS.sub("", OPENINGS.sub("", " ".join(topic.split()))).rstrip(" .!") or topic.strip()
    if ASKING.match(name) or len(name) > MAX_NAME_CHARS:
        return f"“{name}”"
    return name[:1].lower() + name[1:] if _is_common(name) else name


def _is_common(name: str) -> bool:
    """Whether the first capital is only that of a beginning: "Knitting", "Machine learning", but not "Paris".

    A name or an acronym has a capital further on, or is one word that no ending shows to be a common noun.
    """
    first, _, rest = name.partition(" ")
    if not first.isalpha() or first[1:] != first[1:].lower() or rest != rest.lower():
        return False
    return COMMON_NOUN.search(first) is not None or (bool(rest) and OF_A_PLACE.search(first) is None)


def section(topic: str, part: str) -> Iterator[str]:
    """Write one part of the guide as Markdown, piece by piece."""
    name = escaped(subject(topic))
    yield from _WRITERS[part](name)


def question_map(topic: str) -> tuple[str, tuple[str, ...], tuple[tuple[int, str], ...]]:
    """A map of what to ask: title, nodes with the topic first, and a label for the way to each other node."""
    name = subject(topic).strip("“”")
    asked = (
        ("Definition", "what is it?"),
        ("Parts", "made of what?"),
        ("Mechanism", "how does it work?"),
        ("Causes", "where from?"),
        ("Examples", "for instance?"),
        ("Uses", "what for?"),
        ("Limits", "when not?"),
        ("Relatives", "how unlike others?"),
    )
    nodes = (name, *(node for node, _ in asked))
    return (
        f"What to ask about {name}",
        nodes,
        tuple((place, label) for place, (_, label) in enumerate(asked, 1)),
    )


def _start(name: str) -> Iterator[str]:
    yield "Take ten minutes and paper, and look nothing up yet.\n\n"
    yield _numbered(
        f"Write down everything that {name} brings to mind, right or wrong. Wrong guesses now make the right "
        "answers stick later.",
        "Mark each line: **sure**, **think so**, or **guess**.",
        f"Finish this sentence: “I want to understand {name} so that I can …”. It decides how deep you need "
        "to go.",
        "Write the three questions that you would put to an expert. They go to the top of the next part.",
    )


def _questions(name: str) -> Iterator[str]:
    yield "Work down the list. Each step needs the one before; stop where your purpose is met.\n\n"
    ladder = {
        "Remember": (
            f"What is the shortest correct definition of {name}?",
            f"Which five words do all sources on {name} use?",
        ),
        "Understand": (
            f"How would you explain {name} to a twelve-year-old?",
            f"What is {name} often confused with, and what is the difference?",
        ),
        "Apply": (
            f"Where have you met {name} this month?",
            f"What problem could you solve today with what you know of {name}?",
        ),
        "Analyse": (
            f"What is {name} made of, and how do the parts work on each other?",
            f"What does {name} need, and what follows from it?",
        ),
        "Evaluate": (
            f"Where does {name} fail, or not apply?",
            f"What do critics say of {name}, and what is their best evidence?",
        ),
        "Create": (
            f"What example of {name} can you make that is in none of your sources?",
            f"What would change if one part of {name} were missing?",
        ),
    }
    for step, asked in ladder.items():
        yield f"**{step}**\n\n{bulleted(list(asked))}\n\n"


def _sources(name: str) -> Iterator[str]:
    bare = name.strip("“”")
    yield "Search in this order, a quarter of an hour each, and keep one source from each line.\n\n"
    yield _numbered(
        f"**An overview**: “{bare}” in an encyclopedia. Read the first paragraph and the contents, no more, "
        "and list the words you do not know.",
        f"**A teacher**: “{bare} lecture notes” or “{bare} course”. Someone has put the parts in an order.",
        f"**A worked case**: “{bare} example” or “{bare} case study”. See it happen once, from start to end.",
        f"**A doubter**: “{bare} misconceptions” or “{bare} criticism”. What people get wrong shows what "
        "matters.",
        f"**The source itself**: “{bare} review article” or “{bare} specification”. Whatever others quote.",
    )
    yield "Before you trust a page, ask four things:\n\n"
    yield (
        bulleted(
            [
                "Who wrote it, and how would they know?",
                "What do they want from you?",
                "When was it written, and has the matter moved since?",
                "Does a second source that did not copy from it say the same?",
            ]
        )
        + "\n\n"
    )


def _notes(name: str) -> Iterator[str]:
    yield f"One page on {name}, in your own words. Copying feels like learning and is not.\n\n"
    yield (
        "| Cue | Notes |\n| --- | --- |\n"
        f"| What is it? | {name} is … |\n"
        "| How does it work? | First …, then …, because … |\n"
        "| An example | … |\n"
        "| A counter-example | It looks alike, but … |\n"
        "| What I still do not see | … |\n\n"
    )
    yield "Then, with the page closed:\n\n"
    yield _numbered(
        "Explain it aloud as if to someone new, for two minutes.",
        "Where you slow down or reach for a word you cannot explain, mark the place: read there next.",
        "Write three sentences that sum the page up at its foot.",
    )


def _test(name: str) -> Iterator[str]:
    yield "Answer in writing, without looking. Give each answer 0 (nothing), 1 (in part) or 2 (whole).\n\n"
    yield _numbered(
        f"Define {name} in one sentence.",
        "Name its most important parts or steps, in order.",
        "Give an example of your own and say why it is one.",
        "Give something that looks like an example and is not, and say why.",
        "Say what would happen if its most important part were missing.",
        "Name one thing that you believed at the start and no longer do.",
    )
    yield (
        "**10 to 12**: go on to something harder. **6 to 9**: read again about the lowest answers only. "
        "**Under 6**: go back to the overview, and take one source fewer.\n\n"
    )


def _review(name: str) -> Iterator[str]:
    yield "Count from the day you first finish the test. Each time: test first, look after.\n\n"
    tasks = (
        "Redraw the map from memory, then compare",
        "Answer the questions you had below 2",
        "Explain it to somebody, or aloud",
        "Take the whole test again",
        "Write the one-page note anew and lay it beside the first",
    )
    rows = [f"| {day} | {task} | ☐ |" for day, task in zip(REVIEW_DAYS, tasks, strict=True)]
    yield "| Day | What to do | Done |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
    yield f"When a date goes well, {name} can wait for the next. When it does not, start again at day 1.\n\n"


def _numbered(*lines: str) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)) + "\n\n"


_WRITERS = {
    "start": _start,
    "questions": _questions,
    "sources": _sources,
    "notes": _notes,
    "test": _test,
    "review": _review,
}
