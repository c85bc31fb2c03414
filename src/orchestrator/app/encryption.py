"""The keys that the settings name, for the service and for the commands that read what it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.errors import SettingsError
from orchestrator.durable.codec import Encryption

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings

SETTING = "payloads.encryption_keys"


def encryption_of(settings: Settings) -> Encryption | None:
    """The keys that encrypt and decrypt what runs record; None where it is not encrypted.

    Raises:
        SettingsError: the setting is not right; the message says how, and repeats no key.
    """
    if settings.payloads.encryption_keys is None:
        return None
    try:
        return Encryption.parse(settings.payloads.encryption_keys.get_secret_value())
    except SettingsError as error:
        raise SettingsError(f"{SETTING} is not right: {error.message}.") from error
