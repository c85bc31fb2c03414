"""Sessions on a real engine and real tables, written offline."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import pytest
from PIL import Image
from sqlalchemy import update

from orchestrator.core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.runs import Event, EventType
from orchestrator.features.lessons import coming_back
from orchestrator.features.lessons.lesson import STEPS, LessonRequest
from orchestrator.features.lessons.tables import Intent, SessionRow
from orchestrator.features.lessons.workflow import lesson
from support.lessons_room import OWNER, LessonsRoom
from support.model_server import error, model_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.tables import Tables

SAMPLE = (Path(__file__).parents[3] / "samples" / "photosynthesis.md").read_text()


async def test_a_lesson_is_made_from_what_the_learner_brings(tables: Tables) -> None:
    """All five steps in order, then the result; the same in the stream, at the result and in the session."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("Photosynthesis", SAMPLE)
        told = await room.run(session_id)
        result = await room.service.result(OWNER, session_id)
        shown = await room.service.show(OWNER, session_id)
        picture = await room.service.picture(OWNER, session_id, "image1.jpg")

    assert told[0]["type"] == "connected"
    assert [event["data"]["step_name"] for event in told if event["type"] == "step-start"] == list(STEPS)
    assert [event["data"]["step_name"] for event in told if event["type"] == "step-complete"] == list(STEPS)
    progress = [
        event["data"]["progress"]
        for event in told
        if event.get("step_id") == "step-3" and "progress" in event["data"]
    ]
    assert progress == sorted(progress)
    assert told[-1]["type"] == "final"
    assert told[-1]["data"]["result"] == result.model_dump(mode="json")
    assert shown.result == result
    assert result.generator == "offline"
    assert "![Concept map: Photosynthesis](images/image1.jpg)" in result.lesson
    assert "Chlorophyll is the green pigment" in result.lesson
    assert "- Photosynthesis (912 words)" in result.lesson
    assert all(Image.open(io.BytesIO(picture.data)).size)
    assert picture.content_type == "image/jpeg"
    assert [(step.id, step.name, step.status) for step in shown.steps or []] == [
        (f"step-{number}", name, "completed") for number, name in enumerate(STEPS, 1)
    ]


async def test_a_lesson_may_teach_what_a_secret_looks_like(tables: Tables) -> None:
    """Watchers of runs see none, but the lesson that its owner gets is whole, in the stream and after it."""
    taught = "A database is named postgres://ada:lovelace@host/name, with the password after the colon."
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("Database addresses", f"{SAMPLE}\n\n{taught}")
        told = await room.run(session_id)
        result = await room.service.result(OWNER, session_id)
    assert "ada:lovelace@host" in result.lesson
    assert told[-1]["data"]["result"] == result.model_dump(mode="json")


async def test_streamed_content_is_the_lesson(tables: Tables) -> None:
    """Who joins the deltas of step 3 has the sections as they stand in the lesson, but for the pictures."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("Photosynthesis", SAMPLE)
        told = await room.run(session_id)
        result = await room.service.result(OWNER, session_id)
    deltas = [
        event["data"]["delta"]
        for event in told
        if event.get("step_id") == "step-3" and "delta" in event["data"]
    ]
    sections = "".join(deltas).split()
    assert len(sections) > 500
    without_pictures = [line for line in result.lesson.splitlines() if not line.startswith("![")]
    assert " ".join(sections) in " ".join(" ".join(without_pictures).split())


async def test_without_materials_it_is_an_honest_study_guide(tables: Tables) -> None:
    """It says what it is, and claims nothing of the topic."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("machine learning")
        await room.run(session_id)
        result = await room.service.result(OWNER, session_id)
    assert "study guide" in result.summary
    assert result.generator == "offline"
    assert list(result.images) == ["image1", "image2"]


async def test_an_idle_session_has_no_result_and_no_steps_begun(tables: Tables) -> None:
    """A result before completion is a bad request, not a missing thing."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("tides", "Some text.")
        shown = await room.service.show(OWNER, session_id)
        with pytest.raises(InvalidInputError, match="not completed: it is pending"):
            await room.service.result(OWNER, session_id)
    assert shown.status == "pending"
    assert [step.status for step in shown.steps or []] == ["pending"] * 5
    assert shown.metadata is not None
    assert shown.metadata.materials[0].text == "Some text."


async def test_a_completed_session_is_not_run_again(tables: Tables) -> None:
    """POST refuses; GET replays it whole, and has nothing for who has had everything."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        told = await room.run(session_id)
        with pytest.raises(ConflictError, match="already completed"):
            await room.service.run(OWNER, session_id)
        replayed = await room.watch(session_id)
        assert replayed is not None
        assert [event for _, event in replayed] == told
        last_id, middle = replayed[-1][0], replayed[7][0]
        rest = await room.watch(session_id, middle)
        assert rest is not None
        assert rest[1:] == replayed[8:]
        assert await room.watch(session_id, last_id) is None


async def test_everybody_watching_sees_the_same(tables: Tables) -> None:
    """The first watcher starts an idle session, and it runs once however many come at once."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        all_told = await asyncio.gather(*[room.watch(session_id) for _ in range(20)])
        assert all(told == all_told[0] for told in all_told)
        assert len(await room.engine.list(workflow="lesson")) == 1


async def test_of_two_that_start_one_is_refused(tables: Tables) -> None:
    """Starting is decided by the session's row, so exactly one wins."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        tries = await asyncio.gather(
            *[room.service.run(OWNER, session_id) for _ in range(5)], return_exceptions=True
        )
        refused = [error for error in tries if isinstance(error, ConflictError)]
        assert [error.message for error in refused] == ["Session already running"] * 4


async def test_a_watcher_goes_on_after_a_restart_without_gap_or_repeat(tables: Tables) -> None:
    """What it got before and after, joined, is what somebody gets who watched from the start."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("Photosynthesis", SAMPLE)
        before = await room.watch_until(session_id, "step-start", "step-3")
    async with LessonsRoom.on(tables) as room:
        after = await room.watch(session_id, before[-1][0])
        whole = await room.watch(session_id)
    assert after is not None
    assert before + after[1:] == whole
    assert after[-1][1]["type"] == "final"


async def test_another_owners_session_is_not_there(tables: Tables) -> None:
    """Whatever one tries with it, the answer is the same as for one that does not exist."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
        service = room.service
        for call in (
            service.show("bob", session_id),
            service.result("bob", session_id),
            service.picture("bob", session_id, "image1.jpg"),
            service.run("bob", session_id),
            service.watch("bob", session_id, None),
            service.delete("bob", session_id),
        ):
            with pytest.raises(NotFoundError, match="Session not found"):
                await call
        assert (await service.page("bob", 10, None)).total == 0


async def test_sessions_are_listed_newest_first_page_by_page(tables: Tables) -> None:
    """With where they stand, and without what is long."""
    async with LessonsRoom.on(tables) as room:
        ids = [await room.create(f"topic {number}") for number in range(5)]
        await room.run(ids[0])
        first = await room.service.page(OWNER, 3, None)
        second = await room.service.page(OWNER, 3, first.next)
    assert [item.id for item in first.items + second.items] == ids[::-1]
    assert (first.total, second.next) == (5, None)
    assert [item.status for item in second.items] == ["pending", "completed"]
    assert second.items[1].result is None


async def test_deleting_forgets_everything(tmp_path: Path, tables: Tables) -> None:
    """Row, run and pictures; a second time it is not found."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
        await room.service.delete(OWNER, session_id)
        with pytest.raises(NotFoundError):
            await room.service.delete(OWNER, session_id)
        assert await room.engine.list(workflow="lesson") == []
    assert list((tmp_path / "blobs").iterdir()) == []


async def test_only_the_lessons_pictures_are_served(tables: Tables, subtests: pytest.Subtests) -> None:
    """Any other name is not found, whatever it looks like."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
        for name in ("image9.jpg", "../../tables.db", "image1.png", ".", "image1.jpg\n"):
            with subtests.test(name=name), pytest.raises(NotFoundError):
                await room.service.picture(OWNER, session_id, name)


async def test_a_session_deleted_while_it_starts_leaves_nothing(
    tables: Tables, subtests: pytest.Subtests
) -> None:
    """However far the start has come: a whole stream or 404, and neither session nor run afterwards."""

    async def delete_after(turns: int, session_id: str) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await room.service.delete(OWNER, session_id)

    async with LessonsRoom.on(tables) as room:
        for turns, start in product(range(0, 40, 3), ("run", "watch")):
            with subtests.test(turns=turns, start=start):
                session_id = await room.create()
                starting = room.run(session_id) if start == "run" else room.watch(session_id)
                told, deleted = await asyncio.gather(
                    starting, delete_after(turns, session_id), return_exceptions=True
                )
                assert deleted is None
                if isinstance(told, BaseException):
                    assert isinstance(told, NotFoundError)
                    assert told.message == "Session not found"
                assert await room.engine.list(workflow="lesson") == []
                assert (await room.service.page(OWNER, 10, None)).total == 0


async def test_a_session_that_is_being_deleted_does_not_start(tables: Tables) -> None:
    """Its deletion is promised, so it is as good as gone."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await promise(room, Intent.DELETE, 0)
        for call in (room.service.run(OWNER, session_id), room.service.watch(OWNER, session_id, None)):
            with pytest.raises(NotFoundError, match="Session not found"):
                await call


async def test_a_run_without_its_session_stops_before_it_works(tables: Tables) -> None:
    """A lesson that nobody can ask for any more costs nothing."""
    async with LessonsRoom.on(tables) as room:
        request = LessonRequest(session_id="gone", owner=OWNER, topic="tides")
        run = await room.engine.start(lesson, request)
        with pytest.raises(RunFailedError, match="session of this lesson is gone"):
            await run.result()


async def test_a_session_outlives_the_loss_of_its_journal(tmp_path: Path, tables: Tables) -> None:
    """Without its runs it is as one that never ran: it can be shown, watched and run, and is told whole."""
    async with LessonsRoom.on(tables) as room:
        ids = [await room.create() for _ in range(3)]
        streams = [await room.watch(session_id) for session_id in ids]
    before = streams[-1]
    assert before is not None
    for file in tmp_path.glob("journal.db*"):
        file.rename(tmp_path / f"moved-{file.name}")
    async with LessonsRoom.on(tables) as room:
        assert (await room.service.show(OWNER, ids[0])).status == "pending"
        told = await room.run(ids[0])
        watched = await room.watch(ids[1])
        resumed = await room.watch(ids[2], before[-1][0])
        result = await room.service.result(OWNER, ids[0])
        await room.service.delete(OWNER, ids[1])
    assert [event["type"] for event in told].count("step-start") == len(STEPS)
    assert told[-1]["data"]["result"] == result.model_dump(mode="json")
    assert watched is not None
    assert resumed is not None
    assert [stream[-1][1]["type"] for stream in (watched, resumed)] == ["final", "final"]
    assert (resumed[0][0], resumed[1][0].split("-")[0]) == ("0-0", "2")


async def test_a_lesson_outlives_its_run(tables: Tables) -> None:
    """When the journal lets go of the run, the session is what it was: shown, read, watched, not rewritten.

    Who was told all of it is told nothing more; who was told half gets what ends the story.
    """
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create("Photosynthesis", SAMPLE)
        await room.run(session_id)
        before = await room.watch(session_id)
        shown = await room.service.show(OWNER, session_id)
        result = await room.service.result(OWNER, session_id)
        await room.service.keep()
        await room.service.keep()
        await room.engine.delete(f"lesson-{session_id}-1")
    assert before is not None
    async with LessonsRoom.on(tables) as room:
        assert await room.service.show(OWNER, session_id) == shown
        assert await room.service.result(OWNER, session_id) == result
        assert [item.status for item in (await room.service.page(OWNER, 10, None)).items] == ["completed"]
        with pytest.raises(ConflictError, match="already completed"):
            await room.service.run(OWNER, session_id)
        without_deltas = [event for event in before if event[1]["type"] != "step-delta"]
        assert await room.watch(session_id) == without_deltas
        assert await room.watch(session_id, before[-1][0]) is None
        half = await room.watch(session_id, without_deltas[4][0])
        assert half is not None
        assert half[1:] == without_deltas[5:]
        assert await room.engine.list() == []
        await room.service.delete(OWNER, session_id)
        with pytest.raises(NotFoundError):
            await room.service.show(OWNER, session_id)


async def test_a_failed_session_outlives_its_run_and_can_be_run_again(tables: Tables) -> None:
    """It tells what it failed with, and a new attempt takes the place of what was kept."""
    with model_server() as provider:
        provider.respond = error(401, message="wrong key")
        async with LessonsRoom.on(tables, provider) as room:
            session_id = await room.create()
            told = await room.run(session_id)
            await room.service.keep()
            await room.engine.delete(f"lesson-{session_id}-1")
            assert (await room.service.show(OWNER, session_id)).status == "failed"
            watched = await room.watch(session_id)
            assert watched is not None
            assert watched[-1][1] == told[-1]
            assert told[-1]["type"] == "error"
    async with LessonsRoom.on(tables) as room:
        again = await room.run(session_id)
        assert again[-1]["type"] == "final"
        assert (await room.service.show(OWNER, session_id)).status == "completed"


async def test_a_launch_that_fails_can_be_tried_again(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promise stays, and whoever asks next has it kept: the session is never taken for running."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        with monkeypatch.context() as patch:
            patch.setattr(room.engine, "start", AsyncMock(side_effect=UnavailableError("The disk is full.")))
            for _ in range(2):
                with pytest.raises(UnavailableError, match="disk is full"):
                    await room.service.run(OWNER, session_id)
        assert (await room.service.show(OWNER, session_id)).status == "pending"
        assert (await room.run(session_id))[-1]["type"] == "final"
        assert len(await room.engine.list(workflow="lesson")) == 1


async def test_a_position_that_is_none_of_ours_is_the_beginning(
    tables: Tables, subtests: pytest.Subtests
) -> None:
    """Nothing is swallowed for an id that no event has, and nobody is told that he has had everything."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        whole = await room.watch(session_id)
        for position in ("999999999-1", "1-999999999999999", "0-5", "2-0", "7"):
            with subtests.test(position=position):
                assert await room.watch(session_id, position) == whole


async def test_a_running_session_is_told_from_the_beginning_too(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next event may take long, so an id that is not there is not waited for."""
    monkeypatch.setattr(coming_back, "KNOWN_WITHIN_S", 0.5)
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        started = await room.service.watch(OWNER, session_id, "1-999999")
        assert started is not None
        told = [(str(event.position), event.as_json()) async for event in started]
        assert told == await room.watch(session_id)


async def test_who_comes_back_while_no_events_can_be_read_is_not_told_all_again(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have everything twice: it is asked to come later."""
    monkeypatch.setattr(coming_back, "KNOWN_WITHIN_S", 0.05)
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
        run = await room.engine.get(f"lesson-{session_id}-1")
        monkeypatch.setattr(type(run), "events", nothing_comes)
        with pytest.raises(UnavailableError, match="cannot be read right now"):
            await room.watch(session_id, "1-3")


async def nothing_comes(_run: object, _after: int) -> AsyncIterator[Event]:
    """What a run tells while the streams are away that its events are in."""
    await asyncio.Event().wait()
    yield Event(1, EventType.RUN_STARTED, datetime.now(UTC))


async def promise(room: LessonsRoom, intent: Intent, runs: int) -> None:
    """Leave a promise behind, as a crash between the row and the deed does."""
    async with room.database.session(SYSTEM) as session:
        await session.change(update(SessionRow).values(intent=intent, runs=runs))


async def test_the_sweep_starts_what_was_promised(tables: Tables) -> None:
    """A run that was written down but not started when the service died starts with the next life."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await promise(room, Intent.LAUNCH, 1)
    async with LessonsRoom.on(tables) as room:
        told = await room.watch(session_id)
        assert told is not None
        assert told[-1][1]["type"] == "final"
        assert await room.sessions.promised() == []


async def test_the_sweep_finishes_a_deletion(tables: Tables) -> None:
    """A deletion that the service's death interrupted is done by the next life."""
    async with LessonsRoom.on(tables) as room:
        session_id = await room.create()
        await room.run(session_id)
        await promise(room, Intent.DELETE, 1)
    async with LessonsRoom.on(tables) as room:
        with pytest.raises(NotFoundError):
            await room.service.show(OWNER, session_id)
        assert await room.engine.list(workflow="lesson") == []
