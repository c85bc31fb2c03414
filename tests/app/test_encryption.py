"""The keys of the settings: the service encrypts with them, commands read with them, nothing shows them."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

import httpx2
import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.data_dir import JOURNAL_FILE
from orchestrator.app.doctor import examine
from orchestrator.app.encryption import encryption_of
from orchestrator.app.wiring import built
from orchestrator.core.errors import PayloadTooLargeError, SettingsError
from orchestrator.core.settings import load_settings
from orchestrator.durable.embedded import EmbeddedEngine, JournalReader
from orchestrator.features.lessons.lesson import LessonRequest
from orchestrator.features.lessons.workflow import lesson
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import CommandLine

KEY, OLD_KEY = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
KEYS = f"2026:{KEY},2025:{OLD_KEY}"
SETTING = "ORCHESTRATOR_PAYLOADS_ENCRYPTION_KEYS"
TOPIC = "Volcanoes of the deep sea"


async def lesson_in(data_dir: Path, **settings: object) -> None:
    """Have the service write a lesson into that directory."""
    with built(load_settings(None, {"data_dir": data_dir, **settings})) as service:
        async with (
            service.app.router.lifespan_context(service.app),
            httpx2.AsyncClient(
                transport=httpx2.ASGITransport(app=service.app), base_url="http://127.0.0.1"
            ) as client,
        ):
            made = (await client.post("/api/sessions", json={"topic": TOPIC})).json()
            await client.post(f"/api/sessions/{made['id']}/run")


async def test_the_service_encrypts_what_its_runs_record(tmp_path: Path) -> None:
    """With the key of its settings; the rooms' own tables are not runs."""
    await lesson_in(tmp_path, **{"payloads.encryption_keys": KEYS})
    written = b"".join(path.read_bytes() for path in tmp_path.glob(f"{JOURNAL_FILE}*") if path.is_file())
    assert TOPIC.encode() not in written
    settings = load_settings(None, {"payloads.encryption_keys": KEYS})
    with JournalReader(tmp_path / JOURNAL_FILE, encryption=encryption_of(settings)) as reader:
        [run] = reader.list(workflow="lesson")
        assert TOPIC in repr(reader.events(run.id))
    with JournalReader(tmp_path / JOURNAL_FILE) as reader, pytest.raises(UnreadableError, match="'2026'"):
        reader.events(run.id)


async def test_without_keys_the_journal_is_plain(tmp_path: Path) -> None:
    """So the test before this one looks in the right place."""
    await lesson_in(tmp_path)
    written = b"".join(path.read_bytes() for path in tmp_path.glob(f"{JOURNAL_FILE}*") if path.is_file())
    assert TOPIC.encode() in written


@pytest.mark.parametrize(
    "keys",
    ["2026", "2026:short", f"a:{KEY},a:{OLD_KEY}", f"b c:{KEY}"],
    ids=["no colon", "short", "twice", "no id"],
)
def test_wrong_keys_stop_the_start(tmp_path: Path, keys: str) -> None:
    """The message names the setting and what it takes, and repeats no key; the doctor says the same."""
    chosen = {"data_dir": tmp_path, "payloads.encryption_keys": keys}
    with (
        pytest.raises(SettingsError, match=r"payloads\.encryption_keys is not right") as refused,
        built(load_settings(None, chosen)),
    ):
        pytest.fail("it was started")
    assert KEY not in refused.value.message
    report = examine(None, chosen)
    assert not report.healthy
    assert refused.value.message in [check.detail for check in report.checks]


def test_the_doctor_says_which_key_encrypts_and_shows_none(tmp_path: Path) -> None:
    """Ids alone."""
    report = examine(None, {"data_dir": tmp_path, "payloads.encryption_keys": KEYS})
    [detail] = [check.detail for check in report.checks if check.name == "encryption"]
    assert detail == "what runs record is encrypted with key 2026; key 2025 is read too"
    assert KEY not in repr(report)


async def test_the_service_knows_the_secrets_of_its_settings(tmp_path: Path) -> None:
    """The model's key, the keys of encryption, and the token of the data directory."""
    chosen = {"data_dir": tmp_path, "payloads.encryption_keys": KEYS, "model.api_key": "plain words"}
    with built(load_settings(None, chosen)) as service:
        said = f"plain words, {KEY}, {OLD_KEY}, {service.claim.token}"
        assert isinstance(service.engine, EmbeddedEngine)
        assert service.engine._rules.redactor.text(said) == "***, ***, ***, ***"


async def test_the_service_takes_the_largest_value_from_its_settings(tmp_path: Path) -> None:
    """And refuses a larger one at once."""
    with built(load_settings(None, {"data_dir": tmp_path, "payloads.max_bytes": 2_000})) as service:
        async with service.app.router.lifespan_context(service.app):
            with pytest.raises(PayloadTooLargeError, match="at most 2,000"):
                await service.engine.start(lesson, LessonRequest(session_id="x" * 3_000, owner="", topic=""))


@pytest.mark.acceptance
def test_commands_read_with_the_keys_of_the_settings(orchestrator: CommandLine) -> None:
    """Without them they say which one is missing."""
    orchestrator.environment[SETTING] = KEYS
    assert orchestrator("lesson", TOPIC).returncode == ExitCode.OK
    run_id = json.loads(orchestrator("runs", "list", "--workflow", "lesson", "--json").stdout)["id"]
    assert TOPIC in orchestrator("runs", "events", run_id, "--json").stdout
    orchestrator.environment[SETTING] = f"2025:{OLD_KEY}"
    refused = orchestrator("runs", "events", run_id)
    assert refused.returncode == ExitCode.FAILED
    assert "encrypted with key '2026'" in refused.stderr
    assert "Traceback" not in refused.stderr
    orchestrator.environment[SETTING] = "rubbish"
    refused = orchestrator("serve", "--port", "0")
    assert "payloads.encryption_keys is not right" in refused.stderr
    assert "Traceback" not in refused.stderr
