"""What processes share that work on the same runs: none of it may be a file of one of them alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.core.errors import SettingsError
from orchestrator.core.settings_sources import variable

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings


def check_shared(settings: Settings, who: str) -> None:
    """See that everything is set which API and workers share when they are processes of their own.

    Raises:
        SettingsError: something is not; the message names each setting, and what it is needed for.
    """
    payloads = settings.payloads
    needed = {
        "redis.addr": (settings.redis.address, "watchers see through Redis what other processes do"),
        "database.url": (settings.database.postgres, "the tables are in PostgreSQL, not in a file"),
        "payloads.store_dir": (
            payloads.store_dir or payloads.s3_bucket,
            "pictures and large values are in a directory that all processes see",
        ),
    }
    missing = [
        f"{name} ({variable(name)}), since {reason}" for name, (value, reason) in needed.items() if not value
    ]
    if missing:
        raise SettingsError(
            f"{who} shares its work with other processes and has to be told where. Set {'; '.join(missing)}. "
            "A single process needs none of it: `orchestrator serve --engine temporal`."
        )
