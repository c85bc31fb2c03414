"""Plans by rules: what learners get when nobody answers, and what the instructor says without a model."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.agents import clo, socratic, ta
from orchestrator.features.days.agents.composition import Signals
from orchestrator.features.days.agents.signals import AlexSignal, DailyPlan, Practice
from orchestrator.features.days.fallback import fallback_plan
from orchestrator.features.days.intent import Intent
from support.learners import DEPTHS, START, done, intents

MINUTES = re.compile(r" \((\d+) min\)$")
INTENT = Intent("Machine Learning", "informed", "Build production ML models", 60, "America/New_York")


def minutes_of(plan: DailyPlan) -> list[int]:
    """The minutes of the plan's steps, each of which must tell them."""
    found = [MINUTES.search(step) for step in plan.plan_json.steps]
    return [int(each[1]) if each else 0 for each in found]


def test_a_plan_is_what_the_document_shows() -> None:
    """It begins with today's focus, and its summary has title, description and steps."""
    plan = fallback_plan(INTENT, 1, 2)
    assert plan.plan_md.startswith(
        "# Daily Learning Plan\n\n## Today's Focus: Machine Learning: core vocabulary"
    )
    assert plan.plan_json.title == "Machine Learning: core vocabulary"
    assert plan.plan_json.description in plan.plan_md
    assert len(plan.plan_json.steps) == 6
    assert plan.plan_md.endswith("Planned by rules, without a language model.\n")


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("minutes", [20, 39, 40, 60, 89, 90, 91, 120, 150, 179, 180])
def test_every_week_and_day_has_a_plan_of_its_own(depth: str, minutes: int) -> None:
    """Through the whole curriculum and beyond no two days in a row are the same, and all fill the time."""
    intent = Intent("Spanish", depth, "Order food in Madrid", minutes)  # type: ignore[arg-type]
    plans = [fallback_plan(intent, week, day) for week in range(1, 12) for day in range(1, 6)]
    assert len({plan.plan_json.title for plan in plans}) == len(plans)
    assert {sum(minutes_of(plan)) for plan in plans} == {minutes}


@given(
    intents,
    st.integers(1, 60),
    st.integers(1, 5),
    st.lists(st.integers(1, 10), max_size=12),
    st.sets(st.sampled_from(["clo", "ta", "socratic"])),
)
def test_steps_always_fit_the_time(
    intent: Intent, week: int, day: int, confidences: list[int], answered: set[str]
) -> None:
    """Whoever answered and whatever is due: a minute or more each, and never more than there is."""
    days = [done(number, sure, number, "Struggled with sums") for number, sure in enumerate(confidences)]
    today = (START + timedelta(days=20)).date()
    signals = Signals(
        clo=clo.signal(intent, week, day) if "clo" in answered else None,
        ta=ta.signal(intent, week, day, days, today) if "ta" in answered else None,
        socratic=socratic.signal(intent, days) if "socratic" in answered else None,
    )
    minutes = minutes_of(fallback_plan(intent, week, day, signals))
    assert min(minutes) >= 1
    assert sum(minutes) <= intent.time_per_day_min


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40), st.integers(20, 180))
def test_practice_of_another_assistant_is_made_to_fit(asked: list[int], minutes: int) -> None:
    """However much it asks for, and however many tasks."""
    foreign = ta.signal(INTENT, 1, 1, [], date(2026, 1, 5)).model_copy(
        update={"practice": [Practice(task="Play", minutes=each) for each in asked]}
    )
    plan = fallback_plan(Intent("Piano", "surface", "Play", minutes), 1, 1, Signals(ta=foreign))
    assert sum(minutes_of(plan)) <= minutes


def test_due_reviews_come_first_and_questions_last() -> None:
    """With the title of what was learned, and what was hard."""
    days = [done(0, 3, 0, "Struggled with backpropagation but got the basic concept")]
    today = (START + timedelta(days=1)).date()
    signals = Signals(ta=ta.signal(INTENT, 1, 2, days, today), socratic=socratic.signal(INTENT, days))
    steps = fallback_plan(INTENT, 1, 2, signals).plan_json.steps
    assert steps[0] == "Recall “Subject 0” (week 1, day 1) without looking, then check (5 min)"
    assert "“backpropagation”" in steps[4]


def test_the_day_itself_is_not_among_its_reviews() -> None:
    """Asked again after the day was done, the day's own practice is no review."""
    days = [done(0, 3, 0)]
    assert ta.signal(INTENT, 1, 1, days, (START + timedelta(days=3)).date()).reviews == []


def test_research_is_told_apart_from_what_rules_say() -> None:
    """Where there is some, it is shown with who wrote it; where it is off, nothing is said of it."""
    found = AlexSignal(
        generator="model-x",
        research="on",
        summary="Nets learn by error.",
        key_ideas=["Loss"],
        misconceptions=["Nets think"],
        look_up=["SGD"],
    )
    plan = fallback_plan(INTENT, 1, 2, Signals(alex=found))
    assert plan.research_summary == "Nets learn by error."
    assert (
        "### Research\n\nNets learn by error.\n\n- Loss\n\n"
        "Often believed, and wrong:\n\n- Nets think\n\nLook up: SGD." in plan.plan_md
    )
    off = fallback_plan(INTENT, 1, 2, Signals(alex=AlexSignal(research="off")))
    assert off == fallback_plan(INTENT, 1, 2)


def test_what_people_write_is_shown_and_does_nothing() -> None:
    """Markup in topics, goals and notes stays text."""
    hostile = Intent("<script>alert(1)</script> [x](javascript:1)", "surface", "# <b>win</b>", 60)
    days = [done(0, 7, 0, "![pixel](https://tracker.example/x.png)")]
    plan = fallback_plan(hostile, 1, 1, Signals(socratic=socratic.signal(hostile, days)))
    assert not re.search(r"(?<!\\)[<\[]", plan.plan_md)
    assert "\n# " not in plan.plan_md
