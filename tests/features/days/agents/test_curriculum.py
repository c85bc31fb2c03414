"""Where a day stands in a curriculum, and how it reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.agents.curriculum import WEEKS, lesson, position, titled
from orchestrator.features.days.agents.expert_stages import LIMITS
from orchestrator.features.days.agents.stages import FOUNDATIONS, PROJECT
from orchestrator.features.days.intent import Intent
from support.learners import DEPTHS, intents


def test_deeper_takes_longer_and_begins_alike() -> None:
    """Everybody begins with the foundations and comes to a project; experts go on from there."""
    assert [len(WEEKS[depth]) for depth in DEPTHS] == [3, 4, 8]
    assert all(WEEKS[depth][0] is FOUNDATIONS and WEEKS[depth][-1] is PROJECT for depth in DEPTHS)


def test_whoever_is_through_goes_on_in_rounds() -> None:
    """With the last two weeks in turn; the title says which round, and other material is asked for."""
    intent = Intent("Knitting", "expert", "Knit a jumper", 30)
    assert position("expert", 9, 1).stage is LIMITS
    assert [position("expert", week, 1).round for week in (4, 8, 9, 10, 11)] == [1, 2, 2, 3, 3]
    again = lesson(intent, 10, 1)
    assert again.title == "Knitting: a project plan (round 3)"
    assert again.aim.endswith("Take other material than the last time.")


@pytest.mark.parametrize(("week", "day"), [(0, 1), (1, 0), (1, 6), (-1, 3)])
def test_there_are_no_other_days(week: int, day: int) -> None:
    """Weeks begin at 1 and have five days."""
    with pytest.raises(ValueError, match="days go from 1 to 5"):
        position("informed", week, day)


@pytest.mark.parametrize(
    ("topic", "title"),
    [
        ("Machine Learning", "Machine Learning: core vocabulary"),
        ("introduction to knitting", "Knitting: core vocabulary"),
        ("How do neural networks learn?", "How do neural networks learn? Core vocabulary"),
        ("word " * 100, f"{'Word word ' + 'word ' * 12}word… Core vocabulary"),
    ],
)
def test_titles_read_well(topic: str, title: str) -> None:
    """A subject, whatever the learner called it, then what the day is about."""
    assert titled(topic, "core vocabulary") == title


@given(intents, st.integers(1, 2_000), st.integers(1, 5))
def test_every_day_of_every_week_is_about_something(intent: Intent, week: int, day: int) -> None:
    """For whatever topic and goal, with no placeholder left and none of theirs read as one."""
    found = lesson(intent, week, day)
    assert found.title.strip()
    assert found.aim.strip()
    assert len(found.outcomes) >= 2
    plain = lesson(Intent("tides", intent.depth, "see", 60), week, day)
    assert not any("{" in text or "}" in text for text in (plain.title, plain.aim, *plain.outcomes))


def test_a_long_goal_does_not_stand_in_every_sentence() -> None:
    """It is at the top of the plan already."""
    found = lesson(Intent("Piano", "surface", "play " + "very " * 30 + "well", 60), 1, 1)
    assert found.outcomes[2] == "Point to the parts that your goal needs"


def test_braces_of_a_learner_are_only_text() -> None:
    """A topic that looks like a placeholder is shown as it is."""
    found = lesson(Intent("{goal} {0}", "informed", "{topic.__class__}", 60), 1, 1)
    assert found.aim == "See what {goal} {0} covers, and where your goal lies in it."
    assert "“{topic.__class__}”" in found.outcomes[2]
