"""Addresses of this machine: which names it has, and why one cannot be listened on."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket

from orchestrator.core.errors import ConflictError, SettingsError

REASONS = {
    errno.EADDRINUSE: "another program already uses that port",
    errno.EACCES: "ports below 1024 need more rights than this user has",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}
# A host and perhaps a port, and nothing else: no user, path or list, which others might read differently.
AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9.-]+))(?::[0-9]{1,5})?")


def is_loopback(authority: str) -> bool:
    """Whether ``authority`` (``host`` or ``host:port``, as a Host header has it) names this machine alone."""
    found = AUTHORITY.fullmatch(authority)
    if found is None:
        return False
    host = found["ipv6"] or found["name"]
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether ``host``, as one listens on it, is reached from this machine alone."""
    return is_loopback(f"[{host}]" if ":" in host else host)


def cannot_listen(error: OSError, host: str, port: int, setting: str) -> SettingsError | ConflictError:
    """The error to raise when ``host:port`` is refused: a conflict when another program has it.

    ``setting`` names what sets the port.
    """
    unknown_host = isinstance(error, socket.gaierror)
    reason = "there is no such host" if unknown_host else REASONS.get(error.errno or 0, error.strerror)
    kind = ConflictError if error.errno == errno.EADDRINUSE else SettingsError
    return kind(f"Cannot listen on {host}:{port}: {reason}. Set {setting} to a free port, or to 0 for any.")
