"""Runs the command in processes that need not import our code first, which takes longer than most commands.

``python forked.py MODULES…`` imports the modules once. For each command that it reads, a line of JSON, it
forks itself. The fork has a folder, an environment, streams and an end of its own, as any process has; only
its beginning is not that of a program that is started.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from threading import Lock
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

_ASKING: Final = Lock()


class Command(TypedDict):
    """What one fork is to do, and the files for its output and errors, and in the end for its exit code."""

    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    output: str
    errors: str
    exit_code: str


def run(command: Command, *, with_sdk: bool) -> int:
    """Run the command to its end; gives the exit code, or below 0 the number of the signal that ended it."""
    os.mkfifo(command["exit_code"])
    with _ASKING:
        forking = _forking((*MODULES, SDK) if with_sdk else MODULES)
        assert forking.stdin is not None
        forking.stdin.write(f"{json.dumps(command)}\n")
        forking.stdin.flush()
    return int(Path(command["exit_code"]).read_text())


@cache
def _forking(modules: Sequence[str]) -> subprocess.Popen[str]:
    """The process that has imported these modules; it ends with this one."""
    forking = subprocess.Popen(
        [sys.executable, __file__, *modules],
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(forking.communicate)
    return forking


def _serve(modules: Sequence[str]) -> None:
    """Returns in each process that is to run a command, and has become it."""
    for module in modules:
        importlib.import_module(module)
    # Or each fork would copy all of it at its end, where the garbage collector goes through what is there.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those who wait for a command's end leave nothing behind
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _begin(json.loads(line))
            return
    os._exit(0)


def _begin(command: Command) -> None:
    """Returns in a process that has become the command; this one waits for its end and tells of it."""
    child = os.fork()
    if child == 0:
        _become(command)
        return
    _, status = os.waitpid(child, 0)
    Path(command["exit_code"]).write_text(str(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(command: Command) -> None:
    """Have the folder, the environment, the streams and the arguments of the command."""
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
