"""Minutes that add up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.features.days.agents.timeboxes import fitted, frame, shares

weights = st.lists(st.integers(1, 100), min_size=1, max_size=12)


@given(st.integers(12, 180), weights)
def test_shares_add_up(minutes: int, given_weights: list[int]) -> None:
    """To exactly what there is, a minute or more each, and never less for who has more weight."""
    given_minutes = shares(minutes, given_weights)
    assert sum(given_minutes) == minutes
    assert min(given_minutes) >= 1
    by_weight = sorted(zip(given_weights, given_minutes, strict=True))
    assert all(one[1] <= other[1] + 1 for one, other in pairwise(by_weight))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(12, 180))
def test_what_fits_stays_and_what_does_not_is_shortened(planned: list[int], limit: int) -> None:
    """Nothing is stretched, and no step is lost."""
    given_minutes = fitted(planned, limit)
    assert len(given_minutes) == len(planned)
    assert sum(given_minutes) == min(sum(planned), limit)


def test_what_cannot_be_shared_is_refused() -> None:
    """More steps than minutes, or a step that weighs nothing."""
    with pytest.raises(ValueError, match="2 minutes cannot be shared by 3 steps"):
        shares(2, [1, 1, 1])
    with pytest.raises(ValueError, match="above 0"):
        shares(5, [1, 0])


@given(st.integers(20, 180))
def test_a_day_leaves_most_of_its_time_for_practice(minutes: int) -> None:
    """Half or more of it, however many reviews are due."""
    allowed = frame(minutes)
    assert allowed.practice(allowed.most_reviews) * 2 >= minutes
