"""What came of a run, so that two lives of it can be laid side by side."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from orchestrator.durable.embedded.reader import JournalReader
from orchestrator.durable.runs import LAST_EVENTS, EventType
from orchestrator.testing.watched_steps import Place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from orchestrator.durable.runs import Event, RunInfo

# Lines around a difference that show where it is.
CONTEXT_LINES = 3
LINE_CHARS = 100
# A longer line is shown by its beginning and its digest, so that two of them can still be told apart.
LONGEST_LINE_CHARS = 400
DIGEST_CHARS = 12
MOST_RUNS = 10_000

STEP_ENDS = {
    EventType.STEP_COMPLETED: "completed",
    EventType.STEP_FAILED: "failed",
    EventType.STEP_CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class StepStory:
    """How one step ended, and what it was called with."""

    operation: str
    name: str
    arguments: str
    ending: str
    data: Any

    def lines(self) -> list[str]:
        """For people."""
        return _lines(f"step {self.operation} {self.name} {self.arguments} {self.ending}", self.data)


@dataclass(frozen=True, slots=True)
class RunStory:
    """What came of one run: its end, its steps by operation, what it published, the signals it was given.

    What it published keeps its order within each branch; branches have none among them, so they are sorted.
    """

    run_id: str
    ending: str
    data: Any
    steps: tuple[StepStory, ...]
    published: tuple[tuple[str, str, Any], ...]
    signals: tuple[tuple[str, Any], ...]

    @property
    def operations(self) -> frozenset[str]:
        """Of all steps that ended."""
        return frozenset(step.operation for step in self.steps)

    @property
    def cancelled(self) -> frozenset[str]:
        """Of the steps that were cancelled."""
        return frozenset(step.operation for step in self.steps if step.ending == "cancelled")

    def lines(self, operations: frozenset[str]) -> list[str]:
        """For people, with the steps of these operations alone."""
        lines = _lines(f"run {self.run_id}: {self.ending}", self.data)
        for step in self.steps:
            if step.operation in operations:
                lines += step.lines()
        for operation, name, data in self.published:
            lines += _lines(f"published {operation} {name}", data)
        for name, data in self.signals:
            lines += _lines(f"signal {name}", data)
        return lines


@dataclass(frozen=True, slots=True)
class Story:
    """What came of all runs of a journal, and what their steps did to the world outside."""

    runs: Mapping[str, RunStory]
    effects: object = None

    def difference(self, other: Story, mine: str, theirs: str) -> str:
        """A diff from this story to the other, under these names; empty where they tell the same."""
        before, after = [], []
        for run_id in sorted(self.runs.keys() | other.runs.keys()):
            one, two = self.runs.get(run_id), other.runs.get(run_id)
            operations = _comparable(one, two)
            before += one.lines(operations) if one else []
            after += two.lines(operations) if two else []
        before += _lines("effects", _plain(self.effects))
        after += _lines("effects", _plain(other.effects))
        diff = difflib.unified_diff(before, after, mine, theirs, n=CONTEXT_LINES, lineterm="")
        return "\n".join(short(line) for line in diff)


def story_in(path: Path, arguments: Mapping[Place, str], effects: object) -> Story:
    """The story of all runs in the journal at ``path``, whose steps were called with these arguments."""
    with JournalReader(path) as reader:
        runs = [_run_story(info, reader.events(info.id), arguments) for info in reader.list(limit=MOST_RUNS)]
    return Story({run.run_id: run for run in runs}, effects)


def short(line: str) -> str:
    """What is shown of a line."""
    if len(line) <= LONGEST_LINE_CHARS:
        return line
    digest = hashlib.sha256(line[1:].encode(errors="replace")).hexdigest()[:DIGEST_CHARS]
    return f"{line[:LONGEST_LINE_CHARS]}… ({len(line):,} characters, sha256 {digest}…)"


def _run_story(info: RunInfo, events: Sequence[Event], arguments: Mapping[Place, str]) -> RunStory:
    steps = [
        StepStory(
            operation=event.operation,
            name=event.name,
            arguments=arguments.get(Place.of(info.id, events, event.operation), "(never begun)"),
            ending=STEP_ENDS[event.type],
            data=_essence(event.data),
        )
        for event in events
        if event.type in STEP_ENDS
    ]
    published = [
        (event.operation, event.name, event.data) for event in events if event.type is EventType.PUBLISHED
    ]
    last = events[-1]
    return RunStory(
        run_id=info.id,
        ending=f"{info.status}{f' ({info.reason})' if info.reason else ''}",
        data=_essence(last.data) if last.type in LAST_EVENTS else None,
        steps=tuple(sorted(steps, key=lambda step: _numbers(step.operation))),
        published=tuple(sorted(published, key=lambda said: _numbers(_branch(said[0])))),
        signals=tuple(
            (event.name, event.data) for event in events if event.type is EventType.SIGNAL_RECEIVED
        ),
    )


def _comparable(one: RunStory | None, two: RunStory | None) -> frozenset[str]:
    """The operations to compare.

    Where a step was cancelled, how far it and those beside it had come is a matter of time, not of the code.
    """
    stories = [story for story in (one, two) if story is not None]
    cancelled = frozenset[str]().union(*[story.cancelled for story in stories])
    if cancelled:
        return frozenset.intersection(*[story.operations for story in stories]) - cancelled
    return frozenset[str]().union(*[story.operations for story in stories])


def _branch(operation: str) -> str:
    """``3.0/`` of ``3.0/1``, and nothing of ``2``."""
    return operation.rpartition("/")[0]


def _numbers(operation: str) -> list[int]:
    """What operations are sorted by, so that 10 comes after 9."""
    return [int(number) for number in re.findall(r"\d+", operation)]


def _essence(data: Any) -> Any:
    """What an outcome says, without the lines of code that a traceback has."""
    if isinstance(data, dict) and data.keys() >= {"type", "code", "message", "trace"}:
        return {key: value for key, value in data.items() if key != "trace"}
    return data


def _plain(value: object) -> Any:
    return to_jsonable_python(value, fallback=repr)


def _lines(what: str, data: Any) -> list[str]:
    """One line where it fits, else one for each part."""
    if data is None:
        return [what]
    short = f"{what}: {json.dumps(data, ensure_ascii=False, sort_keys=True)}"
    if len(short) <= LINE_CHARS:
        return [short]
    return [f"{what}:", *json.dumps(data, ensure_ascii=False, sort_keys=True, indent=2).splitlines()]
