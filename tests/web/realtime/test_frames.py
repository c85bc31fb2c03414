"""Frames of both versions, read and written as clients do; what is none is refused and harms nobody."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.web.realtime.frames import (
    LONGEST_REF,
    Frame,
    MalformedFrameError,
    Version,
    decode,
    encode,
)

if TYPE_CHECKING:
    from pydantic import JsonValue

TOPIC = "realtime:wisely.events"
refs = st.one_of(st.none(), st.text(max_size=LONGEST_REF // 2), st.integers(0, 10**9))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
frames = st.builds(
    Frame,
    topic=texts,
    event=texts,
    payload=st.dictionaries(texts, values, max_size=4),
    ref=refs,
    join_ref=refs,
)


def test_a_join_as_supabase_js_sends_it() -> None:
    """The capture of version 2, and the same in version 1."""
    payload: dict[str, JsonValue] = {"config": {"broadcast": {"ack": False, "self": False}, "private": False}}
    two = decode(Version.TWO, json.dumps(["6", "7", TOPIC, "phx_join", payload]))
    told = {"topic": TOPIC, "event": "phx_join", "payload": payload, "ref": "7", "join_ref": "6"}
    assert two == decode(Version.ONE, json.dumps(told)) == Frame(TOPIC, "phx_join", payload, "7", "6")


def test_a_broadcast_as_clients_expect_it() -> None:
    """The capture of version 2, to the letter but for spaces; version 1 names the same fields."""
    payload: dict[str, JsonValue] = {
        "type": "broadcast",
        "event": "instructor_plan_created",
        "payload": {"week": 1},
    }
    frame = Frame(TOPIC, "broadcast", payload)
    assert encode(Version.TWO, frame) == (
        '[null,null,"realtime:wisely.events","broadcast",'
        '{"type":"broadcast","event":"instructor_plan_created","payload":{"week":1}}]'
    )
    assert json.loads(encode(Version.ONE, frame)) == {
        "topic": TOPIC,
        "event": "broadcast",
        "payload": payload,
        "ref": None,
        "join_ref": None,
    }


def test_a_clients_own_broadcast_is_binary_in_version_2() -> None:
    """The fields by their lengths; the payload behind them is left alone."""
    fields = [b"6", b"8", TOPIC.encode(), b"hi", b"{}"]
    lengths = bytes(map(len, fields))
    sent = b"\x03" + lengths + b"\x01" + b"".join(fields) + b'{"n":1}'
    frame = decode(Version.TWO, sent)
    assert (frame.join_ref, frame.ref, frame.topic, frame.event) == ("6", "8", TOPIC, "broadcast")
    assert frame.payload == {"type": "broadcast", "event": "hi"}


@given(frame=frames, version=st.sampled_from(Version))
def test_what_is_written_reads_back_the_same(frame: Frame, version: Version) -> None:
    """Any text, any reference, any payload."""
    assert decode(version, encode(version, frame)) == frame


@given(given=st.one_of(st.binary(max_size=60), st.text(max_size=60)), version=st.sampled_from(Version))
def test_nothing_that_a_client_sends_does_more_than_be_refused(given: str | bytes, version: Version) -> None:
    """It is a frame, or the one error."""
    with suppress(MalformedFrameError):
        assert isinstance(decode(version, given), Frame)


@given(given=values, version=st.sampled_from(Version))
def test_no_json_does_more_than_be_refused(given: Any, version: Version) -> None:  # noqa: ANN401  # JSON
    """Of whatever shape."""
    with suppress(MalformedFrameError):
        assert isinstance(decode(version, json.dumps(given)), Frame)


@pytest.mark.parametrize(
    ("version", "wrong", "says"),
    [
        ("2.0.0", "[" * 60_000, "no JSON"),
        ("2.0.0", '["\\ud800","1","t","e",{}]', "no JSON"),
        ("2.0.0", "[NaN,1,1,1,1]", "no JSON"),
        ("2.0.0", '["1","1","t","e"]', "takes .join_ref"),
        ("2.0.0", '{"topic":"t"}', "takes .join_ref"),
        ("2.0.0", '[{},"1","t","e",{}]', "short texts"),
        ("2.0.0", f'["{"1" * 65}","1","t","e",{{}}]', "short texts"),
        ("2.0.0", '[true,"1","t","e",{}]', "short texts"),
        ("2.0.0", '["1","1",null,"e",{}]', "are texts"),
        ("2.0.0", '["1","1","t","e",[]]', "is an object"),
        ("2.0.0", b"", "broadcasts alone"),
        ("2.0.0", b"\x00\x01\x01\x01\x01\x01\x01", "broadcasts alone"),
        ("2.0.0", b"\x03\xff\xff\xff\xff\xff\x01abc", "shorter than"),
        ("2.0.0", b"\x03\x01\x00\x00\x00\x00\x01\xff", "no UTF-8"),
        ("1.0.0", "[]", "takes an object"),
        ("1.0.0", b"\x03", "no binary"),
    ],
)
def test_what_is_no_frame_is_told_so(version: str, wrong: str | bytes, says: str) -> None:
    """In a few words that hold nothing of what was sent."""
    with pytest.raises(MalformedFrameError, match=says):
        decode(Version(version), wrong)
