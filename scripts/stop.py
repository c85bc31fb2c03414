"""Stop the service that ``make demo`` left running, and wait until it has gone.

It finishes what is in flight first, for up to 30 s; unfinished runs go on at its next start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from orchestrator.app.data_dir import serving

DATA = Path(__file__).resolve().parent.parent / "orchestrator-data"
STOP_LIMIT_S = 40.0
LOOK_AGAIN_S = 0.1


def main() -> int:
    """Send SIGTERM and wait; 1 when the service has not gone in time."""
    service = serving(DATA)
    if service is None:
        print("No service runs here.")
        return 0
    os.kill(service.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while serving(DATA) == service:
        if time.monotonic() > deadline:
            print(f"Process {service.pid} still runs after {STOP_LIMIT_S:.0f} s.", file=sys.stderr)
            return 1
        time.sleep(LOOK_AGAIN_S)
    print(f"Stopped process {service.pid}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
