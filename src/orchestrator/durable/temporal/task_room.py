"""How much a run may ask for at once.

A server ends a run whose worker sends more than 4 MiB in one message, which has all that its code asks for on
the way from one rest to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from temporalio import workflow as temporal

from orchestrator.core.errors import PayloadTooLargeError
from orchestrator.durable.temporal.payloads import kept_outside

if TYPE_CHECKING:
    from temporalio.common import RawValue

# The rest is for what each operation takes beside its value, which is some hundred bytes.
ROOM_BYTES: Final = 2 * 1024 * 1024
# What takes the place of a value that is kept outside.
REFERENCE_BYTES: Final = 512


class TaskRoom:
    """What is left of one message, while a run's code goes from one rest to the next."""

    def __init__(self, *, has_store: bool) -> None:
        self._has_store = has_store
        self._task = 0
        self._used_bytes = 0

    def admit(self, value: RawValue, what: str) -> RawValue:
        """``value`` as it fits into the message.

        Raises:
            PayloadTooLargeError: it does not, and there is no store to keep it in.
        """
        task = temporal.info().get_current_history_length()
        if task != self._task:
            self._task, self._used_bytes = task, 0
        size = len(value.payload.data)
        if self._used_bytes + size <= ROOM_BYTES:
            self._used_bytes += size
            return value
        if self._has_store:
            return kept_outside(value) if size > REFERENCE_BYTES else value
        raise PayloadTooLargeError(
            f"{what} and what was asked for at the same time take more than {ROOM_BYTES:,} bytes together, "
            "which Temporal does not carry at once. Ask for fewer at once (ctx.map's at_once), or give the "
            "engine a store for large values (value_store=…)."
        )
