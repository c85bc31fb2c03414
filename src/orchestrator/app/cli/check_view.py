"""Runs that do not fit the code, as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from orchestrator.durable.embedded import RunCheck

STYLES = {"-": "red", "+": "green", " ": "dim"}


def of_misfit(found: RunCheck) -> Text:
    """The run, why it does not fit, and the operations that differ as a diff."""
    text = Text(f"{found.run_id}  {found.workflow}  {found.status}\n", "bold")
    text.append(f"  {found.reason}\n", "")
    for line in found.diff:
        text.append(f"    {line}\n", STYLES[line[0]])
    return text
