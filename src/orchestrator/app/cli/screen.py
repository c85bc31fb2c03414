"""What people and scripts see: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType


UNBROKEN_CHARS = 1_000  # a pipe has no edge, and a path or a command that is broken there is of no use


class Screen:
    """The two consoles of one command. NO_COLOR, pipes and narrow terminals are rich's to respect."""

    def __init__(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?" and goes on
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    @property
    def is_live(self) -> bool:
        """Whether progress can be drawn in place, which needs a terminal that can move its cursor."""
        return self.err.is_terminal and not self.err.is_dumb_terminal

    def result(self, content: RenderableType) -> None:
        """Show what the command was asked for."""
        self.out.print(content)

    def line(self, text: str) -> None:
        """Write one plain line of the result, never wrapped or styled: a path, an id."""
        print(text)  # noqa: T201  # standard output is the point

    def record(self, fields: Mapping[str, object]) -> None:
        """Write one JSON line: flushed at once, so that a pipe sees it as it happens."""
        print(json.dumps(fields, ensure_ascii=False, separators=(",", ":")), flush=True)  # noqa: T201

    def note(self, text: str, style: str = "") -> None:
        """Tell people something beside the result."""
        self.err.print(Text(text, style=style))

    def error(self, message: str) -> None:
        """Say in red what is wrong and what to do."""
        self.err.print(Text(f"Error: {message}", style="red"))


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNBROKEN_CHARS
    return console
