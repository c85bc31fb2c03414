"""A real PostgreSQL server for tests, one for all of them or one of one's own to stop and start.

PostgreSQL refuses to run as root. Where the tests do, it runs as an unprivileged user, and its data is
outside of pytest's folders, which nobody else may enter.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg

from support.server_processes import end_guarded, shared_server, start_guarded
from support.services import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Sequence

OLDEST_VERSION: Final = 15
START_LIMIT_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.02
USER: Final = "orchestrator"
PASSWORD: Final = "correct-horse"  # noqa: S105  # of servers that live as long as a test
UNPRIVILEGED: Final = ("postgres", "nobody")
# Where packages put what they do not put into PATH: Debian's, and Homebrew's.
PLACES: Final = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")

# Nothing is durable: for the server that all tests share.
QUICK: Final = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class Databases:
    """A running server, ``host:port``, and the addresses of its databases."""

    place: str

    def url(self, name: str = "postgres", *, password: str = PASSWORD) -> str:
        """The address of a database, as document 004 writes it."""
        return f"postgres://{USER}:{password}@{self.place}/{name}?sslmode=disable"

    async def do(self, statement: str, database: str = "postgres") -> None:
        """Run plain SQL, each statement committed by itself."""
        connection = await asyncpg.connect(self.url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def fresh(self) -> AsyncGenerator[str]:
        """The name of an empty database of one's own, dropped at the end."""
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        await self.do(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            await self.do(f"DROP DATABASE {name} WITH (FORCE)")


_NUMBERS = count(1)


class PostgresServer:
    """A PostgreSQL server on a free port that stays the same from one start to the next.

    Should the test process die, the server goes too.

    Args:
        folder: Where its log is.
        data: Where its data is; made by ``initialise``.
        settings: As ``postgres`` takes them on its command line, such as ``-c fsync=off``.
    """

    def __init__(self, folder: Path, data: Path, settings: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.databases = Databases(f"{LOOPBACK}:{self.port}")
        self._log_file = folder / "postgres.log"
        self._data = data
        self._settings = settings
        self._programs = programs()
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._guard is not None

    def initialise(self) -> None:
        """Make an empty cluster whose only user has a password, in Unicode and with a language's order."""
        secret = self._data.with_name("password")
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # in a folder that only the server's user may enter
        account = ("--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256")
        order = ("--encoding", "UTF8", "--no-locale", "--locale-provider", "icu", "--icu-locale", "en")
        made = subprocess.run(
            [self._programs / "initdb", "--pgdata", self._data, "--no-sync", *account, *order],
            user=unprivileged_user(),
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd=self._data.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stderr}")

    def start(self) -> None:
        """Start it on the data of its last life, and wait until it takes connections.

        Raises:
            RuntimeError: it already runs, or did not start; the log is in the message.
        """
        if self._guard is not None:
            raise RuntimeError("The PostgreSQL server already runs.")
        place = ("-D", str(self._data), "-h", LOOPBACK, "-p", str(self.port), "-k", "")
        with self._log_file.open("ab") as log:
            self._guard = start_guarded(
                [str(self._programs / "postgres"), *place, "-c", "max_connections=200", *self._settings],
                self._data.parent,
                log,
                user=unprivileged_user(),
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an operator would: connections are cut; harmless when it does not run."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, so that the next start has to recover. Harmless when it does not run."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        if self._guard is not None:
            end_guarded(self._guard, number)
            self._guard = None

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        asking: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", LOOPBACK, "-p", str(self.port)]
        while time.monotonic() < deadline:
            if subprocess.run(asking, check=False).returncode == 0:
                return
            time.sleep(LOOK_AGAIN_S)
        raise RuntimeError(f"The PostgreSQL server did not start:\n{self._log_file.read_text()}")


@contextmanager
def own_postgres_server(folder: Path, settings: Sequence[str] = ()) -> Generator[PostgresServer]:
    """A PostgreSQL server of one's own, running; it can be stopped, killed and started again on its port.

    What it has committed is on the disk, unless ``settings`` say otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as parts:
        home = Path(tempfile.mkdtemp(prefix="orchestrator-postgres-"))
        parts.callback(shutil.rmtree, home)
        if user := unprivileged_user():
            shutil.chown(home, user)
        server = PostgresServer(folder, home / "data", settings)
        server.initialise()
        server.start()
        parts.callback(server.kill)
        yield server


@contextmanager
def shared_postgres_server(folder: Path) -> Generator[Databases]:
    """One PostgreSQL server that keeps nothing safe, for all processes that name the same ``folder``."""
    with shared_server(folder, lambda: _place_of_one_in(folder)) as place:
        yield Databases(place)


@contextmanager
def _place_of_one_in(folder: Path) -> Generator[str]:
    with own_postgres_server(folder, QUICK) as server:
        yield server.databases.place


def unprivileged_user() -> str | None:
    """As whom the server runs where the tests run as root; None for whoever runs them."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)


def programs() -> Path:
    """The folder of the server's programs: that of PATH if it is new enough, else the newest there is.

    Raises:
        RuntimeError: there is none of version 15 or later.
    """
    in_path = shutil.which("postgres")
    installed = [
        folder
        for place in PLACES
        for pattern in ("*/bin", "postgresql*/bin")
        for folder in Path(place).glob(pattern)
        if (folder / "initdb").exists()
    ]
    newest_first = sorted(set(installed), key=_version, reverse=True)
    candidates = [Path(in_path).resolve().parent, *newest_first] if in_path else newest_first
    for folder in candidates:
        if _version(folder) >= OLDEST_VERSION:
            return folder
    raise RuntimeError(f"PostgreSQL {OLDEST_VERSION} is not installed; scripts/install-system installs it.")


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+", said.stdout)  # "postgres (PostgreSQL) 17beta1"
    return int(found[0]) if found else 0
