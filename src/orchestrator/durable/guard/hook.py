"""Refuses I/O while workflow code turns, by Python's audit events.

Python tells an audit hook of files, sockets, processes and threads before it touches them. The hook is added
once per process, as it can never be taken out, and looks at nothing unless the loop that is running on its
thread is one of a run.
"""

from __future__ import annotations

import os
import sys
from asyncio import events
from functools import cache
from typing import TYPE_CHECKING

from orchestrator.durable.errors import DeterminismError
from orchestrator.durable.guard.vouched import is_vouched

if TYPE_CHECKING:
    from types import FrameType

_THREAD = "start a thread"
_PROCESS = "start or signal a process"
_FILE = "touch a file or folder"
_NETWORK = "use the network"
_DATABASE = "open a database"

# Python 3.11 tells of no threads, and of time.sleep only 3.13 does; the look at the code finds those.
# As in https://docs.python.org/3/library/audit_events.html; a family is all that begin with its word.
_EVENTS = {
    "open": "open a file",
    "time.sleep": "block the process by time.sleep",
    "builtins.input": "wait at a terminal",
    "_thread.start_new_thread": _THREAD,
    "_thread.start_joinable_thread": _THREAD,
    "sqlite3.connect": _DATABASE,
    "os.system": _PROCESS,
    "os.exec": _PROCESS,
    "os.fork": _PROCESS,
    "os.forkpty": _PROCESS,
    "os.posix_spawn": _PROCESS,
    "os.spawn": _PROCESS,
    "os.startfile": _PROCESS,
    "os.kill": _PROCESS,
    "os.killpg": _PROCESS,
}
_FAMILIES = {
    "os": _FILE,
    "shutil": _FILE,
    "tempfile": _FILE,
    "glob": _FILE,
    "pathlib": _FILE,
    "subprocess": _PROCESS,
    "pty": _PROCESS,
    "socket": _NETWORK,
    "urllib": _NETWORK,
    "http": _NETWORK,
    "ftplib": _NETWORK,
    "imaplib": _NETWORK,
    "poplib": _NETWORK,
    "smtplib": _NETWORK,
    "webbrowser": _PROCESS,
}
# What these do is no workflow's doing, and no result of a run depends on it: imports, source lines for
# tracebacks, time zones, logs, what is cleaned up behind an object, debuggers, and the engines' own work.
_EXCUSED = (
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "zipimport",
    "linecache",
    "zoneinfo",
    "logging",
    "warnings",
    "weakref",
    "bdb",
    "pdb",
    "debugpy",
    "coverage",
    "orchestrator.journal",
    "orchestrator.streams",
    "temporalio",
)
_EXCUSED_PREFIXES = tuple(f"{module}." for module in _EXCUSED)

_guarded: set[type] = set()
_drivers: set[str] = set()


def refuse_io_on(loop: type) -> None:
    """From now on, what turns on a loop of this class gets a DeterminismError for I/O."""
    if not _guarded:
        sys.addaudithook(_hook)
    _guarded.add(loop)
    _drivers.add(loop.__module__)


def _hook(event: str, args: tuple[object, ...]) -> None:
    # The quickest question first: an event tells of every `id()`, and to ask for the loop asks the system.
    deed = _deed(event)
    if deed is None or type(events._get_running_loop()) not in _guarded:  # noqa: SLF001  # it may be none
        return
    if _is_excused(sys._getframe(1)):  # noqa: SLF001  # Python shows callers in no other way
        return
    what = event
    if event == "open":
        if _is_time_zone(args[0]):
            return
        what = f"open {args[0]}"
    raise DeterminismError(f"a workflow cannot {deed} ({what}): it would not replay. Do it in a step.")


@cache
def _deed(event: str) -> str | None:
    """What a workflow cannot do, of which this event tells; None if it tells of anything else."""
    return _EVENTS.get(event) or _FAMILIES.get(event.partition(".")[0])


def _is_time_zone(path: object) -> bool:
    """Time zones are read by C code, which shows no caller of its own."""
    zones = sys.modules.get("zoneinfo")
    return zones is not None and str(path).startswith(tuple(f"{folder}{os.sep}" for folder in zones.TZPATH))


def _is_excused(frame: FrameType | None) -> bool:
    """Whether somebody between the operation and the loop may do it."""
    passed_workflow_code = False
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module in _drivers:
            return not passed_workflow_code
        if module in _EXCUSED or module.startswith(_EXCUSED_PREFIXES):
            return True
        if is_vouched(frame.f_code) or frame.f_code.co_name == "__del__":
            return True
        passed_workflow_code = True
        frame = frame.f_back
    return True
