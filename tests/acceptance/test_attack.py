"""The whole service keeps what its OpenAPI document says, whatever it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.attack import attack
from support.services import ServiceProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.acceptance

# Nothing is wrong with asking for a result that is not there yet, and document 001 answers 400 to it. Which
# addresses webhooks may have, and what the time zones are called, no schema can say.
EXPECTED = """
[[operations]]
include-path = "/api/sessions/{session_id}/result"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "5xx"]

[[operations]]
include-path = "/api/v1/webhooks"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "5xx"]

[[operations]]
include-path = "/functions/v1/orchestrator/intent.sync"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409", "5xx"]
"""
NO_LIMITS = {
    "ORCHESTRATOR_LIMITS_REQUESTS_PER_MINUTE": "1000000",
    "ORCHESTRATOR_LIMITS_BURST": "10000",
    "ORCHESTRATOR_LIMITS_DAY_RUNS_PER_HOUR": "1000000",
    "ORCHESTRATOR_LIMITS_REFUSED_SIGN_INS_PER_MINUTE": "1000000",
}
ENDLESS = "/api/v1/events"


def test_the_service_keeps_its_description(tmp_path: Path) -> None:
    """Every check of schemathesis, by a user, on every route whose answer has an end."""
    (tmp_path / "schemathesis.toml").write_text(EXPECTED)
    with ServiceProcess(tmp_path, NO_LIMITS) as service:
        attack(service.base_url, tmp_path, user="ann", max_examples=12, leave_out=(ENDLESS,))
        assert "Traceback" not in service.log
