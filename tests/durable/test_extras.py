"""Libraries that only some need."""

from __future__ import annotations

import subprocess
import sys

WITHOUT_TEMPORAL = """
import sys
sys.modules["temporalio"] = None
from orchestrator import EmbeddedEngine
print(EmbeddedEngine.__name__)
from orchestrator import TemporalEngine
"""


def test_what_needs_a_library_that_is_not_there_names_the_extra() -> None:
    """The rest of the package is there all the same."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TEMPORAL], capture_output=True, text=True, check=False
    )
    assert done.stdout == "EmbeddedEngine\n"
    assert "install Orchestrator with its extra `temporal`" in done.stderr
