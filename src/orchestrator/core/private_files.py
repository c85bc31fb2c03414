"""Files and directories that only this user may read, whatever the umask and the directory above allow."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def make_private_file(path: Path) -> None:
    """Make an empty file at ``path`` unless something is there already.

    For SQLite, which would make it readable by all; what it puts beside a file gets that file's rights. Call
    it before the file is opened: closing another descriptor of it would drop SQLite's locks.
    """
    with suppress(OSError):  # whoever opens it next tells why it could not be made
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE))
