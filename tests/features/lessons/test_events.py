"""The document's event stream, made of what runs recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.durable.errors import Failure
from orchestrator.durable.runs import Event, EventType
from orchestrator.features.lessons.events import BEGINNING, UNFORESEEN, Position, Story
from orchestrator.features.lessons.lesson import CONTENT, STEPS, Lesson, Outcome, Tokens

if TYPE_CHECKING:
    from pydantic import JsonValue

START = datetime(2023, 10, 14, 23, 58, 28, tzinfo=UTC)
SESSION = "123e4567-e89b-12d3-a456-426614174000"


class History:
    """Writes the events of one run, a second apart, and tells them to a story."""

    def __init__(self, story: Story | None = None, run: int = 1) -> None:
        self.story = story or Story(SESSION)
        self.story.next_run(run, START)
        self.offset = 0

    def tell(
        self,
        kind: EventType,
        name: str = "",
        operation: str = "",
        attempt: int = 1,
        data: JsonValue = None,
    ) -> dict[str, Any] | None:
        """What clients get for the next event."""
        self.offset += 1
        at = START + timedelta(seconds=self.offset)
        told = self.story.tell(Event(self.offset, kind, at, name, operation, attempt, data))
        return told.as_json() if told else None

    def start(self, name: str, operation: str = "1", attempt: int = 1) -> dict[str, Any] | None:
        """A step starts."""
        return self.tell(EventType.STEP_STARTED, name, operation, attempt)

    def say(self, name: str, text: str, percent: int, operation: str = "1", attempt: int = 1) -> Any:  # noqa: ANN401  # JSON
        """A step makes progress; what clients get of it as data."""
        data: JsonValue = {"delta": text, "progress": percent}
        told = self.tell(EventType.STEP_PROGRESS, name, operation, attempt, data)
        return told and told["data"]

    def complete(self, name: str, operation: str = "1", tokens: int = 0) -> dict[str, Any] | None:
        """A step completes."""
        outcome = Outcome(output=f"{name} done", tokens=Tokens(completion_tokens=tokens))
        return self.tell(EventType.STEP_COMPLETED, name, operation, 1, outcome.model_dump(mode="json"))

    def parts(self, name: str, count: int) -> None:
        """The workflow tells how many parts a step has."""
        assert self.tell(EventType.PUBLISHED, "parts", "9", 0, {"step": name, "count": count}) is None

    def fail(self, name: str, failure: Failure, operation: str = "1") -> dict[str, Any] | None:
        """A step fails for good, and the run with it."""
        data = failure.model_dump(mode="json")
        assert self.tell(EventType.STEP_FAILED, name, operation, 1, data) is None
        return self.tell(EventType.RUN_FAILED, data=data)


def test_connected_has_the_documents_two_members_and_moves_nobody() -> None:
    """It belongs to the connection, not to the story, so its id is the one that the client came with."""
    connected = Story(SESSION).connected(Position(1, 7))
    assert connected.as_json() == {"type": "connected", "session_id": SESSION}
    assert str(connected.position) == "1-7"


def test_a_step_is_told_in_the_documents_shapes() -> None:
    """Start, delta and completion have exactly the document's members, and the tokens besides."""
    run = History()
    assert run.tell(EventType.RUN_STARTED) is None
    assert run.start("analyze-topic") == {
        "type": "step-start",
        "session_id": SESSION,
        "step_id": "step-1",
        "data": {"step_name": "analyze-topic", "step_index": 0},
        "timestamp": "2023-10-14T23:58:30Z",
    }
    told = run.tell(EventType.STEP_PROGRESS, "analyze-topic", "1", 1, {"delta": "Half.", "progress": 50})
    assert told == {
        "type": "step-delta",
        "session_id": SESSION,
        "step_id": "step-1",
        "data": {"delta": "Half.", "progress": 50},
        "timestamp": "2023-10-14T23:58:31Z",
    }
    assert run.complete("analyze-topic", tokens=7) == {
        "type": "step-complete",
        "session_id": SESSION,
        "step_id": "step-1",
        "data": {
            "step_name": "analyze-topic",
            "output": "analyze-topic done",
            "duration": 2000,
            "usage": {"prompt_tokens": 0, "completion_tokens": 7, "cost_usd": 0.0, "estimated": False},
        },
        "timestamp": "2023-10-14T23:58:32Z",
    }


@pytest.mark.parametrize(("index", "name"), list(enumerate(STEPS)))
def test_the_five_steps_are_numbered_from_one(index: int, name: str) -> None:
    """Ids count from 1, indexes from 0."""
    told = History().start(name)
    assert told is not None
    assert (told["step_id"], told["data"]["step_index"]) == (f"step-{index + 1}", index)


def test_the_final_event_carries_the_result() -> None:
    """With the duration in nanoseconds, and the pictures where they are served."""
    lesson = Lesson(
        output="", lesson="# L", summary="S", images=["image1.jpg"], generator="offline", usage=Tokens()
    )
    told = History().tell(EventType.RUN_COMPLETED, data=lesson.model_dump(mode="json"))
    assert told is not None
    assert told["type"] == "final"
    assert "step_id" not in told
    assert told["data"]["result"] == {
        "lesson": "# L",
        "images": {"image1": f"/api/sessions/{SESSION}/images/image1.jpg"},
        "summary": "S",
        "duration": 1_000_000_000,
        "completed_at": "2023-10-14T23:58:29Z",
        "generator": "offline",
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0, "estimated": False},
    }


def test_a_step_of_several_parts_starts_and_completes_once() -> None:
    """Progress counts finished parts and how far the present one is; the parts' outputs stand together."""
    run = History()
    run.parts(CONTENT, 2)
    assert run.start(CONTENT, "3") is not None
    assert run.say(CONTENT, "one", 50, "3") == {"delta": "one", "progress": 25, "part": 1, "parts": 2}
    between = run.complete(CONTENT, "3", tokens=5)
    assert between is not None
    assert between["data"] == {"delta": "\n\n", "progress": 50, "part": 1, "parts": 2}
    assert run.start(CONTENT, "4") is None
    assert run.say(CONTENT, "two", 50, "4")["progress"] == 75
    done = run.complete(CONTENT, "4", tokens=6)
    assert done is not None
    assert done["type"] == "step-complete"
    assert done["data"]["output"] == f"{CONTENT} done\n{CONTENT} done"
    assert done["data"]["usage"]["completion_tokens"] == 11
    assert done["data"]["duration"] == 5000


def test_a_retry_takes_back_what_was_said() -> None:
    """The first delta of a new attempt says so once; later ones only say which attempt it is."""
    run = History()
    run.start(CONTENT)
    run.say(CONTENT, "Once upon", 10)
    failure: JsonValue = {"failure": {"type": "E", "code": "e", "message": "m"}, "retry_at": 1.0}
    told = run.tell(EventType.STEP_RETRYING, CONTENT, "1", 1, failure)
    assert told is not None
    assert told["data"] == {"delta": "", "progress": 0, "attempt": 2, "reset": True}
    assert run.start(CONTENT, attempt=2) is None
    assert run.say(CONTENT, "It was", 10, attempt=2) == {"delta": "It was", "progress": 10, "attempt": 2}


def test_an_attempt_that_was_given_up_is_not_heard() -> None:
    """Its worker, which nobody could reach, may go on for a while beside the next attempt."""
    run = History()
    run.start(CONTENT)
    run.say(CONTENT, "Once", 10)
    assert run.say(CONTENT, "It was", 10, attempt=2)["reset"]
    assert run.say(CONTENT, " upon a time", 20) is None
    assert run.tell(EventType.STEP_RETRYING, CONTENT, "1", 1) is None
    assert run.say(CONTENT, " a dark night", 20, attempt=2) == {
        "delta": " a dark night",
        "progress": 20,
        "attempt": 2,
    }


def test_a_crash_in_a_step_takes_back_what_was_said() -> None:
    """A step that starts again without having failed may even have the same number of attempt."""
    run = History()
    run.start(CONTENT)
    run.say(CONTENT, "Once upon", 10)
    assert run.start(CONTENT) is None
    assert run.say(CONTENT, "It was", 10) == {
        "delta": "It was",
        "progress": 10,
        "attempt": 1,
        "reset": True,
    }
    assert run.say(CONTENT, " so", 20) == {"delta": " so", "progress": 20}


def test_who_was_told_half_of_what_the_journal_has_dropped_takes_it_back() -> None:
    """Where deltas are missing, what a part came to is told whole, and the client begins it anew."""
    run = History()
    run.parts(CONTENT, 2)
    run.start(CONTENT, "1")
    run.offset += 40
    told = run.complete(CONTENT, "1")
    assert told is not None
    assert (told["data"]["delta"], told["data"]["reset"]) == (f"{CONTENT} done", True)
    run.start(CONTENT, "2")
    assert "reset" not in run.say(CONTENT, "all of it", 50, "2")


def test_a_failure_names_the_step_and_the_reason() -> None:
    """Our own errors speak for themselves."""
    run = History()
    run.start(CONTENT)
    told = run.fail(
        CONTENT, Failure(type="BudgetExceededError", code="session_budget_exceeded", message="Why.")
    )
    assert told is not None
    assert (told["type"], told["step_id"]) == ("error", "step-3")
    assert told["data"] == {"code": "session_budget_exceeded", "message": "Why.", "step_name": CONTENT}


def test_a_foreign_error_is_not_repeated() -> None:
    """It may hold paths, addresses or other people's data."""
    told = History().fail(CONTENT, Failure(type="OSError", code="error", message="/srv/secret: no such file"))
    assert told is not None
    assert told["data"]["message"] == UNFORESEEN


def test_a_cancelled_session_ends_with_an_error() -> None:
    """So that every stream ends with final or error."""
    told = History().tell(EventType.RUN_CANCELLED)
    assert told is not None
    assert (told["type"], told["data"]["code"]) == ("error", "run_cancelled")


def test_a_resumed_session_goes_on_where_it_failed() -> None:
    """What the first run completed is not told again; the failed step starts again; durations add up."""
    run = History()
    run.start("analyze-topic")
    run.complete("analyze-topic")
    run.start("generate-outline", "2")
    run.say("generate-outline", "Perhaps", 10, "2")
    assert run.fail("generate-outline", Failure(type="E", code="e", message="m"), "2") is not None

    resumed = History(run.story, 2)
    assert resumed.start("analyze-topic") is None
    assert resumed.complete("analyze-topic") is None
    again = resumed.start("generate-outline", "2")
    assert again is not None
    assert again["type"] == "step-start"
    assert resumed.say("generate-outline", "Surely", 10, "2")["reset"] is True
    assert resumed.complete("generate-outline", "2") is not None
    lesson = Lesson(output="", lesson="", summary="", images=[], generator="m", usage=Tokens())
    final = resumed.tell(EventType.RUN_COMPLETED, data=lesson.model_dump(mode="json"))
    assert final is not None
    assert final["data"]["result"]["duration"] == (6 + 6) * 1_000_000_000


def test_what_is_not_for_clients_is_not_told() -> None:
    """Steps of other names, signals and timers have no place in the document."""
    run = History()
    assert run.start("something-else") is None
    assert run.tell(EventType.TIMER_FIRED) is None
    assert run.tell(EventType.PUBLISHED, "something-else") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2-17", Position(2, 17)), (None, BEGINNING), ("", BEGINNING), ("abc", BEGINNING), ("1-", BEGINNING)],
)
def test_a_last_event_id_is_read_or_ignored(text: str | None, expected: Position) -> None:
    """What is not ours means: from the beginning."""
    assert Position.parse(text) == expected


def test_positions_sort_by_run_then_offset() -> None:
    """A later run comes after all of an earlier one."""
    assert Position(1, 99) < Position(2, 1) < Position(2, 2)
    assert Position.parse(str(Position(2, 1))) == Position(2, 1)
