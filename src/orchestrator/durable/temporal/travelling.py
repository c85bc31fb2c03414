"""How values travel between an engine and Temporal: encrypted, large ones kept elsewhere, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
)
from temporalio.service import RPCError

from orchestrator.durable.temporal.failures import explained_of_run
from orchestrator.durable.temporal.offload import Offload, ValueDriver
from orchestrator.durable.temporal.sealing import Sealing
from orchestrator.durable.temporal.unreadable import Conversion, check_readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import WorkflowHandle

    from orchestrator.durable.codec import Codec
    from orchestrator.durable.temporal.value_store import ValueStore


def converter(codec: Codec, store: ValueStore | None) -> DataConverter:
    """What seals values, those of failures too, with ``codec``, then keeps large ones in ``store``."""
    return DataConverter(
        payload_converter_class=Conversion,
        payload_codec=Sealing(codec),
        failure_converter_class=(
            DefaultFailureConverterWithEncodedAttributes if codec.hides else DefaultFailureConverter
        ),
        external_storage=Offload.to(ValueDriver(store)),
    )


async def opened(
    run: WorkflowHandle[Any, Any], data_converter: DataConverter, *, is_live: bool = False
) -> AsyncIterator[HistoryEvent]:
    """Entries of a history with all their values as they were before they travelled; live, to its end.

    Raises:
        UnreadableError: one of them cannot be read now.
        NotFoundError: there is no such run. UnavailableError: the server does not answer.
    """
    try:
        async for entry in run.fetch_history_events(wait_new_event=is_live):
            await open_payloads(entry, data_converter)
            yield entry
    except RPCError as error:
        raise explained_of_run(run.id, error) from error


async def open_payloads(message: Message, data_converter: DataConverter) -> None:
    """Put what was meant in place of what travelled, everywhere in a message of Temporal's API.

    Raises:
        UnreadableError: a value cannot be read now.
    """
    for payload in _payloads_in(message):
        [value] = await data_converter.decode([payload], [RawValue])
        check_readable(value.payload)
        if value.payload is not payload:
            payload.CopyFrom(value.payload)


def _payloads_in(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if isinstance(value, Message):
            yield from _payloads_in(value)
            continue
        inner = value.values() if field.message_type.GetOptions().map_entry else value
        for one in inner:
            if isinstance(one, Message):
                yield from _payloads_in(one)
