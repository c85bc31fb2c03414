"""What the port offers and this adapter does not yet: refused in words, never silently nothing."""

from __future__ import annotations

from orchestrator.core.errors import TerminalError


class NotYetOnTemporalError(TerminalError):
    """The Temporal engine does not offer this yet."""

    status = 501
    default_code = "not_yet_on_temporal"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not offered on Temporal yet; the embedded engine has it")
