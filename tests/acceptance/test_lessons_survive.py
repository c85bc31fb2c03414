"""A lesson survives the sudden death of its service, and so do those who watch it."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import requests

from support import model_server
from support.scripted_lesson import CALLS, scripted
from support.services import COMMANDS, ServiceProcess

pytestmark = pytest.mark.acceptance

CLIENTS = Path(__file__).parents[1] / "clients"
LIMIT_S = 60

Told = tuple[str, dict[str, Any]]


def parsed(line: str) -> Told:
    """Id and event of a line that the watching client printed."""
    event_id, _, data = line.partition(" ")
    return event_id, json.loads(data)


def replayed(base_url: str, session_id: str) -> list[Told]:
    """The whole story, as told to somebody who comes when it is over."""
    with requests.get(f"{base_url}/api/sessions/{session_id}/run", stream=True, timeout=LIMIT_S) as stream:
        lines = [line.decode() for line in stream.iter_lines()]
    found, event_id = [], ""
    for line in lines:
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            found.append((event_id, json.loads(line.removeprefix("data: "))))
    return found


def is_of_second_section(event: dict[str, Any]) -> bool:
    """Whether these are the model's own words there; the heading comes before the model is asked."""
    data = event.get("data", {})
    return data.get("part") == 2 and "The" in data["delta"]


def story(told: list[Told]) -> list[Told]:
    """What was told, but for the greeting of each connection."""
    return [each for each in told if each[1]["type"] != "connected"]


def test_a_killed_service_goes_on_and_its_watchers_miss_nothing(tmp_path: Path) -> None:
    """SIGKILL in the middle of a section: after the restart the same EventSource gets the rest, once."""
    with model_server.model_server() as provider:
        provider.respond = scripted
        provider.will(
            scripted, scripted, scripted, model_server.text("The moon pulls", hold=threading.Event())
        )
        with ServiceProcess(tmp_path, {"ORCHESTRATOR_MODEL_BASE_URL": provider.base_url}) as service:
            sessions = f"{service.base_url}/api/sessions"
            session_id = requests.post(sessions, json={"topic": "Tides"}, timeout=LIMIT_S).json()["id"]
            with subprocess.Popen(
                [COMMANDS / "node", "--import", CLIENTS / "as_a_page.mjs", CLIENTS / "watch.mjs", session_id],
                env=os.environ | {"ORIGIN": service.base_url},
                stdout=subprocess.PIPE,
                text=True,
            ) as client:
                assert client.stdout is not None
                watched: list[Told] = []
                while not watched or not is_of_second_section(watched[-1][1]):
                    watched.append(parsed(client.stdout.readline()))
                asked_before = len(provider.asked)
                service.kill()
                service.start()
                watched += [parsed(line) for line in client.stdout]
                assert client.wait(LIMIT_S) == 0
            result = requests.get(f"{sessions}/{session_id}/result", timeout=LIMIT_S).json()
            whole = replayed(service.base_url, session_id)

    assert watched[-1][1]["type"] == "final"
    assert watched[-1][1]["data"]["result"] == result
    assert story(watched) == story(whole)
    ids = [event_id for event_id, _ in story(watched)]
    assert len(set(ids)) == len(ids)
    # The section in flight and the summary; what was finished is not asked for again.
    assert len(provider.asked) - asked_before == 2
    assert result["usage"]["prompt_tokens"] == CALLS * 12
