"""The service as a process that ends itself by SIGKILL at a place of its code, as soon as it is told to.

``python -m support.mortal`` imports the service once. For each life that it reads, a line of JSON, it forks:
the fork is ``orchestrator serve`` with a process id, a folder, an environment and an end of its own. It says
the exit code when that life is over.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from support import emitted
from support.forked import MODULES
from support.services import LOOK_AGAIN_S, LOOPBACK, START_LIMIT_S, free_port, is_ready

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

TESTS: Final = Path(__file__).parent.parent
ARMED: Final = "armed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a life ends: just before a coroutine function begins, or just after it has ended."""

    when: Literal["before", "after"]
    function: str  # such as orchestrator.web.events.outbox:Outbox.relay

    def __str__(self) -> str:
        """As a test is named by it."""
        return f"{self.when} {self.function.rpartition(':')[2]}"


class Life(TypedDict):
    """What a fork is told."""

    folder: str
    arguments: list[str]
    environment: dict[str, str]
    place: tuple[str, str] | None


class Forking:
    """The process that has imported the service; it ends with this one."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.mortal"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, life: Life) -> int:
        """The process id of a new life, the only one until it is over."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(life)}\n")
        self._process.stdin.flush()
        return self._said()

    def end(self) -> int:
        """Wait until the life is over; gives its exit code, below 0 for the signal that ended it."""
        return self._said()

    def close(self) -> None:
        """End it, with the life that goes on."""
        self._process.communicate()

    def _said(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


class Mortal:
    """One service, on the same folder and port through all of its lives."""

    def __init__(self, forking: Forking, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.data_dir = folder / "data"
        self._forking = forking
        self._folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ORCHESTRATOR_SERVER_ENABLE_METRICS": "false",
            **(environment or {}),
        }

    @asynccontextmanager
    async def life(self, dies: Place | None = None) -> AsyncGenerator[None]:
        """Live while inside, and be killed at the end, unless it ``dies`` by itself: then it has by then."""
        (self._folder / ARMED).unlink(missing_ok=True)
        pid = self._forking.begin(
            {
                "folder": str(self._folder),
                "arguments": ["serve", "--port", str(self.port), "--data-dir", str(self.data_dir)],
                "environment": self._environment,
                "place": (dies.when, dies.function) if dies else None,
            }
        )
        try:
            await self._wait_until_ready(pid)
            yield
            if dies is not None:
                assert (self._folder / ARMED).exists(), "it was never told to die"
        finally:
            if dies is None or sys.exception() is not None:
                with suppress(ProcessLookupError):  # it ended earlier than it should
                    os.kill(pid, signal.SIGKILL)
            code = await asyncio.to_thread(self._forking.end)
            assert code == -signal.SIGKILL, self.log
            emitted.look("the log of a service", self.log)

    async def _wait_until_ready(self, pid: int) -> None:
        async with asyncio.timeout(START_LIMIT_S):
            while not await asyncio.to_thread(is_ready, self.port):
                os.kill(pid, 0)  # fails where it has ended
                await asyncio.sleep(LOOK_AGAIN_S)

    @property
    def log(self) -> str:
        """What it wrote in all its lives."""
        return (self._folder / "service.log").read_text()

    def arm(self) -> None:
        """From now on the life ends when it comes to its place."""
        (self._folder / ARMED).touch()


def _serve() -> None:
    """Returns in each process that has become the service."""
    for module in (*MODULES, "orchestrator.features.days.routes", "orchestrator.web.webhooks.routes"):
        importlib.import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            return
        print(pid, flush=True)  # noqa: T201  # the test waits for it
        life = os.pidfd_open(pid)
        ready, _, _ = select.select([life, sys.stdin], [], [])
        if life not in ready:  # the test is gone
            os.kill(pid, signal.SIGKILL)
        os.close(life)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201
    os._exit(0)


def _become(life: Life) -> None:
    os.chdir(life["folder"])
    os.environ.clear()
    os.environ.update(life["environment"])
    log = os.open("service.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if life["place"] is not None:
        _die_at(*life["place"])
    sys.argv = ["orchestrator", *life["arguments"]]


def _die_at(when: str, function: str) -> None:
    module, _, path = function.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    living = getattr(owner, name)

    def die_if_told() -> None:
        if Path(ARMED).exists():
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(living)
    async def mortal(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever it takes
        if when == "before":
            die_if_told()
        answer = await living(*arguments, **named)
        if when == "after":
            die_if_told()
        return answer

    setattr(owner, name, mortal)


if __name__ == "__main__":
    _serve()
    importlib.import_module("orchestrator.app.cli").main()
