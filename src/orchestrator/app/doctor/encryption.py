"""The keys for what runs record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.app.doctor.report import Check
from orchestrator.app.encryption import encryption_of
from orchestrator.core.errors import SettingsError

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings


def encryption(settings: Settings) -> Check:
    """Whether they can be used, and which one encrypts."""
    name = "encryption"
    try:
        keys = encryption_of(settings)
    except SettingsError as error:
        return Check(name, "broken", error.message, "Correct it, or nothing can be started.")
    current, *older = keys.keys if keys else ("",)
    read = f"; key {', '.join(older)} is read too" if older else ""
    return Check(name, "ok", f"what runs record is encrypted with key {current}{read}")
