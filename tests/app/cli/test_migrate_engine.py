"""`orchestrator migrate-engine`: real processes, from a journal to a Temporal server."""

from __future__ import annotations

import json
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.migrate_engine_view import summary
from orchestrator.durable.moving import LEFT, MOVED, Move
from support.command import CommandLine

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import TemporalServer

WORKFLOWS = """
from orchestrator import Context, step, workflow

@step
async def note(text: str) -> str:
    with open("notes.txt", "a", encoding="utf-8") as notes:
        notes.write(text + "\\n")
    return text

@workflow
async def approval(ctx: Context, what: str) -> str:
    asked = await ctx.run(note, "asked for " + what)
    said = await ctx.receive("approve", str)
    return f"{asked}: {said}, {await ctx.run(note, 'told ' + what)}"
"""
BEGIN = """
import asyncio, sys
from orchestrator import EmbeddedEngine
from my_flows import approval, note

async def main(own):
    async with EmbeddedEngine("runs.db", workflows=[approval], steps=[note]) as engine:
        for name in ("tea", "milk"):
            run = await engine.start(approval, name, id=f"{name}-{own}")
            async for event in run.events():
                if event.type == "step-completed":
                    break
        print("waiting", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
GO_ON = """
import asyncio, sys
from orchestrator import TemporalEngine
from my_flows import approval, note

async def main(address, queue, own):
    async with TemporalEngine(address, task_queue=queue, workflows=[approval], steps=[note]) as engine:
        for name in ("tea", "milk"):
            run = await engine.get(f"{name}-{own}")
            await run.signal("approve", "yes")
            print(await run.result(), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""

NAMES = ("tea", "milk")


@pytest.mark.acceptance
@pytest.mark.temporal
def test_what_is_open_goes_on_on_temporal(tmp_path: Path, temporal_server: TemporalServer) -> None:
    """Not while its engine runs; then as told, under the same ids, and no completed step again."""
    own = str(uuid.uuid4())
    temporal = {
        "ORCHESTRATOR_TEMPORAL_HOST_PORT": temporal_server.address,
        "ORCHESTRATOR_TEMPORAL_TASK_QUEUE": own,
    }
    orchestrator = CommandLine(tmp_path, temporal)
    for name, text in (("my_flows", WORKFLOWS), ("begin", BEGIN), ("go_on", GO_ON)):
        (tmp_path / f"{name}.py").write_text(text)
    command = ("migrate-engine", "--module", "my_flows", "--journal", "runs.db")
    with orchestrator.program(sys.executable, "begin.py", own) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "waiting\n"
        assert orchestrator(*command).returncode == ExitCode.CONFLICT
        engine.kill()
    looked = orchestrator(*command, "--dry-run")
    assert (looked.returncode, looked.stderr) == (ExitCode.OK, "2 would be moved.\n")
    assert f"would be moved running tea-{own}  approval" in looked.stdout
    moved = [json.loads(line) for line in orchestrator(*command, "--json").stdout.splitlines()]
    assert [(one["id"], one["fate"]) for one in moved] == [
        (f"{name}-{own}", MOVED) for name in ("tea", "milk")
    ]
    again = orchestrator(*command)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "There is nothing open to move.\n")
    with orchestrator.program(sys.executable, "go_on.py", temporal_server.address, own, own) as engine:
        told, complained = engine.communicate(timeout=60)
    assert told.splitlines() == [f"asked for {name}: yes, told {name}" for name in ("tea", "milk")], (
        complained
    )
    notes = (tmp_path / "notes.txt").read_text().splitlines()
    assert sorted(notes) == sorted(
        [f"{verb} {name}" for name in ("tea", "milk") for verb in ("asked for", "told")]
    )


@pytest.mark.acceptance
def test_without_a_server_nothing_moves(tmp_path: Path) -> None:
    """The exit code says that something is not there, and the journal is as it was."""
    nowhere = CommandLine(tmp_path, {"ORCHESTRATOR_TEMPORAL_HOST_PORT": "127.0.0.1:1"})
    (tmp_path / "my_flows.py").write_text(WORKFLOWS)
    (tmp_path / "runs.db").touch()
    ended = nowhere("migrate-engine", "--module", "my_flows", "--journal", "runs.db")
    assert ended.returncode == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1" in ended.stderr
    assert (tmp_path / "runs.db").stat().st_size == 0


def test_the_summary_counts() -> None:
    """Each fate that there is, in one sentence."""
    assert summary([]) == "There is nothing open to move."
    moves = [Move("run", str(number), "w", "waiting", MOVED) for number in range(2)]
    assert summary([*moves, Move("run", "3", "w", "stuck", LEFT, "why")]) == "2 moved, 1 left."
