"""Secrets in runs: failures and events do not show them, workflows and results have what was written."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import Context, EmbeddedEngine, StepError, progress, step, workflow
from orchestrator.durable.embedded import JournalReader
from orchestrator.durable.errors import RunFailedError
from orchestrator.durable.runs import EventType
from support.contract_lab import all_events

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.durable.runs import RunInfo

KNOWN = 'correct "horse" battery\nstaple'
SHAPED = "sk-abcdef0123456789"
NAMED = {"user": "ada", "password": "lovelace", "tokens": 12}


@step
async def log_in(credentials: dict[str, Any]) -> dict[str, Any]:
    """Show more than one should, and give back what came in."""
    progress({"using": credentials, "note": f"with {KNOWN} and {SHAPED}"})
    return {**credentials, "session": SHAPED, "known": KNOWN}


@step
async def fail(text: str) -> None:
    """Fail with the text in every part of the exception."""
    error = ValueError(f"could not log in with {text}")
    error.details = {"request": {"api_key": "lovelace"}, "said": [text]}  # type: ignore[attr-defined]  # as many do
    error.add_note(f"noted: {text}")
    raise error from OSError(json.dumps({"body": json.dumps({"echo": text})}))


@workflow
async def visit(ctx: Context, credentials: dict[str, Any]) -> dict[str, Any]:
    """Use secrets, and show them."""
    session: dict[str, Any] = await ctx.run(log_in, credentials)
    ctx.publish("logged in", session)
    letter = await ctx.receive("letter", str)
    return {"session": session, "letter": letter}


@workflow
async def crash(ctx: Context, text: str) -> str:
    """Tell what is known of a failure, then fail likewise."""
    try:
        await ctx.run(fail, text)
    except StepError as error:
        raise RuntimeError(f"{error.message} {error.details} {text}") from error
    return ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of a test is."""
    return tmp_path / "runs.db"


def open_engine(path: Path, ended: list[RunInfo] | None = None) -> EmbeddedEngine:
    """An engine that knows one secret."""
    return EmbeddedEngine(
        path,
        workflows=[visit, crash],
        steps=[log_in, fail],
        secrets=[KNOWN],
        on_ended=None if ended is None else ended.append,
    )


def shows_a_secret(text: str) -> bool:
    """Whether any of the secrets of this file stands in a text, however it is quoted."""
    return any(part in text for part in ("horse", "sk-abc", "lovelace"))


async def test_watchers_see_no_secrets_and_the_result_has_them(path: Path) -> None:
    """Input, progress, result, published event, signal and output; from the engine and from the file."""
    async with open_engine(path) as engine:
        run = await engine.start(visit, NAMED, id="one")
        await run.signal("letter", f"Bearer {SHAPED}")
        session = {**NAMED, "session": SHAPED, "known": KNOWN}
        assert await run.result() == {"session": session, "letter": f"Bearer {SHAPED}"}
        events = await all_events(run)
        steps = await run.steps()
    with JournalReader(path, secrets=[KNOWN]) as reader:
        assert list(reader.events("one")) == events
        assert list(reader.steps("one")) == steps
    assert not shows_a_secret(repr(events) + repr(steps))
    seen = {"user": "ada", "password": "***", "tokens": 12}
    assert events[0].data == seen
    assert steps[0].result == {**seen, "session": "***", "known": "***"}
    assert "Bearer ***" in [event.data for event in events]
    assert {"using": seen, "note": "with *** and ***"} in [event.data for event in events]


async def test_progress_and_published_events_are_recorded_without_secrets(path: Path) -> None:
    """Nobody needs them there; what workflows get again is recorded as it was."""
    async with open_engine(path) as engine:
        run = await engine.start(visit, NAMED)
        await run.signal("letter", "")
        await run.result()
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, data FROM entries WHERE length(data) > 0").fetchall()
    connection.close()
    with_secrets = {kind for kind, data in rows if shows_a_secret(data.decode())}
    assert {kind for kind, _ in rows} - with_secrets >= {"step-progress", "published"}
    assert with_secrets == {"run-started", "step-completed", "run-completed"}


@pytest.mark.parametrize("secret", [KNOWN, SHAPED, f"https://ada:lovelace@host/{SHAPED}"])
async def test_failures_are_recorded_without_secrets(path: Path, secret: str) -> None:
    """In message, details, notes, causes and source lines; of steps and of the run; in its reason too."""
    ended: list[RunInfo] = []
    async with open_engine(path, ended) as engine:
        run = await engine.start(crash, secret)
        with pytest.raises(RunFailedError) as failed:
            await run.result()
        told = [repr(await run.describe()), repr(await run.steps()), repr(ended), failed.value.message]
        told += [failed.value.failure.model_dump_json()]
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, data FROM entries WHERE offset > 1").fetchall()
        reasons = connection.execute("SELECT reason FROM runs").fetchall()
    connection.close()
    told += [repr(rows), repr(reasons)]
    assert not any(map(shows_a_secret, told))
    assert "could not log in with" in failed.value.failure.message
    assert failed.value.failure.type == "RuntimeError"


async def test_a_replay_publishes_no_secret_either(path: Path) -> None:
    """What was not recorded yet is recorded on replay, which is another way to the same row."""
    async with open_engine(path) as engine:
        run = await engine.start(visit, NAMED)
        await run.signal("letter", "")
        await run.result()
        recorded = await run.recorded()
        unsaid = [entry for entry in recorded.entries if entry.type is not EventType.PUBLISHED]
        assert len(unsaid) == len(recorded.entries) - 1
        again = await engine.start(visit, NAMED, prefix=replace(recorded, entries=tuple(unsaid)))
        await again.result()
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT data FROM entries WHERE type = 'published'").fetchall()
    connection.close()
    assert len(rows) == 2
    assert not shows_a_secret(repr(rows))
