"""What the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "broken"]

PROBE_TIMEOUT_S = 5.0  # how long the doctor waits for an answer


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it holds now, secrets masked, and who said so (``default`` when nobody did).

    ``used`` is False where there is no such part, in this version or with this engine.
    """

    name: str
    value: str
    source: str
    used: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``mend`` says what to do where something is not as it should be."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the doctor found."""

    settings: tuple[Setting, ...]
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken; warnings are no illness."""
        return all(check.verdict != "broken" for check in self.checks)
