"""Ids: unique, in the order of their time, and the same again for the same thing."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.ids import id_of, new_id

moments = st.integers(0, 2**47).map(lambda ms: ms / 1_000)


@given(st.text(), moments)
def test_an_id_of_something_is_a_uuid_of_its_moment(source: str, at_s: float) -> None:
    """Of version 7 and the variant of RFC 9562, whatever it stands for."""
    found = UUID(id_of(source, at_s))
    assert (found.version, found.variant) == (7, UUID(new_id()).variant)
    assert found.int >> 80 == int(at_s * 1_000)


@given(st.text(), st.text(), moments, moments)
def test_it_is_the_same_for_the_same_alone(one: str, other: str, at_s: float, later_s: float) -> None:
    """Another thing or another millisecond is another id, and the later one comes after the earlier."""
    assert id_of(one, at_s) == id_of(one, at_s)
    assert (id_of(one, at_s) == id_of(other, at_s)) == (one == other)
    if int(at_s * 1_000) < int(later_s * 1_000):
        assert id_of(one, at_s) < id_of(other, later_s)
