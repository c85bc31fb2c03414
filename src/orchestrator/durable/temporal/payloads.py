"""Our JSON as Temporal carries it."""

from __future__ import annotations

from typing import Final

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import DataConverter

# What a server takes at most as one value (its limit.blobSize.error), less room for what travels with it.
MAX_CARRIED_BYTES: Final = 2 * 1024 * 1024 - 4 * 1024
# A larger value is kept in the store of large values, if there is one: a server ends a run whose history
# takes more than 50 MiB, and a thousand steps at once have two values each.
MOST_IN_HISTORY_BYTES: Final = 16 * 1024

# On a payload that is to be kept outside of the history whatever its size.
LARGE: Final = "orchestrator-large"
# On a payload that is never encrypted.
OPEN: Final = "orchestrator-open"


def carried(data: bytes) -> RawValue:
    """``data``, JSON already, to be handed to Temporal as it is."""
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))


def kept_outside(value: RawValue) -> RawValue:
    """The same value, to be kept outside of the history."""
    return RawValue(Payload(metadata={**value.payload.metadata, LARGE: b"1"}, data=value.payload.data))


def in_the_open(value: object) -> RawValue:
    """``value`` to be carried without encryption, for what must be readable without a key."""
    payload = DataConverter.default.payload_converter.to_payload(value)
    payload.metadata[OPEN] = b"1"
    return RawValue(payload)
