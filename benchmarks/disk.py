"""How long the disk takes to make a write durable: the floor under every engine measured on it."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES = 4096
F_FULLFSYNC = 51  # macOS <fcntl.h>: also empties the drive's own cache, which fsync(2) there does not


def _sync(descriptor: int) -> None:
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        fcntl.fcntl(descriptor, F_FULLFSYNC)


def sync_times_ms(directory: Path, writes: int = 300) -> list[float]:
    """The time in ms of each of `writes` syncs, one per page of 4 KiB appended to a file in `directory`."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(writes):
            file.write(bytes(PAGE_BYTES))
            began = time.perf_counter()
            _sync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return times
