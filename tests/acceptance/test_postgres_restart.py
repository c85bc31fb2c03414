"""PostgreSQL is restarted under a service: clear refusals meanwhile, then all is well and nothing is lost."""

from __future__ import annotations

import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import requests

from support.postgres_server import PASSWORD, own_postgres_server
from support.services import ServiceProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres]

LIMIT_S = 60
CLIENTS = 4


class Client(threading.Thread):
    """Creates sessions, one after the other, until it is told to stop, and writes down each answer."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.created: list[str] = []
        self.refused: list[dict[str, Any]] = []
        self.other: list[str] = []
        self.leave = threading.Event()
        self._sessions = f"{base_url}/api/sessions"

    def run(self) -> None:
        """Ask until told to leave."""
        with requests.Session() as http:
            while not self.leave.is_set():
                answer = http.post(self._sessions, json={"topic": "Tides"}, timeout=LIMIT_S)
                if answer.status_code == HTTPStatus.CREATED:
                    self.created.append(answer.json()["id"])
                elif answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                    self.refused.append(answer.json())
                else:
                    self.other.append(f"{answer.status_code} {answer.text}")

    def after_next(self, answers: list[Any]) -> None:
        """Wait until one more of these answers has come."""
        before = len(answers)
        while len(answers) == before and self.is_alive():
            self.join(0.01)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_restart_refuses_clearly_and_loses_nothing(tmp_path: Path, way: str) -> None:
    """Stopped in order or at once: 503 with the reason while it is away, 201 again after it is back."""
    with own_postgres_server(tmp_path / "server") as server:
        settings = {"ORCHESTRATOR_DATABASE_URL": server.databases.url()}
        with ServiceProcess(tmp_path, settings) as service:
            clients = [Client(service.base_url) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            for client in clients:
                client.after_next(client.created)
            getattr(server, way)()
            for client in clients:
                client.after_next(client.refused)
            ready = requests.get(f"{service.base_url}/ready", timeout=LIMIT_S)
            health = requests.get(f"{service.base_url}/health", timeout=LIMIT_S)
            server.start()
            for client in clients:
                client.after_next(client.created)
            for client in clients:
                client.leave.set()
                client.join()
            ready_again = requests.get(f"{service.base_url}/ready", timeout=LIMIT_S)
            listed = all_sessions(service.base_url)
            log = service.log

    away = f"postgres://127.0.0.1:{server.port}/postgres cannot be reached right now"
    created = {session_id for client in clients for session_id in client.created}
    assert [client.other for client in clients] == [[]] * CLIENTS
    assert {problem["code"] for client in clients for problem in client.refused} == {"unavailable"}
    assert all(away in problem["detail"] for client in clients for problem in client.refused)
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert f"tables ({away}" in ready.json()["detail"]
    assert health.status_code == HTTPStatus.OK
    assert health.json()["components"]["tables"]["status"] == "unhealthy"
    assert ready_again.status_code == HTTPStatus.OK
    assert created <= listed
    # A commit whose answer was cut off may be there: its client was told that it does not know.
    assert len(listed - created) <= CLIENTS
    assert PASSWORD not in log


def all_sessions(base_url: str) -> set[str]:
    """The ids of all sessions."""
    found: set[str] = set()
    before = None
    while True:
        page = requests.get(
            f"{base_url}/api/sessions", params={"limit": 200, "before": before}, timeout=LIMIT_S
        ).json()
        found |= {item["id"] for item in page["items"]}
        before = page.get("next")
        if before is None:
            return found
