"""A pytest run of its own, as users have it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLUGIN = ("-p", "orchestrator.testing.plugin")
MODE = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
AUTO = ("-p", "pytest_asyncio.plugin", *MODE)
# Only what a run names is loaded; the environment's other plugins stay out of it.
ALONE = ("-p", "no:cacheprovider", "--disable-plugin-autoload")


def run_pytest(
    folder: Path, files: Mapping[str, str], *options: str, path: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run pytest on these files, with these options, and warnings as errors.

    ``path`` is searched for modules first.
    """
    for name, text in files.items():
        (folder / name).write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    paths = [path, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", "-rA", "--color=no", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
