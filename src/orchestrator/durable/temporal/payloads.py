"""Our JSON as Temporal carries it."""

from __future__ import annotations

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from orchestrator.core.errors import PayloadTooLargeError

# What a server takes at most as one value (its limit.blobSize.error), less room for what travels with it.
MAX_CARRIED_BYTES = 2 * 1024 * 1024 - 4 * 1024


def carried(data: bytes, what: str) -> RawValue:
    """``data``, JSON already, to be handed to Temporal as it is.

    Raises:
        PayloadTooLargeError: more than a Temporal server takes as one value.
    """
    if len(data) > MAX_CARRIED_BYTES:
        raise PayloadTooLargeError(
            f"{what} takes {len(data):,} bytes; Temporal carries at most {MAX_CARRIED_BYTES:,}. "
            "Store it elsewhere and pass a reference."
        )
    return RawValue(Payload(metadata={"encoding": b"json/plain"}, data=data))
