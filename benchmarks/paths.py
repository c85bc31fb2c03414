"""Where the benchmarks find what they need and keep what they make."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"


def scratch() -> Path:
    """A directory on the disk of the checkout: /tmp may be memory, where a sync costs nothing."""
    directory = ROOT / "benchmarks" / ".scratch"
    directory.mkdir(exist_ok=True)
    return directory
