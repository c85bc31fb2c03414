"""Deletions by users: on the audit trail before they are done, or not done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from orchestrator.core.errors import UnavailableError
from orchestrator.web.audit.audit import Audit
from support.running_service import running_service

if TYPE_CHECKING:
    from pathlib import Path

WEBHOOK = {"url": "https://hooks.example.com/in"}


@pytest.mark.parametrize(
    ("path", "made_of"), [("/api/sessions", {"topic": "Tides"}), ("/api/v1/webhooks", WEBHOOK)]
)
async def test_what_cannot_be_written_down_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, made_of: dict[str, Any]
) -> None:
    """While the trail is away the deletion is refused, and nothing of it is done."""

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("the tables are away")

    async with (
        running_service(tmp_path) as service,
        httpx2.AsyncClient(base_url=service.url, trust_env=False, headers={"X-User-ID": "ada"}) as http,
    ):
        made = f"{path}/{(await http.post(path, json=made_of)).json()['id']}"
        with monkeypatch.context() as patched:
            patched.setattr(Audit, "record", away)
            assert (await http.delete(made)).status_code == 503
        assert (await http.get(made)).status_code == 200
        assert (await http.delete(made)).status_code == 204
        assert (await http.get(made)).status_code == 404
