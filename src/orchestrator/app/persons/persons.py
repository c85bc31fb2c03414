"""Everything that is held about one person: written into a file, removed, or given to another owner."""

from __future__ import annotations

import json
import zipfile
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Final

from orchestrator.app.persons.rows import Rows
from orchestrator.app.persons.runs import Runs
from orchestrator.app.persons.told import Told
from orchestrator.core.clock import utc
from orchestrator.core.errors import ConflictError
from orchestrator.web.events import Erasures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from orchestrator.app.persons.rows import Given
    from orchestrator.core.clock import Clock
    from orchestrator.db import Database
    from orchestrator.durable.engine import Engine
    from orchestrator.streams import Streams
    from orchestrator.web.audit.audit import Audit
    from orchestrator.web.feature import Feature

FORMAT: Final = 1  # of the export; raised when its layout changes


@dataclass(slots=True)
class Erased:
    """How many things of each kind are gone: things of rooms, rows of tables, and the rest.

    ``blanked`` are the entries of the audit trail that stay, and no longer say who it was.
    """

    rooms: dict[str, int] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    runs: int = 0
    schedules: int = 0
    events: int = 0
    blanked: int = 0

    @property
    def count(self) -> int:
        """All of them together."""
        several = sum(self.rooms.values()) + sum(self.tables.values())
        return several + self.runs + self.schedules + self.events + self.blanked


class Persons:
    """What is held about any person, wherever it is."""

    def __init__(  # what a service stands on
        self,
        *,
        database: Database,
        engine: Callable[[], Engine],
        streams: Callable[[], Streams],
        audit: Audit,
        rooms: Sequence[Feature],
        clock: Clock,
    ) -> None:
        """Take the places where things are kept, and the rooms, which may have more."""
        self._rows = Rows(database)
        self._runs = Runs(engine)
        self._told = Told(streams)
        self._erasures = Erasures(streams, clock)
        self._audit = audit
        self._belongings = {room.name: room.belongings for room in rooms if room.belongings is not None}
        self._before_giving = [settle for room in rooms for settle in room.before_giving]
        self._clock = clock

    async def export(self, user: str) -> AsyncGenerator[bytes]:
        """Everything in a zip, as it is made: JSON lines by kind, and files as they are.

        After each record there is a part, which is empty while the record is being packed with others.
        """
        packed = _Packed()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            about = {"format": FORMAT, "user": user, "at": utc(self._clock.time()).isoformat()}
            archive.writestr("about.json", json.dumps(about, ensure_ascii=False, indent=2))
            with closing(_Lines(archive)) as lines:
                async with aclosing(self._records(user)) as records:
                    async for name, record in records:
                        lines.add(name, record)
                        yield packed.taken()
            for room, belongings in self._belongings.items():
                async for name, data in belongings.files(user):
                    archive.writestr(f"files/{room}/{name}", data)
                    yield packed.taken()
        yield packed.taken()

    async def erase(self, user: str) -> Erased:
        """Remove everything, open runs included, which are stopped first. What is gone stays gone.

        Raises:
            UnavailableError: something takes its time to stop, or a part is away. Do it again.
        """
        erased = Erased()
        before = -1
        # What was under way may leave something behind while its place is cleaned.
        while before < erased.count:
            before = erased.count
            await self._erase(user, erased)
        # Whoever has events of theirs in hand brings them to the stream before this note, or finds it there.
        await self._erasures.note(user)
        erased.events += await self._told.remove(user)
        return erased

    async def give(self, giver: str, taker: str) -> Given:
        """Make the giver's rows and runs the taker's. What the taker has already stays the giver's.

        Raises:
            ConflictError: runs of the giver are open, which would go on for the old owner.
        """
        if count := await self._runs.count_open(giver):
            raise ConflictError(
                f"{count} runs of {giver} are open. Wait for their end, or cancel them: "
                "`orchestrator runs list` names them."
            )
        for settle in self._before_giving:
            await settle(giver, taker)
        given = await self._rows.give(giver, taker)
        return replace(given, runs=await self._runs.give(giver, taker))

    async def _records(self, user: str) -> AsyncGenerator[tuple[str, dict[str, Any]]]:
        """Each record, with the name of the file that it goes into; file by file."""
        async for table, row in self._rows.all(user):
            yield f"tables/{table}.jsonl", row
        async for run in self._runs.all(user):
            yield "runs.jsonl", run
        async for event in self._told.all(user):
            yield "events.jsonl", event
        for schedule in await self._runs.schedules(user):
            yield "schedules.jsonl", schedule
        for entry in await self._audit.of_person(user):
            yield "audit.jsonl", entry.model_dump(mode="json")

    async def _erase(self, user: str, erased: Erased) -> None:
        erased.schedules += await self._runs.remove_schedules(user)  # first: they start runs
        for room, belongings in self._belongings.items():
            _add(erased.rooms, {room: await belongings.erase(user)})
        erased.runs += await self._runs.remove(user)
        _add(erased.tables, await self._rows.remove(user))
        await self._rows.unname(user)
        erased.events += await self._told.remove(user)
        erased.blanked += await self._audit.blank(user)


class _Packed:
    """What an archive has written and nobody has taken yet: a file without a way back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> int:
        """Add what was packed."""
        self._parts.append(part)
        return len(part)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        """All that was added since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Lines:
    """JSON lines of files of an archive, one file after the other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._name = ""
        self._file: IO[bytes] | None = None

    def add(self, name: str, value: object) -> None:
        """Write a line into the file of that name, which is closed when another one begins."""
        if self._file is None or name != self._name:
            self.close()
            self._name, self._file = name, self._archive.open(name, "w", force_zip64=True)
        self._file.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")

    def close(self) -> None:
        """Close the file that is open, if one is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        if count:
            counts[name] = counts.get(name, 0) + count
