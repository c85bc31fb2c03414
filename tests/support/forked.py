"""Runs the command in processes that need not import our code first, which takes longer than most commands.

``python forked.py MODULES…`` imports the modules once. For each command that it reads, a line of JSON, it
forks itself, and writes the exit code. The fork has a folder, an environment, streams and an end of its own,
as any process has; only its beginning is not that of a program that is started.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import subprocess
import sys
import time
from functools import cache
from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULES: Final = (
    "orchestrator.app.cli",
    "orchestrator.app.server",
    "orchestrator.app.wiring",
    "orchestrator.core.settings",
    "orchestrator.features.lessons.model_composer",
    "orchestrator.features.lessons.offline_composer",
    "orchestrator.features.lessons.routes",
)
# A process leaves in another way when it has Temporal's SDK, so one that does not need it goes without.
SDK: Final = "orchestrator.durable.temporal.engine"


class Command(TypedDict):
    """What one fork is to do, and the files that its output and its errors go to."""

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    output: str
    errors: str


def run(command: Command, *, with_sdk: bool) -> int:
    """Run the command to its end; gives the exit code, or below 0 the number of the signal that ended it."""
    forking = _forking((*MODULES, SDK) if with_sdk else MODULES)
    assert forking.stdin is not None
    assert forking.stdout is not None
    forking.stdin.write(f"{json.dumps(command)}\n")
    forking.stdin.flush()
    return int(forking.stdout.readline())


@cache
def _forking(modules: Sequence[str]) -> subprocess.Popen[str]:
    """The process that has imported these modules; it ends with this one."""
    forking = subprocess.Popen(
        [sys.executable, __file__, *modules],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(forking.communicate)
    return forking


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201  # whoever asked reads it
    os._exit(0)


def _become(command: Command) -> None:
    """Take the place of a process that was started to run the command."""
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    time.tzset()
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, command["output"], os.O_WRONLY),
        (2, command["errors"], os.O_WRONLY),
    ):
        file = os.open(name, flags | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["orchestrator", *command["arguments"]]


if __name__ == "__main__":
    _serve(sys.argv[1:])
    importlib.import_module("orchestrator.app.cli").main()
