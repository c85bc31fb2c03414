"""Where values are kept that are too large for a history: a directory that all processes see, or S3.

A key is ``namespace/run/sha256`` of what it holds, so the same value is kept once for each run, nothing is
ever changed in place, and what comes back can be checked.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import secrets
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, Self, TypeVar
from urllib.parse import quote, unquote

from orchestrator.core.errors import NotFoundError, UnavailableError
from orchestrator.core.private_files import PRIVATE_DIRECTORY, sync_directory, write_private_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path
    from types import TracebackType

P = ParamSpec("P")
R = TypeVar("R")

# A longer name is cut: what was in it can then not be read from the folder any more, only checked.
LONGEST_NAME_CHARS: Final = 120
HASH_CHARS: Final = 16


class ValueStore(Protocol):
    """Keeps bytes under keys. An engine opens it as it opens itself, and closes it."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def put(self, key: str, data: bytes) -> None:
        """Keep ``data``; it survives a crash of anything once this returns.

        Raises:
            UnavailableError: the store does not answer or has no room.
        """
        ...

    async def get(self, key: str) -> bytes:
        """What is kept.

        Raises:
            NotFoundError: nothing is. UnavailableError: the store does not answer.
        """
        ...

    async def remove(self, folder: str) -> None:
        """Forget all whose keys are in ``folder``; nothing happens where nothing is.

        Raises:
            UnavailableError: the store does not answer.
        """
        ...

    def folders(self, above: str) -> AsyncIterator[tuple[str, datetime]]:
        """The folders in ``above``, each with the time at which something was last put there.

        Raises:
            UnavailableError: the store does not answer.
        """
        ...


def folder_of(namespace: str, run_id: str) -> str:
    """Where a run's values are kept: readable, and no two runs in one, whatever their ids."""
    check = hashlib.sha256(run_id.encode()).hexdigest()[:HASH_CHARS]
    return f"{_safe(namespace)}/{_safe(run_id)[:LONGEST_NAME_CHARS]}~{check}"


def folder_above(namespace: str) -> str:
    """Where the folders of a namespace's runs are."""
    return _safe(namespace)


def run_of(folder: str) -> str | None:
    """The id of the run whose folder that is; None if it was too long to be written in full."""
    run_id = unquote(folder.rpartition("/")[2].partition("~")[0])
    namespace = unquote(folder.partition("/")[0])
    return run_id if folder_of(namespace, run_id) == folder else None


class DirectoryStore:
    """Keeps values in files, for processes that see the same directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __aenter__(self) -> Self:
        """Make the directory."""
        await self._tried(self._made, self._directory)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """There is nothing to close."""

    async def put(self, key: str, data: bytes) -> None:
        """Write beside, sync, then rename, so that a reader or a crash sees all of it or nothing."""
        await self._tried(self._write, self._directory / key, data)

    async def get(self, key: str) -> bytes:
        """Read the file."""
        try:
            return await asyncio.to_thread((self._directory / key).read_bytes)
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {self._directory / key}") from None
        except OSError as error:
            raise self._trouble(error) from error

    async def remove(self, folder: str) -> None:
        """Remove the folder with its files."""
        await self._tried(_remove, self._directory / folder)

    async def folders(self, above: str) -> AsyncIterator[tuple[str, datetime]]:
        """Look through the directory."""
        found = await self._tried(_folders, self._directory / above)
        for name, at in found:
            yield f"{above}/{name}", at

    async def _tried(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            raise self._trouble(error) from error

    def _trouble(self, error: OSError) -> UnavailableError:
        return UnavailableError(f"the directory {self._directory} for large values does not do: {error}")

    def _write(self, path: Path, data: bytes) -> None:
        self._made(path.parent)
        beside = path.with_name(f".{secrets.token_hex(8)}")
        try:
            write_private_file(beside, data)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)

    def _made(self, folder: Path) -> None:
        """Make a folder and those above it, each of them durable."""
        if folder.is_dir():
            return
        self._made(folder.parent)
        folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        sync_directory(folder.parent)


def _remove(folder: Path) -> None:
    while folder.is_dir():
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:  # somebody writes there at this moment
                raise


def _folders(above: Path) -> list[tuple[str, datetime]]:
    if not above.is_dir():
        return []
    # Each file comes by a rename, which tells the time of its folder too.
    return [
        (folder.name, datetime.fromtimestamp(folder.stat().st_mtime, UTC))
        for folder in above.iterdir()
        if folder.is_dir()
    ]


def _safe(name: str) -> str:
    """``name`` in letters that files and S3 take, without "." and "~", which mean something to us or them."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")
