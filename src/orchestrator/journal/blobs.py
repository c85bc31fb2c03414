"""Bytes too large for a row, such as pictures: one file each, under a safe name."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from orchestrator.core.errors import InvalidInputError, NotFoundError
from orchestrator.core.private_files import sync_directory

# No part begins with a dot, so neither "..", hidden nor temporary files have a name.
_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_NAME: Final = re.compile(rf"{_PART}(/{_PART})?")
_FOLDER: Final = re.compile(_PART)

CONTENT_TYPES: Final = {".jpg": "image/jpeg", ".json": "application/json", ".md": "text/markdown"}
OTHER_CONTENT_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with the content type that their name tells, and a tag that changes when they do."""

    data: bytes
    content_type: str
    etag: str


class Blobs(Protocol):
    """Keeps bytes by names like ``folder/file.jpg``. InvalidInputError: a name is not safe."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``, in place of what was there; durable when this returns."""

    async def get(self, name: str) -> Blob:
        """What is kept under ``name``.

        Raises:
            NotFoundError: nothing is.
        """
        ...

    async def delete_folder(self, folder: str) -> None:
        """Forget everything in ``folder``; nothing happens where nothing is."""


class Bucket(Protocol):
    """Bytes by keys, such as an S3 bucket; all may raise UnavailableError."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep them; durable when this returns."""

    async def get(self, key: str) -> bytes:
        """What is kept; raises NotFoundError where nothing is."""
        ...

    async def remove(self, folder: str) -> None:
        """Forget all whose keys are in ``folder``."""


class BucketBlobs:
    """`Blobs` in a bucket that processes share, below ``prefix``."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def put(self, name: str, data: bytes) -> None:
        """Upload it."""
        await self._bucket.put(f"{self._prefix}/{_checked(name)}", data)

    async def get(self, name: str) -> Blob:
        """Download it."""
        try:
            return _blob(name, await self._bucket.get(f"{self._prefix}/{_checked(name)}"))
        except NotFoundError:
            raise _no_file(name) from None

    async def delete_folder(self, folder: str) -> None:
        """Delete all objects of the folder."""
        await self._bucket.remove(f"{self._prefix}/{_checked_folder(folder)}")


class BlobStore:
    """`Blobs` as files in one directory. Threads do the work on the disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, name: str, data: bytes) -> None:
        """Keep ``data`` under ``name``, in place of what was there; on disk when this returns.

        Raises:
            InvalidInputError: not a safe name.
        """
        await asyncio.to_thread(_write, self._path(name), data)

    async def get(self, name: str) -> Blob:
        """What is kept under ``name``.

        Raises:
            InvalidInputError: not a safe name. NotFoundError: nothing is.
        """
        try:
            data = await asyncio.to_thread(self._path(name).read_bytes)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise _no_file(name) from None
        return _blob(name, data)

    async def delete_folder(self, folder: str) -> None:
        """Forget everything in ``folder``; nothing happens where nothing is.

        Raises:
            InvalidInputError: not a safe name.
        """
        await asyncio.to_thread(_remove, self._directory / _checked_folder(folder))

    def _path(self, name: str) -> Path:
        return self._directory / _checked(name)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInputError("A file name has letters, digits, '_', '-' and '.', and at most one folder.")
    return name


def _checked_folder(folder: str) -> str:
    if not _FOLDER.fullmatch(folder):
        raise InvalidInputError("That is not a safe folder name.")
    return folder


def _blob(name: str, data: bytes) -> Blob:
    content_type = CONTENT_TYPES.get(PurePosixPath(name).suffix, OTHER_CONTENT_TYPE)
    return Blob(data, content_type, hashlib.sha256(data).hexdigest()[:32])


def _no_file(name: str) -> NotFoundError:
    return NotFoundError(f"There is no file {name}.")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _write(path: Path, data: bytes) -> None:
    """Write beside, sync, then rename, so that a reader or a crash sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
