"""The whole service keeps what its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.attack import attack

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import ServiceProcess

pytestmark = pytest.mark.acceptance

# Document 001 answers 400 to a request for a result that is not there yet, though nothing is wrong with it.
EXPECTED = """
[[operations]]
include-path = "/api/sessions/{session_id}/result"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "5xx"]
"""


def test_the_service_keeps_its_description(service_process: ServiceProcess, tmp_path: Path) -> None:
    """Every check of schemathesis, on every route, streams included."""
    (tmp_path / "schemathesis.toml").write_text(EXPECTED)
    attack(service_process.base_url, tmp_path, max_examples=80)
    assert "Traceback" not in service_process.log
