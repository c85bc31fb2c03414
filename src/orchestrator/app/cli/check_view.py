"""Runs that do not fit the code, as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.durable.checking import RunCheck

STYLES = {"-": "red", "+": "green", " ": "dim"}
REASON_INDENT = 2  # characters
DIFF_INDENT = 4


def of_misfit(found: RunCheck) -> RenderableType:
    """The run, why it does not fit, and the operations that differ as a diff."""
    return Group(
        Text(f"{found.run_id}  {found.workflow}  {found.status}", "bold"),
        Padding.indent(Text(found.reason), REASON_INDENT),
        *[Padding.indent(Text(line, STYLES[line[0]]), DIFF_INDENT) for line in found.diff],
        "",
    )
