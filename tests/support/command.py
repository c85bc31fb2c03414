"""The command line as people and scripts use it: a process of its own in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from support import forked
from support.services import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class CommandLine:
    """``orchestrator`` in ``folder``, with nothing of the surrounding environment but ``PATH``."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data_dir = folder / "orchestrator-data"
        self.environment = {
            "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            **(environment or {}),
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        with TemporaryDirectory() as files:
            output, errors = Path(files, "output"), Path(files, "errors")
            command: forked.Command = {
                "arguments": arguments,
                "folder": str(self.folder),
                "environment": self.environment,
                "output": str(output),
                "errors": str(errors),
                "exit_code": str(Path(files, "exit-code")),
            }
            on_temporal = self.environment.get("ORCHESTRATOR_ENGINE") == "temporal"
            code = forked.run(command, with_sdk=on_temporal)
            return subprocess.CompletedProcess(arguments, code, output.read_text(), errors.read_text())

    def started(self, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
        """Start it, to be watched or stopped; what still runs at the end is killed."""
        return self.program(str(COMMANDS / "orchestrator"), *arguments)

    @contextmanager
    def program(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Start another program there; what still runs at the end is killed."""
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
