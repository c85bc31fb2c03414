"""Why an address cannot be listened on, as a sentence for people."""

from __future__ import annotations

import errno
import socket

from orchestrator.core.errors import SettingsError

REASONS = {
    errno.EADDRINUSE: "another program already uses that port",
    errno.EACCES: "ports below 1024 need more rights than this user has",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def cannot_listen(error: OSError, host: str, port: int, setting: str) -> SettingsError:
    """The error to raise when ``host:port`` is refused; ``setting`` names the port's setting."""
    unknown_host = isinstance(error, socket.gaierror)
    reason = "there is no such host" if unknown_host else REASONS.get(error.errno or 0, error.strerror)
    return SettingsError(
        f"Cannot listen on {host}:{port}: {reason}. Set {setting} to a free port, or to 0 for any."
    )
