"""What the server's refusals mean here."""

from __future__ import annotations

import pytest
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import UnavailableError
from orchestrator.durable.temporal.failures import explained


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (RPCStatusCode.UNAVAILABLE, "does not answer"),
        (RPCStatusCode.DEADLINE_EXCEEDED, "does not answer"),
        (RPCStatusCode.UNKNOWN, "cannot do this now: transport error"),
        (RPCStatusCode.CANCELLED, "cannot do this now: transport error"),
    ],
)
def test_what_passes_is_worth_another_try(status: RPCStatusCode, said: str) -> None:
    """A server that ends in the midst of an answer leaves more than one kind of error behind."""
    error = explained(RPCError("transport error", status, b""))
    assert isinstance(error, UnavailableError)
    assert said in error.message


def test_what_does_not_pass_is_told_as_it_is() -> None:
    """Another try would meet it again."""
    error = RPCError("no", RPCStatusCode.INVALID_ARGUMENT, b"")
    assert explained(error) is error
