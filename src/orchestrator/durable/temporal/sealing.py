"""What a run records, encrypted on its way to Temporal: a codec of the SDK with the keys of an `Encryption`.

A sealed payload holds the whole payload that was sealed, and names its run in the open. It opens for that run
alone, so a value cannot be put into another one's history.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Self

from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference
from temporalio.converter import (
    ActivitySerializationContext,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from orchestrator.durable.temporal.payloads import LARGE, OPEN
from orchestrator.durable.temporal.unreadable import is_unreadable, unreadable
from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.durable.codec import Codec

ENCODING: Final = b"binary/encrypted"
RUN: Final = "run"
PLACE: Final = "temporal"

# What Temporal puts behind a schedule's workflow id to make the ids of its runs.
_TIME: Final = re.compile(r"-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_REFERENCE: Final = ExternalStorageReference.DESCRIPTOR.full_name.encode()


class Sealing(PayloadCodec, WithSerializationContext):
    """Seals and opens payloads of one run; without a run, as for a history that is read, it opens any."""

    def __init__(self, codec: Codec, run_id: str = "") -> None:
        self._codec = codec
        self._run_id = run_id

    def with_context(self, context: SerializationContext) -> Self:
        """The same for the run that the context names."""
        if isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return type(self)(self._codec, context.workflow_id or "")
        return self

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal each, unless it is sealed or kept elsewhere already, or is meant to be open."""
        if not self._codec.hides:
            return list(payloads)
        return [payload if _is_done(payload) else self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open each; one that does not open says why."""
        return [self._open(payload) if _is_sealed(payload) else payload for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        metadata = {"encoding": ENCODING, RUN: self._run_id.encode()}
        if LARGE in payload.metadata:
            metadata[LARGE] = payload.metadata[LARGE]
        sealed = self._codec.seal(payload.SerializeToString(), self._run_id, PLACE)
        return Payload(metadata=metadata, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        run_id = payload.metadata[RUN].decode("utf-8", "replace")
        if self._run_id and not _is_of(run_id, self._run_id):
            return unreadable(payload, f"an encrypted value of run {run_id!r} was put into another one")
        try:
            data = self._codec.open(payload.data, run_id, PLACE)
        except UnreadableError as error:
            return unreadable(payload, str(error))
        opened = Payload()
        opened.ParseFromString(data)
        return opened


def _is_sealed(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def _is_done(payload: Payload) -> bool:
    is_kept_outside = payload.metadata.get("messageType") == _REFERENCE
    return _is_sealed(payload) or OPEN in payload.metadata or is_unreadable(payload) or is_kept_outside


def _is_of(sealed_for: str, run_id: str) -> bool:
    """Whether what was sealed for one id is for that run: it is the same, or a run of that schedule."""
    rest = run_id.removeprefix(sealed_for)
    return not rest or (rest != run_id and _TIME.fullmatch(rest) is not None)
