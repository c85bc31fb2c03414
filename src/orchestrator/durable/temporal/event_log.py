"""The log of one run's events, a stream: what its history tells, and what its steps say meanwhile.

The history is the truth. Whoever carries it over gives each event a key, under which it is appended once, so
all see the same events under the same offsets, however many carry over at the same time. Progress and
retries, which no history has, come from the worker that runs the step.

A second stream says which histories of the run are in the log, and where each of them begins there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pydantic_core
from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

from orchestrator.durable.runs import Event, EventType
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.unreadable import data_of
from orchestrator.streams import NewEntry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from temporalio.converter import DataConverter

    from orchestrator.streams import Entry, Streams

_PREFIX: Final = "temporal-run/"
_HISTORIES: Final = "/histories"
# Of how many histories the log knows that they are in it already.
HISTORIES_KNOWN: Final = 100
# A workflow without an end leaves so many entries before its present history, for watchers who are behind.
KEPT_BEFORE_PRESENT: Final = 10_000
# An open run's log is forgotten when nothing came for so long; a watcher makes it anew, without progress.
OPEN_KEPT_S: Final = 90 * 86_400.0

_OUTCOMES: Final = {EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_CANCELLED}
_OF_ATTEMPTS: Final = {EventType.STEP_PROGRESS, EventType.STEP_RETRYING}


def log_name(run_id: str, first: str) -> str:
    """The stream of a run: by its id, for people, and by its first history's, which no other run ever has."""
    return f"{_PREFIX}{run_id}/{first}"


def key_of(history: str, operation: str, what: str) -> str:
    """The key of an event: its history, the operation it is about if any, and what tells it from others."""
    return f"{history}/{operation}/{what}"


def step_of(key: str) -> str:
    """The part of a key that all events of one step share."""
    return key.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be appended, and the key under which that happens once."""

    key: str
    event: Event


class EventLog:
    """The log of that name, in which events are written as ``converter`` writes a run's values."""

    def __init__(self, streams: Streams, name: str, converter: DataConverter) -> None:
        self._streams = streams
        self._name = name
        self._converter = converter

    async def append(self, told: Sequence[Told]) -> list[int]:
        """Add what is not there yet, in this order; the offset of each. Raises what streams do."""
        entries = [
            NewEntry(one.event.type, await self._written(one.event), one.key, once=True) for one in told
        ]
        return await self._streams.append_all(self._name, entries)

    async def follow(self, after: int) -> AsyncGenerator[Event, None]:
        """Every event above ``after``, without what a lost attempt said after its step's outcome."""
        late = _Late(self._streams, self._name, after)
        async for entry in self._streams.follow(self._name, after):
            if not await late.is_late(entry):
                yield await self._read(entry)

    async def so_far(self, after: int) -> AsyncGenerator[Event, None]:
        """Every event above ``after`` that there is now, as ``follow`` gives them."""
        late = _Late(self._streams, self._name, after)
        while page := await self._streams.read(self._name, after):
            for entry in page:
                if not await late.is_late(entry):
                    yield await self._read(entry)
            after = page[-1].offset

    async def begins_at(self, history: str) -> int:
        """The offset of the first event of that history; 0 when it is not there yet."""
        known = await self._streams.read(f"{self._name}{_HISTORIES}")
        return next((int(entry.data) for entry in known if entry.key == history), 0)

    async def present_history(self) -> str:
        """The history that the log has come to; empty when there is none yet."""
        known = await self._streams.read(f"{self._name}{_HISTORIES}")
        return known[-1].key if known else ""

    async def has(self, offset: int) -> bool:
        """Whether the event of that offset is there still."""
        entries = await self._streams.read(self._name, offset - 1, limit=1)
        return bool(entries) and entries[0].offset == offset

    async def begin_history(self, history: str, offset: int) -> None:
        """Say that a history is in the log from ``offset`` on, and forget what is long before it."""
        histories = f"{self._name}{_HISTORIES}"
        await self._streams.append(histories, "history", str(offset).encode(), key=history, once=True)
        await self._streams.trim(histories, keep=HISTORIES_KNOWN)
        if offset > KEPT_BEFORE_PRESENT:
            await self._streams.trim(self._name, before=offset - KEPT_BEFORE_PRESENT)
        await self.expire(OPEN_KEPT_S)

    async def expire(self, after_s: float) -> None:
        """Forget all of it when nothing comes for so many seconds."""
        for name in (self._name, f"{self._name}{_HISTORIES}"):
            await self._streams.expire(name, after_s)

    async def delete(self) -> None:
        """Forget it now."""
        for name in (self._name, f"{self._name}{_HISTORIES}"):
            await self._streams.delete(name)

    async def _written(self, event: Event) -> bytes:
        facts = {"name": event.name, "operation": event.operation, "attempt": event.attempt}
        data = pydantic_core.to_json({"at": event.at, **facts, "data": event.data})
        [payload] = await self._converter.encode([carried(data)])
        return payload.SerializeToString()

    async def _read(self, entry: Entry) -> Event:
        [opened] = await self._converter.decode([Payload.FromString(entry.data)], [RawValue])
        written = _Written.model_validate_json(data_of(opened))
        return Event(
            entry.offset,
            EventType(entry.type),
            written.at,
            written.name,
            written.operation,
            written.attempt,
            written.data,
        )


class _Late:
    """Knows what attempts say after their step's outcome: the worker was given up and went on regardless."""

    def __init__(self, streams: Streams, name: str, after: int) -> None:
        self._streams = streams
        self._name = name
        self._after = after
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._has_looked_back = after == 0

    async def is_late(self, entry: Entry) -> bool:
        """Whether this is late; asked of every entry in turn."""
        step = step_of(entry.key)
        if entry.type == EventType.STEP_STARTED:
            self._begun.add(step)
        elif entry.type in _OUTCOMES:
            self._ended.add(step)
        elif entry.type in _OF_ATTEMPTS:
            if step not in self._begun and not self._has_looked_back:
                await self._look_back()
            return step in self._ended
        return False

    async def _look_back(self) -> None:
        """Read which steps had ended before the first entry that was followed."""
        self._has_looked_back = True
        after = 0
        while page := await self._streams.read(self._name, after):
            self._ended |= {
                step_of(entry.key)
                for entry in page
                if entry.type in _OUTCOMES and entry.offset <= self._after
            }
            after = page[-1].offset
            if after >= self._after:
                return


class _Written(BaseModel):
    """An event as the log has it, beside its type."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    name: str = ""
    operation: str = ""
    attempt: int = 0
    data: JsonValue = None
