"""Frames of the protocol, read and written. Both versions of it say the same in different brackets.

| vsn   | frame                                                |
|-------|------------------------------------------------------|
| 1.0.0 | ``{"topic", "event", "payload", "ref", "join_ref"}`` |
| 2.0.0 | ``[join_ref, ref, topic, event, payload]``           |

A client of version 2 sends its own broadcasts in binary: the bytes 3, the lengths of join_ref, ref, topic,
event and metadata, 1 for JSON or 0 for bytes, then these fields, then the payload. What we send is text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from orchestrator.web.events.event import compact_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    Ref = str | int | None  # what a client calls its frame, echoed in the reply

LONGEST_FRAME_BYTES: Final = 64 * 1_024
LONGEST_REF: Final = 64
USER_BROADCAST: Final = 3  # the first byte of a binary frame
LENGTHS: Final = slice(1, 6)
FIELDS_BEGIN: Final = 7


class Version(StrEnum):
    """How frames are written."""

    ONE = "1.0.0"
    TWO = "2.0.0"


class MalformedFrameError(Exception):
    """This is no frame; the message says why."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one side tells the other."""

    topic: str
    event: str
    payload: Mapping[str, JsonValue]
    ref: Ref = None
    join_ref: Ref = None


def decode(version: Version, given: str | bytes) -> Frame:
    """Read what a client sent.

    Raises:
        MalformedFrameError: it is no frame of that version.
    """
    if isinstance(given, bytes):
        if version is Version.ONE:
            raise MalformedFrameError("version 1.0.0 has no binary frames")
        return _binary(given)
    try:
        read = from_json(given, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedFrameError("it is no JSON") from error
    if version is Version.TWO:
        if not isinstance(read, list) or len(read) != len(("join_ref", "ref", "topic", "event", "payload")):
            raise MalformedFrameError("version 2.0.0 takes [join_ref, ref, topic, event, payload]")
        join_ref, ref, topic, event, payload = read
        return _frame(topic, event, payload, ref, join_ref)
    if not isinstance(read, dict):
        raise MalformedFrameError("version 1.0.0 takes an object with topic, event, payload and ref")
    return _frame(
        read.get("topic"), read.get("event"), read.get("payload"), read.get("ref"), read.get("join_ref")
    )


def encode(version: Version, frame: Frame) -> str:
    """Write a frame for a client."""
    if version is Version.TWO:
        told: object = [frame.join_ref, frame.ref, frame.topic, frame.event, dict(frame.payload)]
    else:
        told = {
            "topic": frame.topic,
            "event": frame.event,
            "payload": dict(frame.payload),
            "ref": frame.ref,
            "join_ref": frame.join_ref,
        }
    return compact_json(told).decode()


def _frame(topic: object, event: object, payload: object, ref: object, join_ref: object) -> Frame:
    if not isinstance(topic, str) or not isinstance(event, str):
        raise MalformedFrameError("topic and event are texts")
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise MalformedFrameError("the payload is an object")
    return Frame(topic, event, payload, _ref(ref), _ref(join_ref))


def _ref(given: Any) -> Ref:  # noqa: ANN401 - JSON
    if isinstance(given, bool) or not isinstance(given, str | int | None) or len(str(given)) > LONGEST_REF:
        raise MalformedFrameError("ref and join_ref are short texts or null")
    return given


def _binary(given: bytes) -> Frame:
    if len(given) < FIELDS_BEGIN or given[0] != USER_BROADCAST:
        raise MalformedFrameError("of binary frames, a client sends broadcasts alone")
    fields, at = [], FIELDS_BEGIN
    for length in given[LENGTHS]:
        fields.append(given[at : at + length])
        at += length
    if at > len(given):
        raise MalformedFrameError("it is shorter than its lengths say")
    try:
        join_ref, ref, topic, event, _metadata = (field.decode() for field in fields)
    except UnicodeDecodeError as error:
        raise MalformedFrameError("its fields are no UTF-8") from error
    # The payload is left where it is: nobody's own broadcasts are passed on.
    payload: dict[str, JsonValue] = {"type": "broadcast", "event": event}
    return _frame(topic, "broadcast", payload, ref or None, join_ref or None)
