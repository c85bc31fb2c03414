"""The engine port: what workflow code may not do is refused, when it is registered and when it turns."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator import Context, deterministic, step, workflow
from orchestrator.durable.errors import DeterminismError, RunFailedError
from orchestrator.durable.guard import NondeterministicWorkflowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.contract_lab import Lab

PATIENCE_S = 30.0
HERE = str(Path(__file__).parent)

# Reached through a table, as here, the look at a workflow's code does not see them.
DEEDS: dict[str, Callable[[], object]] = {
    "open": lambda: open(__file__, encoding="utf-8"),  # noqa: SIM115, PTH123  # it is refused
    "os.listdir": lambda: os.listdir(HERE),  # noqa: PTH208  # likewise
    "os.remove": lambda: Path(HERE, "no-such-file").unlink(),
    "os.mkdir": lambda: Path(HERE, "no-such-folder").mkdir(),
    "os.rename": lambda: Path(HERE, "no-such-file").rename("other"),
    "shutil.rmtree": lambda: shutil.rmtree(Path(HERE, "no-such-folder")),
    "tempfile.mkdtemp": tempfile.mkdtemp,
    "tempfile.mkstemp": tempfile.mkstemp,
    "socket.__new__": socket.socket,
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 1),
    "urllib.Request": lambda: urllib.request.urlopen("http://localhost:1"),
    "sqlite3.connect": lambda: sqlite3.connect(":memory:"),
    "subprocess.Popen": lambda: subprocess.run([sys.executable, "--version"], check=True),
    "os.system": lambda: os.system("true"),  # noqa: S605  # likewise
    "os.fork": os.fork,
    "os.kill": lambda: os.kill(os.getpid(), 0),
}
# Older Pythons do not tell of these.
if sys.version_info >= (3, 12):
    DEEDS["_thread.start_"] = lambda: threading.Thread(target=print).start()
if sys.version_info >= (3, 13):
    DEEDS["time.sleep"] = lambda: time.sleep(0)


@workflow
async def do(ctx: Context, deed: str) -> None:
    """Do what only a step may do."""
    await ctx.sleep(0)
    DEEDS[deed]()


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


async def test_a_workflow_that_would_not_replay_is_refused_when_an_engine_takes_it(lab: Lab) -> None:
    """The error names each place and what to use there."""

    @workflow
    async def flow(ctx: Context) -> float:
        return time.time()

    with pytest.raises(NondeterministicWorkflowError, match=r"flow → time\.time.*use ctx\.now\(\)"):
        async with lab.open([echo, flow]):
            pass


async def test_io_in_workflow_code_fails_its_run_and_harms_no_other(lab: Lab) -> None:
    """The failure names the operation, before it did anything; runs beside it and the next one work."""
    async with lab.open([do, echo]) as engine:
        runs = {deed: (await engine.start(do, deed), await engine.start(echo, deed)) for deed in DEEDS}
        for deed, (run, beside) in runs.items():
            with pytest.raises(RunFailedError) as caught:
                await run.result()
            failure = caught.value.failure
            assert (failure.type, failure.code) == ("DeterminismError", "not_deterministic"), deed
            assert deed in str(caught.value)
            assert "Do it in a step" in failure.message
            assert "DEEDS[deed]()" in failure.trace
            assert await beside.result() == deed
        assert await (await engine.start(echo, "hi")).result() == "hi"


async def test_a_refusal_is_an_error_that_code_may_handle(lab: Lab) -> None:
    """It comes again on every replay, so what the code makes of it replays too."""

    @workflow
    async def careful(ctx: Context) -> str:
        try:
            DEEDS["open"]()
        except DeterminismError as error:
            await ctx.sleep(0)
            return error.code
        return "nothing raised"

    async with lab.open([careful]) as engine:
        assert await (await engine.start(careful)).result() == "not_deterministic"


async def test_steps_may_do_everything(lab: Lab) -> None:
    """Async or in a thread."""

    @step
    async def look() -> bool:
        return __file__.endswith(".py") and bool(Path(__file__).read_text(encoding="utf-8"))

    @step
    def run() -> str:
        return subprocess.run(
            [sys.executable, "-c", "print('ran')"], capture_output=True, text=True, check=True
        ).stdout

    @workflow
    async def both(ctx: Context) -> list[Any]:
        return list(await ctx.gather(ctx.run(look), ctx.run(run)))

    async with lab.open([both], [look, run]) as engine:
        assert await (await engine.start(both)).result() == [True, "ran\n"]


async def test_what_the_interpreter_needs_is_let_through(lab: Lab, tmp_path: Path) -> None:
    """Imports, time zones, source lines of tracebacks, logs that open their file late."""
    (tmp_path / "found_late.py").write_text(
        f"import pathlib\nWORD = pathlib.Path({str(tmp_path / 'word')!r}).read_text()"
    )
    (tmp_path / "word").write_text("imported")
    log = logging.getLogger("a workflow")
    handler = logging.FileHandler(tmp_path / "log", delay=True)
    log.addHandler(handler)
    sys.path.insert(0, str(tmp_path))

    @workflow
    async def needy(ctx: Context) -> list[Any]:
        import found_late  # type: ignore[import-not-found]  # written above

        log.warning("opens its file")
        ZoneInfo.clear_cache()
        there = datetime(2026, 7, 1, tzinfo=UTC).astimezone(ZoneInfo("Europe/Rome"))
        trace = ""
        try:
            int("shown with its line")
        except ValueError:
            trace = traceback.format_exc()
        return [found_late.WORD, there.hour, 'int("shown with its line")' in trace]

    try:
        async with lab.open([needy]) as engine:
            assert await (await engine.start(needy)).result() == ["imported", 2, True]
        assert (tmp_path / "log").read_text().startswith("opens its file")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("found_late", None)
        log.removeHandler(handler)
        handler.close()


async def test_a_function_that_somebody_vouches_for_may_do_everything(lab: Lab, tmp_path: Path) -> None:
    """Such as to read a table that never changes; what is beside it may not."""
    (tmp_path / "table").write_text("seven")

    @deterministic
    def table() -> str:
        return (tmp_path / "table").read_text()

    @workflow
    async def look_up(ctx: Context) -> str:
        return table()

    @workflow
    async def beside(ctx: Context) -> None:
        table()
        DEEDS["open"]()

    async with lab.open([look_up, beside]) as engine:
        assert await (await engine.start(look_up)).result() == "seven"
        with pytest.raises(RunFailedError, match="open a file"):
            await (await engine.start(beside)).result()


async def test_other_threads_go_on_while_a_workflow_turns(lab: Lab, tmp_path: Path) -> None:
    """The guard looks at workflow code alone, not at what its process does at the same time."""
    turning, written = threading.Event(), threading.Event()

    def write() -> None:
        turning.wait(PATIENCE_S)
        (tmp_path / "written").write_text("meanwhile")
        written.set()

    @workflow
    async def hold(ctx: Context) -> bool:
        turning.set()
        return written.wait(PATIENCE_S)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        async with lab.open([hold]) as engine:
            assert await (await engine.start(hold)).result()
    finally:
        turning.set()
        thread.join()
