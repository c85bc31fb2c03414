"""Questions from what a learner noted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.agents import socratic
from orchestrator.features.days.intent import Intent
from support.learners import done

INTENT = Intent("Machine Learning", "informed", "Build production ML models", 60)


def asked(*days: object) -> list[tuple[str, str]]:
    """Why and what is asked after these days."""
    signal = socratic.signal(INTENT, list(days))  # type: ignore[arg-type]
    return [(each.why, each.question) for each in signal.questions]


@pytest.mark.parametrize(
    ("notes", "trouble"),
    [
        ("Struggled with backpropagation but got the basic concept", "backpropagation"),
        ("Fine. I don’t understand the chain rule, yet.", "the chain rule"),  # noqa: RUF001
        ("Still confused about learning rates because they differ", "learning rates"),
        ("was not sure about the loss", "the loss"),
    ],
)
def test_what_was_hard_is_asked_again(notes: str, trouble: str) -> None:
    """Where the notes name it, the question is about that."""
    why, question = asked(done(0, 7, 0, notes))[0]
    assert why == "notes"
    assert question.startswith(f"On “Subject 0” you noted trouble with “{trouble}”: ")


def test_other_notes_are_quoted() -> None:
    """In their own words and on one line, cut where they are long."""
    assert asked(done(0, 7, 0, "die Kettenregel\n ist unklar"))[0] == (
        "notes",
        "On “Subject 0” you noted: “Die Kettenregel ist unklar.” What would you add or correct today?",
    )
    [(_, long), *_] = asked(done(0, 7, 0, "many words " * 200))
    assert len(long) < 260
    assert "…”" in long


def test_notes_that_say_nothing_are_not_asked_about() -> None:
    """Such days count by their confidence alone."""
    assert [why for why, _ in asked(done(0, 9, 0, "ok"), done(1, 5, 1, " Yay :)"))] == [
        "low_confidence",
        "general",
        "general",
        "general",
    ]


def test_what_was_noted_twice_is_asked_once() -> None:
    """About the latest of these days."""
    days = [done(number, 8, number, f"struggled with Sums, day {number}") for number in range(3)]
    questions = [question for why, question in asked(*days) if why == "notes"]
    assert [question.split("”")[0] for question in questions] == ["On “Subject 2"]


def test_low_confidence_is_asked_about_where_there_are_no_notes() -> None:
    """The least sure day first; 7 is not low."""
    days = [done(0, 6, 0), done(1, 2, 1), done(2, 7, 2)]
    whys = [(why, question.split("”")[0]) for why, question in asked(*days)]
    assert whys[:2] == [("low_confidence", "You gave “Subject 1"), ("low_confidence", "You gave “Subject 0")]
    assert [why for why, _ in whys[2:]] == ["general", "general"]


def test_notes_of_long_ago_are_left_alone() -> None:
    """Only the last five days are asked about."""
    days = [done(0, 7, 0, "Struggled with sums"), *(done(number, 8, number) for number in range(1, 6))]
    assert {why for why, _ in asked(*days)} == {"general"}


@given(st.lists(st.tuples(st.integers(1, 10), st.text(max_size=300)), max_size=12))
def test_there_are_always_four_questions_without_line_breaks(told: list[tuple[int, str]]) -> None:
    """Whatever was noted."""
    days = [replace(done(number, sure, number), notes=notes) for number, (sure, notes) in enumerate(told)]
    questions = [question for _, question in asked(*days)]
    assert len(questions) == len(set(questions)) == 4
    assert all(question == " ".join(question.split()) for question in questions)
