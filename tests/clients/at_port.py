"""Runs a program that speaks to localhost:8080 as if the service of a test, on another port, were there."""

from __future__ import annotations

import runpy
import socket
import sys
from typing import Any

PORT, PROGRAM = int(sys.argv[1]), sys.argv[2]
resolve = socket.getaddrinfo


def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # the library's own types
    """Resolve as ever, but for the documents' address."""
    if (host, port) == ("localhost", 8080):
        return resolve("127.0.0.1", PORT, *args, **kwargs)
    return resolve(host, port, *args, **kwargs)


socket.getaddrinfo = getaddrinfo
runpy.run_path(PROGRAM, run_name="__main__")
