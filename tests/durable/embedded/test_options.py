"""What the engine is set up with: options of a wrong kind are refused at once, in words."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import EmbeddedEngine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retention": 30}, r"retention=30: give a timedelta, such as timedelta\(days=30\), or None"),
        ({"progress_retention": "1h"}, "progress_retention='1h': give a timedelta"),
        ({"retention": timedelta(days=-1)}, "retention=-1 day, 0:00:00: give a time of 0 or more"),
        ({"encryption": {"2026": "key"}}, r"encryption: give Encryption\(\{id: key\}\), or None$"),
        ({"most_payload_bytes": 0}, "most_payload_bytes=0: give 1 or more"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    """It is named with what it takes; a key among it is not repeated."""
    with pytest.raises((TypeError, ValueError), match=told):
        EmbeddedEngine(tmp_path / "runs.db", **options)
