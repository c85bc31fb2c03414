"""What people see of runs, in terminals of 80 and 120 columns."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from orchestrator.app.cli.runs_view import description, line_of_event, remarks, table_of_runs
from orchestrator.durable.errors import Failure
from orchestrator.durable.runs import Event, EventType, RunInfo, Status, StepView

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.console import RenderableType

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=90)
ID = "01a1fdc1-5d9d-7655-b0a2-92056e02184a"
PARENT = RunInfo(
    ID,
    "order_of_one_customer",
    Status.FAILED,
    NOON,
    LATER,
    tags={"session": "abc", "forked_from": "first", "schedule": "nightly"},
    reason="StepError: no such card",
    parent="above",
)
CHILDREN = [
    RunInfo(f"{ID}.1", "charge_customer", Status.COMPLETED, NOON, LATER, parent=ID),
    RunInfo(f"{ID}.2", "charge_customer", Status.STUCK, NOON, reason="the history has 1:a", parent=ID),
    RunInfo(f"{ID}.3", "charge_customer", Status.FAILED, NOON, LATER, reason=PARENT.reason, parent=ID),
]
STEP = StepView("3.0/1", "write", Status.COMPLETED, 1, NOON, LATER)
FAILURE: JsonValue = {"type": "TimeoutError", "code": "error", "message": "too slow", "trace": "…"}


def shown(content: RenderableType, width: int) -> list[str]:
    """The lines of it on a terminal of that width, without the blanks at their ends."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    console.print(content)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_is_described_with_all_that_it_belongs_to(width: int) -> None:
    """Its parent, what it is a fork of, its schedule and other tags, each in a line of its own."""
    lines = shown(description(PARENT, [STEP], CHILDREN, width), width)
    for line in (
        "Status    failed",
        "Reason    StepError: no such card",
        "Child of  above",
        "Fork of   first",
        "Schedule  nightly",
        "Tags      session=abc",
        "3.0/1      write  completed        1  1 min 30 s",
    ):
        assert line in lines


@pytest.mark.parametrize("width", [80, 120])
def test_children_are_shown_with_whole_ids(width: int) -> None:
    """And with the reason of those that need something, unless it is their parent's own."""
    lines = shown(description(PARENT, [], CHILDREN, width), width)
    assert [line for line in lines if line.startswith(f"{ID}.")] == [
        f"{ID}.1 charge_customer completed 1 min 30 s",
        f"{ID}.2 charge_customer stuck",
        f"{ID}.3 charge_customer failed    1 min 30 s",
        f"{ID}.2: the history has 1:a",
    ]


def test_a_step_that_is_tried_again_says_what_it_failed_with() -> None:
    """Below the table, as its failure may be long."""
    failure = Failure(type="TimeoutError", code="error", message="too slow")
    step = StepView("1", "ask", Status.WAITING, 2, NOON, failure=failure)
    running = RunInfo("one", "asking", Status.RUNNING, NOON)
    assert shown(description(running, [step], [], 80), 80)[-1] == "ask: TimeoutError: too slow"


def test_runs_that_do_not_go_on_by_themselves_are_remarked_upon() -> None:
    """Those that are stuck, and those that wait for their turn; a failure is found by `show`."""
    pending = RunInfo("two", "alone", Status.PENDING, NOON, reason="waits for a place in limit 'alone'")
    paused = RunInfo("three", "alone", Status.PAUSED, NOON)
    runs = [PARENT, CHILDREN[1], pending, paused]
    assert remarks(runs) == [
        f"{ID}.2 is stuck: the history has 1:a",
        "two is pending: waits for a place in limit 'alone'",
    ]
    rows = shown(table_of_runs(runs, 120), 120)
    assert [row.split()[2] for row in rows[1:]] == ["failed", "stuck", "pending", "paused"]


@pytest.mark.parametrize(
    ("kind", "name", "data", "said"),
    [
        (EventType.CHILD_STARTED, "child", f"{ID}.1", f"child             {ID}.1"),
        (EventType.CHILD_FAILED, "child", FAILURE, "child             TimeoutError: too slow"),
        (EventType.RUN_FAILED, "", FAILURE, "                  TimeoutError: too slow"),
        (EventType.RUN_FORKED, "", {"from": "a", "from_step": "3"}, "                  of a, from step 3"),
        (EventType.RUN_FORKED, "", {"from": "a", "from_step": None}, "                  of a"),
        (EventType.RUN_PAUSED, "", None, ""),
        (
            EventType.STEP_RETRYING,
            "ask",
            {"failure": FAILURE, "retry_at": LATER.timestamp()},
            f"ask               again at {LATER.astimezone():%H:%M:%S} after TimeoutError: too slow",
        ),
        (
            EventType.CANCEL_REQUESTED,
            "",
            {"end_at": (LATER + timedelta(days=2)).timestamp()},
            f"                  by force at {(LATER + timedelta(days=2)).astimezone():%Y-%m-%d %H:%M:%S}",
        ),
    ],
)
def test_an_events_data_is_said_in_words(kind: EventType, name: str, data: JsonValue, said: str) -> None:
    """Failures, times and ids; all else is JSON. The line is never broken."""
    event = Event(7, kind, NOON, name=name, data=data)
    begins = f"    7  {NOON.astimezone():%H:%M:%S}  {kind:<16}"
    assert shown(line_of_event(event, 120), 120) == [f"{begins}  {said}".rstrip()]
    (narrow,) = shown(line_of_event(event, 60), 60)
    assert narrow.startswith(begins.rstrip())
