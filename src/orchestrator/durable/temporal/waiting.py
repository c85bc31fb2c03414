"""Steps whose values cannot be read or kept just now: they wait, as what they did would be lost otherwise."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.common import RawValue
from temporalio.converter import ActivitySerializationContext

from orchestrator.core.errors import UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.temporal.unreadable import data_of, is_unreadable, recorded_in
from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    from temporalio.converter import DataConverter

log = logging.getLogger(__name__)


async def readable(value: RawValue) -> bytes:
    """The JSON of a step's arguments, as soon as it can be read."""
    pauses = growing_pauses()
    while True:
        try:
            return data_of(value)
        except UnreadableError as error:
            await _pause(f"step {_step()} cannot begin: {error}", next(pauses))
        value = await _read_again(value)


async def recorded(value: RawValue) -> RawValue:
    """What a step has come to, encrypted and kept elsewhere where it has to be, as soon as that can be."""
    pauses = growing_pauses()
    while True:
        try:
            payload, *_ = await _converter().encode([value])
        except UnavailableError as error:
            await _pause(f"what step {_step()} came to waits: {error}", next(pauses))
        else:
            return RawValue(payload)


async def _pause(reason: str, seconds: float) -> None:
    log.warning("%s; trying again in %g s", reason, seconds)
    await asyncio.sleep(seconds)


async def _read_again(value: RawValue) -> RawValue:
    payload = value.payload
    if is_unreadable(payload):
        payload = recorded_in(payload)
    again: RawValue
    [again] = await _converter().decode([payload], [RawValue])
    return again


def _converter() -> DataConverter:
    """What reads and writes values of the step's run."""
    info = activity.info()
    context = ActivitySerializationContext(
        namespace=info.namespace,
        activity_id=info.activity_id,
        activity_type=info.activity_type,
        activity_task_queue=info.task_queue,
        workflow_id=info.workflow_id,
        workflow_type=info.workflow_type,
        is_local=info.is_local,
    )
    return activity.client().data_converter.with_context(context)


def _step() -> str:
    info = activity.info()
    return f"{info.activity_id} of run {info.workflow_id}"
