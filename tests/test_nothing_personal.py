"""No personal data in events or logs: what a learner writes stays where it was written."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from orchestrator.web.events import STREAM
from support import emitted
from support.pytest_process import ALONE, run_pytest
from support.realtime_client import TOPIC, realtime
from support.receiver import Receiver
from support.running_service import RunningService, running_service
from support.stream_lab import embedded
from support.tokens import SECRET, claims, signed

ANON = "the-anon-key-of-this-project"
PATIENCE_S = 60
EXPECTED = {
    "intent_created",
    "instructor_plan_created",
    "instructor_plan_completed",
    "lesson_created",
    "lesson_completed",
}


def token() -> str:
    """The token of a learner, which says her name."""
    about = {"full_name": emitted.NAME, "email": "thessaly@quillfeather.example"}
    return signed(claims("user-7", exp=time.time() + 3_600, user_metadata=about))


async def learn(client: httpx2.AsyncClient) -> None:
    """A day and a lesson, with everything that a learner may write about herself."""
    intent = {
        "topic": "Machine Learning",
        "depth": "informed",
        "end_goal": emitted.GOAL,
        "time_per_day_min": 60,
        "track_label": emitted.NAME,
        "meta": {"about": emitted.NAME},
    }
    await accepted(client, "/functions/v1/orchestrator/intent.sync", intent)
    day = await accepted(client, "/functions/v1/orchestrator/day.run", {})
    done = {
        "session_id": day["session_id"],
        "completion_time_min": 45,
        "confidence": 7,
        "notes": emitted.NOTES,
    }
    await accepted(client, "/functions/v1/orchestrator/day.done", done)
    lesson = {"topic": emitted.NAME, "metadata": {"materials": [emitted.MATERIAL]}}
    made = await accepted(client, "/api/sessions", lesson)
    assert (await client.post(f"/api/sessions/{made['id']}/run")).status_code == 200


async def accepted(client: httpx2.AsyncClient, path: str, body: object) -> dict[str, Any]:
    """What is answered to a request that is in order."""
    answer = await client.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    told: dict[str, Any] = answer.json()
    return told


async def make_mistakes(service: RunningService, client: httpx2.AsyncClient) -> None:
    """Requests that are refused, with what must not be repeated in any log."""
    wrong = {"Authorization": f"Bearer {emitted.TOKEN}"}
    assert (await client.get("/api/sessions", headers=wrong)).status_code == 401
    path = "/functions/v1/orchestrator/day.done"
    body = {"session_id": "none", "completion_time_min": 1_000_000, "notes": emitted.NOTES}
    assert (await client.post(path, json=body)).status_code == 400
    broken = f'{{"notes": "{emitted.NOTES}"'
    json = {"Content-Type": "application/json"}
    assert (await client.post(path, content=broken, headers=json)).status_code == 400
    hook = {"url": f"https://{emitted.TOKEN}:x@example.org/"}
    assert (await client.post("/api/v1/webhooks", json=hook)).status_code == 400
    with pytest.raises(InvalidStatus):
        async with realtime(service.url, emitted.TOKEN):
            pass
    async with realtime(service.url, ANON) as socket:
        assert (await socket.join({"access_token": emitted.TOKEN}))["status"] == "error"
        await socket.send("1", "2", TOPIC, "broadcast", {"event": "hi", "payload": {"notes": emitted.NOTES}})
        await socket.next()
        await socket.socket.send(emitted.NOTES)
        await socket.closed()


async def test_nothing_that_a_learner_writes_comes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day, a lesson and every kind of mistake, listened to by all three ways, and all logs read."""
    settings = {
        "auth.jwt_secret": SECRET,
        "auth.supabase_anon_key": ANON,
        "webhooks.allow_private": True,
    }
    before = dict(emitted.counted)
    async with (
        Receiver().listening() as receiver,
        running_service(tmp_path, settings) as service,
        httpx2.AsyncClient(
            base_url=service.url, headers={"Authorization": f"Bearer {token()}"}, timeout=PATIENCE_S
        ) as client,
        realtime(service.url, ANON) as socket,
    ):
        assert (await socket.join({"access_token": token()}))["status"] == "ok"
        await accepted(client, "/api/v1/webhooks", {"url": receiver.url})
        await learn(client)
        heard: set[str] = set()
        while heard < EXPECTED:
            heard.add((await socket.heard())[0])
        async with asyncio.timeout(PATIENCE_S):
            while not {received.json["type"] for received in receiver.received} >= EXPECTED:
                await receiver.until(len(receiver.received) + 1)
        await make_mistakes(service, client)

    kinds = ("stream entries", "webhook bodies", "realtime frames")
    assert all(emitted.counted[kind] > before.get(kind, 0) for kind in kinds)
    logs = capsys.readouterr()
    assert "/api/v1/webhooks" in logs.out + logs.err  # however lines are written
    emitted.look("logs", logs.out + logs.err)
    assert emitted.seen == []


async def test_the_watch_sees_what_enters_the_stream(tmp_path: Path) -> None:
    """Else it would prove nothing."""
    async with embedded(tmp_path) as lab:
        await lab.streams.append(STREAM, "made", f'{{"notes": "{emitted.NOTES}"}}'.encode())
    found, emitted.seen[:] = sorted(emitted.seen), []
    assert found == ["'Bartholomew' in stream entries", "'planted-notes' in stream entries"]


def test_a_test_that_lets_something_out_fails(tmp_path: Path) -> None:
    """Printed, or logged by anyone; it names what came out, and where."""
    files = {
        "conftest.py": "from support.emitted import pytest_runtest_makereport\n",
        "test_leaks.py": (
            "import logging\n"
            "from support import emitted\n"
            "def test_prints(): print(emitted.NAME)\n"
            "def test_logs(): logging.getLogger('library').warning('%s', emitted.TOKEN)\n"
            "def test_keeps_still(): print('nothing')\n"
        ),
    }
    done = run_pytest(tmp_path, files, *ALONE, path=str(Path(__file__).parent))
    assert "'Quillfeather' in stdout call" in done.stdout
    assert f"'{emitted.TOKEN}' in log call" in done.stdout
