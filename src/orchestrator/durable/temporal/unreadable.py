"""Values that cannot be read now, because their key or the store of large values is away.

One comes as a payload that says why and holds what was recorded, so that who needs it can decide: a run's
code does not go on (its workflow task fails, and the server tries it again), a step waits, a reader is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from temporalio import workflow as temporal
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    CompositePayloadConverter,
    DefaultPayloadConverter,
    EncodingPayloadConverter,
    SerializationContext,
    WorkflowSerializationContext,
)

from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.common import RawValue

ENCODING: Final = "orchestrator/unreadable"
REASON: Final = "reason"


def unreadable(recorded: Payload, reason: str) -> Payload:
    """What stands for ``recorded`` until it can be read."""
    metadata = {"encoding": ENCODING.encode(), REASON: reason.encode()}
    return Payload(metadata=metadata, data=recorded.SerializeToString())


def is_unreadable(payload: Payload) -> bool:
    """Whether it stands for another one."""
    return payload.metadata.get("encoding") == ENCODING.encode()


def recorded_in(payload: Payload) -> Payload:
    """What it stands for."""
    recorded = Payload()
    recorded.ParseFromString(payload.data)
    return recorded


def check_readable(payload: Payload) -> None:
    """See whether it is a value.

    Raises:
        UnreadableError: it only stands for one; the message says why.
    """
    if is_unreadable(payload):
        raise UnreadableError(payload.metadata[REASON].decode())


class _Unreadable(EncodingPayloadConverter):
    """Converts nothing, and says why."""

    @property
    def encoding(self) -> str:
        return ENCODING

    def to_payload(self, value: Any) -> Payload | None:  # noqa: ARG002  # the SDK's signature
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:  # noqa: ARG002  # likewise
        check_readable(payload)


class Conversion(CompositePayloadConverter):
    """Between values and payloads as the SDK does it, except for those that cannot be read.

    In a run's code they end the workflow task. Those of the run itself, its input and signals, are handed on
    and end it where they are used: Temporal would drop a signal that cannot be converted.
    """

    def __init__(self) -> None:
        super().__init__(*DefaultPayloadConverter.default_encoding_payload_converters, _Unreadable())
        self._about = ""

    def with_context(self, context: SerializationContext) -> Self:
        """The same for values of the run that the context names."""
        bound = type(self)()
        if isinstance(context, WorkflowSerializationContext):
            bound._about = context.workflow_id  # noqa: SLF001  # its own
        return bound

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Values of payloads."""
        if temporal.in_workflow() and self._about != temporal.info().workflow_id:
            for payload in payloads:
                check_readable(payload)
        return super().from_payloads(payloads, type_hints)


def data_of(value: RawValue) -> bytes:
    """The JSON that Temporal carried.

    Raises:
        UnreadableError: it cannot be read now.
    """
    check_readable(value.payload)
    return value.payload.data
