"""Room for thousands of sockets in one process."""

from __future__ import annotations

import resource

WANTED_FILES = 20_000


def allow_many_sockets() -> None:
    """Raise this process's limit of open files, and so its children's, as far as the machine lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
