"""Servers that tests start: they end with the test process, and one can serve many processes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

# The server is the child of a shell that waits for its input to end: should the test process die, however
# suddenly, its end of the pipe closes and the server goes too. A number on the input is the signal to end it
# with. The shell lets go of the output, so that the output ends when the server does.
GUARD = """
"$@" &
server=$!
exec >&-
read -r number
kill "-${number:-9}" "$server"
wait "$server"
"""


def start_guarded(
    command: Sequence[str], folder: Path, log: IO[bytes], *, user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a server under a guard: its output is a pipe, its errors go to ``log``, ``folder`` is home.

    Root may start it as another ``user``, who must be able to enter the folder.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "guard", *command],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=folder,
        user=user,
        extra_groups=None if user is None else [],
    )


def end_guarded(guard: subprocess.Popen[bytes], number: signal.Signals = signal.SIGKILL) -> None:
    """Send the server a signal that ends it, and wait until it has ended."""
    guard.communicate(b"%d\n" % number)


@contextmanager
def shared_server(folder: Path, start: Callable[[], AbstractContextManager[str]]) -> Generator[str]:
    """The address of one server for all processes that name the same ``folder``, such as xdist's workers.

    Who comes first is the host: it starts the server, and stops it when the guests have left. A process holds
    its place by a file lock, so one that dies has left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as place:
        with _locked(folder / "door", fcntl.LOCK_EX):
            host = place.enter_context((folder / "host").open("a+"))
            is_host = _try_to_lock(host)
            if is_host:
                address = place.enter_context(start())
                host.truncate(0)
                host.write(address)
                host.flush()
            else:
                host.seek(0)
                address = host.read()
                place.enter_context(_locked(_guests_of(address, folder), fcntl.LOCK_SH))
        yield address
        if is_host:
            with _locked(folder / "door", fcntl.LOCK_EX):
                host.close()
            with _locked(_guests_of(address, folder), fcntl.LOCK_EX):
                pass


def _guests_of(address: str, folder: Path) -> Path:
    return folder / f"guests-of-{address.rpartition(':')[2]}"


@contextmanager
def _locked(path: Path, kind: int) -> Generator[None]:
    with path.open("a") as file:
        fcntl.flock(file, kind)
        yield


def _try_to_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
