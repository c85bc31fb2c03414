"""To a client a lesson is the same on both engines: its story, its ends, and coming back to it."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx2
import pytest

from orchestrator.app.server import Server
from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.durable.errors import EngineStoppedError
from support import model_server
from support.scripted_lesson import CALLS, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from orchestrator.durable.embedded import EmbeddedEngine
    from orchestrator.durable.temporal import TemporalEngine
    from support.model_server import ModelServer
    from support.services import TemporalServer

SESSIONS = "/api/sessions"
# What differs between two tellings of the same lesson, whatever the engine.
OF_ONE_TELLING = {
    "session_id",
    "timestamp",
    "duration",
    "started_at",
    "completed_at",
    "created_at",
    "updated_at",
}


PICTURE = ("step-delta", "step-4")


class Told(NamedTuple):
    """One event of a stream, with its id."""

    id: str
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """One life of a service, and calls to it."""

    http: httpx2.AsyncClient
    token: str
    engine: EmbeddedEngine | TemporalEngine

    async def created(self) -> str:
        """The path of a new session."""
        return f"{SESSIONS}/{(await self.http.post(SESSIONS, json={'topic': 'Tides'})).json()['id']}"

    async def told(self, path: str, after: str = "") -> list[Told]:
        """What a watcher gets who has had everything up to ``after``; nothing where that is all."""
        answer = await self.http.get(f"{path}/run", headers={"Last-Event-ID": after} if after else {})
        assert answer.status_code == (200 if answer.content else 204)
        return told(answer)

    async def told_to_run(self, path: str) -> list[Told]:
        """What those get who have it run."""
        answer = await self.http.post(f"{path}/run")
        assert answer.status_code == 200
        return told(answer)

    async def cancel(self, path: str, number: int = 1) -> None:
        """Cancel one of the session's runs, as the command line does."""
        run = f"lesson-{path.rpartition('/')[2]}-{number}"
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.http.post(f"/api/v1/runs/{run}/cancel", headers=headers)
        assert answer.json() == {"id": run, "was": "running", "status": "cancelled"}


class Place:
    """Where services live one after the other, on one engine."""

    def __init__(self, folder: Path, engine: dict[str, object], provider: ModelServer) -> None:
        self.provider = provider
        self.settings: dict[str, object] = {
            "data_dir": str(folder),
            "model.base_url": provider.base_url,
            "server.enable_metrics": False,
            "server.shutdown_timeout_s": 0.1,  # for a model that says no more
            **engine,
        }

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Service]:
        """A service on what the one before it left."""
        settings = load_settings(overrides=self.settings)
        listening = settings.server.model_copy(update={"port": 0})
        with built(settings) as service:
            async with (
                Server(service.app, listening, handle_signals=False).running() as address,
                httpx2.AsyncClient(base_url=address, timeout=30, trust_env=False) as http,
            ):
                yield Service(http, service.claim.token, service.engine)


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    """A model that writes the scripted lesson."""
    with model_server.model_server() as provider:
        provider.respond = scripted
        yield provider


def on_embedded(folder: Path, provider: ModelServer) -> Place:
    """Everything in one process."""
    return Place(folder / "embedded", {}, provider)


def on_temporal(folder: Path, provider: ModelServer, address: str) -> Place:
    """Runs on a cluster, under a task queue of their own."""
    queue = str(uuid.uuid4())
    engine: dict[str, object] = {
        "engine": "temporal",
        "temporal.host_port": address,
        "temporal.task_queue": queue,
    }
    return Place(folder / "temporal", engine, provider)


@pytest.fixture(params=["embedded", pytest.param("temporal", marks=pytest.mark.temporal)])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, provider: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> Place:
    """A place on each engine."""
    monkeypatch.chdir(tmp_path)
    if request.param == "embedded":
        return on_embedded(tmp_path, provider)
    return on_temporal(tmp_path, provider, request.getfixturevalue("temporal_server").address)


def told(answer: httpx2.Response) -> list[Told]:
    """The events of a stream that has ended; the greeting has no place among them."""
    found, event_id = [], ""
    for line in answer.text.splitlines():
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            found.append(Told(event_id, json.loads(line.removeprefix("data: "))))
    assert all(each.event["type"] == "connected" for each in found[:1])
    return found[1:]


def without_times(value: Any) -> Any:  # noqa: ANN401  # JSON
    """The same without what differs from telling to telling."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in OF_ONE_TELLING}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def story(events: list[Told], path: str) -> list[Any]:
    """What was told, ids included, without what differs from telling to telling.

    Pictures are drawn side by side: nothing is said of which ones were ready before the last one.
    """
    text = json.dumps([[each.id, without_times(each.event)] for each in events])
    found: list[Any] = json.loads(text.replace(path.rpartition("/")[2], "SESSION"))
    pictures = [each for each in found if (each[1].get("type"), each[1].get("step_id")) == PICTURE]
    for each in pictures:
        each[0] = ""
        assert each[1]["data"].pop("delta").startswith(f"image{each[1]['data'].pop('part')}.jpg: ")
    return found


async def begun(service: Service, path: str) -> None:
    """Wait until the model has said the first words of the second section."""
    async with asyncio.timeout(30), service.http.stream("GET", f"{path}/run") as stream:
        async for line in stream.aiter_lines():
            data = json.loads(line[6:]).get("data", {}) if line.startswith("data: ") else {}
            # The heading comes before the model is asked.
            if data.get("part") == 2 and "The" in data["delta"]:
                return


@pytest.mark.temporal
async def test_both_engines_tell_the_same_story(
    tmp_path: Path, provider: ModelServer, temporal_server: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same events with the same ids and data in the same order: of a lesson that fails, and goes on."""
    monkeypatch.chdir(tmp_path)
    stories = []
    for place in (on_embedded(tmp_path, provider), on_temporal(tmp_path, provider, temporal_server.address)):
        provider.will(scripted, scripted, scripted, model_server.error(401, message="wrong key"))
        async with place.life() as service:
            path = await service.created()
            failed = await service.told_to_run(path)
            again = await service.told_to_run(path)
            shown = (await service.http.get(path)).json()
        assert (failed[-1].event["type"], again[-1].event["type"]) == ("error", "final")
        stories.append([*story(failed, path), *story(again, path), *story([Told("", shown)], path)])
    for embedded, temporal in zip(*stories, strict=True):
        assert embedded == temporal


async def test_who_comes_back_anywhere_misses_nothing(place: Place) -> None:
    """From the event of every id on the rest comes, in the same life of the service and in the next."""
    async with place.life() as service:
        path = await service.created()
        whole = await service.told_to_run(path)
        assert (whole[-1].event["type"], len(place.provider.asked)) == ("final", CALLS)
        for number, each in enumerate(whole[::5]):
            assert await service.told(path, each.id) == whole[number * 5 + 1 :]
    async with place.life() as service:
        for number, each in enumerate(whole):
            assert await service.told(path, each.id) == whole[number + 1 :]
        assert await service.told(path, "none of ours") == whole
        assert (await service.http.get(f"{path}/result")).json() == whole[-1].event["data"]["result"]
        assert (await service.http.post(f"{path}/run")).status_code == 409
    assert len(place.provider.asked) == CALLS


async def test_a_lesson_goes_on_in_the_next_life(place: Place) -> None:
    """What was said before the service ended, and what came later, is one story; nothing is asked twice."""
    place.provider.will(
        scripted, scripted, scripted, model_server.text("The moon pulls", hold=threading.Event())
    )
    async with place.life() as service:
        path = await service.created()
        await begun(service, path)
        assert (await service.http.post(f"{path}/run")).json()["code"] == "session_running"
        assert (await service.http.get(f"{path}/result")).json()["code"] == "session_not_completed"
    asked = len(place.provider.asked)
    async with place.life() as service:
        whole = await service.told(path)
        half = len(whole) // 2
        assert await service.told(path, whole[half].id) == whole[half + 1 :]
        assert (await service.http.get(path)).json()["status"] == "completed"
    assert whole[-1].event["type"] == "final"
    # The section in flight and the summary.
    assert len(place.provider.asked) - asked == 2


async def test_what_a_step_gets_when_its_service_ends(place: Place) -> None:
    """On a cluster as long as requests, so it is not asked for again; embedded it is cut and begins anew."""
    hold = threading.Event()
    place.provider.will(scripted, scripted, scripted, model_server.text("The moon pulls", hold=hold))
    place.settings["server.shutdown_timeout_s"] = 20.0
    is_shared = place.settings.get("engine") == "temporal"
    async with place.life() as service:
        path = await service.created()
        await begun(service, path)
        releasing = asyncio.create_task(release(hold, service.engine)) if is_shared else None
    assert releasing is None or releasing.done()
    hold.set()
    async with place.life() as service:
        assert (await service.told(path))[-1].event["type"] == "final"
    assert len(place.provider.asked) == (CALLS if is_shared else CALLS + 1)


async def release(hold: threading.Event, engine: EmbeddedEngine | TemporalEngine) -> None:
    """Let the model speak on once the engine is closing."""
    with suppress(EngineStoppedError):
        while True:
            engine.check()
            await asyncio.sleep(0.01)
    hold.set()


async def test_a_cancelled_lesson_is_run_again(place: Place) -> None:
    """Its watchers are told; a second run goes on from what was done, and both are one story."""
    place.provider.will(
        scripted, scripted, scripted, model_server.text("The moon pulls", hold=threading.Event())
    )
    async with place.life() as service:
        path = await service.created()
        await begun(service, path)
        await service.cancel(path)
        stopped = await service.told(path)
        assert stopped[-1].event["type"] == "error"
        assert (await service.http.get(path)).json()["status"] == "cancelled"
        again = await service.told_to_run(path)
        assert again[-1].event["type"] == "final"
        # Whoever saw it stop is told what came afterwards.
        assert (
            await service.told(path, stopped[-1].id)
            == again[-len(await service.told(path, stopped[-1].id)) :]
        )
        assert (await service.http.get(path)).json()["status"] == "completed"


async def test_a_lesson_is_deleted_while_it_is_written(place: Place) -> None:
    """Its watchers' streams end, and nothing of it can be found: row, run, pictures."""
    place.provider.will(
        scripted, scripted, scripted, model_server.text("The moon pulls", hold=threading.Event())
    )
    async with place.life() as service:
        path = await service.created()
        await begun(service, path)
        lines: list[str] = []
        sees = asyncio.Event()

        async def watch() -> None:
            async with service.http.stream("GET", f"{path}/run") as stream:
                async for line in stream.aiter_lines():
                    lines.append(line)
                    sees.set()

        watching = asyncio.create_task(watch())
        await sees.wait()
        assert (await service.http.delete(path)).status_code == 204
        await watching
        kinds = {json.loads(line[6:])["type"] for line in lines if line.startswith("data: ")}
        assert "final" not in kinds
        for method, rest in (
            ("GET", ""),
            ("GET", "/run"),
            ("POST", "/run"),
            ("GET", "/result"),
            ("DELETE", ""),
        ):
            answer = await service.http.request(method, f"{path}{rest}")
            assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
        assert (await service.http.get(SESSIONS)).json()["total"] == 0
