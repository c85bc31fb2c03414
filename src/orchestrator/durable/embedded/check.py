"""Checking, before a deploy, whether the open runs of a journal fit the code at hand.

The file is read only, also while a service works on it. Every open run's history is delivered to the code as
a start would, but no step begins and nothing is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.durable.checking import RunCheck, diff
from orchestrator.durable.embedded.reader import JournalReader
from orchestrator.durable.embedded.rehearsal import Stage
from orchestrator.durable.embedded.time_limit import LIMIT_S, TimeLimit
from orchestrator.durable.entries import split_step_key
from orchestrator.durable.payloads import MAX_PAYLOAD_BYTES, PayloadRules
from orchestrator.durable.registry import NotRegisteredError
from orchestrator.durable.runs import EventType, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from orchestrator.durable.codec import Encryption
    from orchestrator.durable.embedded.history import RunRow
    from orchestrator.durable.embedded.rehearsal import Rehearsal
    from orchestrator.durable.errors import MismatchError
    from orchestrator.durable.workflows import Workflow
    from orchestrator.streams import Entry

_OF_STEPS: Final = frozenset(
    {
        EventType.STEP_STARTED,
        EventType.STEP_RETRYING,
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.STEP_CANCELLED,
    }
)
_OF_OTHERS: Final = frozenset(
    {
        EventType.TIMER_FIRED,
        EventType.PUBLISHED,
        EventType.CHILD_STARTED,
        EventType.CHILD_COMPLETED,
        EventType.CHILD_FAILED,
    }
)


def check_runs(
    path: Path,
    workflows: Iterable[Workflow[Any, Any]],
    steps: Iterable[object] | None = None,
    *,
    encryption: Encryption | None = None,
    secrets: Iterable[str] = (),
    most_payload_bytes: int = MAX_PAYLOAD_BYTES,
    limit_s: float = LIMIT_S,
) -> Iterator[RunCheck]:
    """Replay every open run of the journal at ``path`` against this code, one after the other.

    Args:
        path: of the journal file; a service may be at work on it.
        workflows: those that the engine will be given.
        steps: those that the engine will be given; if None, whatever step the code asks for counts as given.
        encryption: the keys of the engine that wrote the file, if it encrypts.
        secrets: what no reason shows.
        most_payload_bytes: what one value may take as JSON, as in the engine's option.
        limit_s: how long the code may take for one run, in seconds.

    Raises:
        JournalError: the file is missing or cannot be read.
    """
    with JournalReader(path, encryption=encryption, secrets=secrets) as reader:
        rules = PayloadRules(most_payload_bytes, reader.redactor)
        checker = _Checker(Stage(workflows, steps, reader.opener, rules), limit_s)
        for page in reader.open_runs():
            yield from checker.check(page)


class _Checker:
    """Checks page after page."""

    def __init__(self, stage: Stage, limit_s: float) -> None:
        self._stage = stage
        self._limit_s = limit_s
        self._time_limit = TimeLimit(self._one, lambda run: run[0].workflow, limit_s)

    def check(self, page: Sequence[tuple[RunRow, Sequence[Entry]]]) -> Iterator[RunCheck]:
        for (row, _), found in self._time_limit.each(page):
            yield found or self._hangs(row)

    def _one(self, run: tuple[RunRow, Sequence[Entry]]) -> RunCheck:
        row, entries = run
        try:
            rehearsal = self._stage.rehearse(row, entries)
        except NotRegisteredError as error:
            return _misfit(row, error.message)
        try:
            if rehearsal.error is None:
                return RunCheck(row.id, row.workflow, Status(row.status), fits=True)
            return self._differs(rehearsal, rehearsal.error, entries)
        finally:
            rehearsal.drop()

    def _differs(self, rehearsal: Rehearsal, error: MismatchError, entries: Sequence[Entry]) -> RunCheck:
        row = rehearsal.row
        return RunCheck(
            row.id,
            row.workflow,
            Status(row.status),
            fits=False,
            reason=self._stage.rules.redactor.text(error.message),
            expected=error.expected,
            came=error.came,
            diff=tuple(diff(operations_of(entries), rehearsal.asked, error)),
        )

    def _hangs(self, row: RunRow) -> RunCheck:
        return _misfit(row, f"the code did not come to wait for anything within {self._limit_s:g} seconds")


def operations_of(entries: Iterable[Entry]) -> list[str]:
    """The operations that a history tells of, in the order of their first entries."""
    found: dict[str, None] = {}
    for entry in entries:
        if entry.type in _OF_STEPS:
            found[split_step_key(entry.key)[0]] = None
        elif entry.type in _OF_OTHERS:
            found[entry.key] = None
    return list(found)


def _misfit(row: RunRow, reason: str) -> RunCheck:
    return RunCheck(row.id, row.workflow, Status(row.status), fits=False, reason=reason)
