"""The data directory and the disk that it is on."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from orchestrator.app.doctor.report import Check

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1_000_000
TOO_LITTLE_DISK_BYTES = 100 * MEGABYTE  # the journal would soon refuse new runs
LITTLE_DISK_BYTES = 1_000 * MEGABYTE
OTHERS_MAY_READ = 0o077


def directory(data_dir: Path) -> Check:
    """Whether it can be used, and by its owner alone."""
    name = "data directory"
    if not data_dir.exists():
        parent = _nearest(data_dir)
        if os.access(parent, os.W_OK | os.X_OK):
            return Check(name, "ok", f"{data_dir} will be made at the first start")
        return Check(
            name, "broken", f"{data_dir} cannot be made in {parent}", "Give another with --data-dir."
        )
    if not data_dir.is_dir() or not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return Check(name, "broken", f"{data_dir} cannot be written", "Give another with --data-dir.")
    if data_dir.stat().st_mode & OTHERS_MAY_READ:
        mend = f"chmod 700 {data_dir}"
        return Check(name, "warning", f"{data_dir} can be entered by other users of this machine", mend)
    return Check(name, "ok", str(data_dir.resolve()))


def disk(data_dir: Path) -> Check:
    """How much room is left."""
    free = shutil.disk_usage(_nearest(data_dir)).free
    detail = f"{free / MEGABYTE:,.0f} MB free"
    mend = "Free some space, or move the data directory to a larger disk."
    if free < TOO_LITTLE_DISK_BYTES:
        return Check("disk", "broken", detail, mend)
    return Check("disk", "warning", detail, mend) if free < LITTLE_DISK_BYTES else Check("disk", "ok", detail)


def _nearest(path: Path) -> Path:
    """``path`` itself, or the closest directory above that exists."""
    resolved = path.resolve()
    return next(candidate for candidate in (resolved, *resolved.parents) if candidate.exists())
