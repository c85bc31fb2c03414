"""No answer that holds a secret is kept under an Idempotency-Key: every route of the whole service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.app.wiring import built
from orchestrator.core.settings import Settings
from orchestrator.web.auth.access import routes_of
from orchestrator.web.idempotency.once import secret_answer

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi.routing import RouteContext

SECRET_FIELDS = {"key", "secret", "token"}


def fields_of(route: RouteContext) -> set[str]:
    """The fields of what the route answers, where it says so."""
    model = getattr(route, "response_model", None)
    return set(getattr(model, "model_fields", ()))


def test_routes_that_answer_a_secret_say_so(tmp_path: Path) -> None:
    """By the dependency `secret_answer`; whoever adds such a route is told by this test."""
    with built(Settings(data_dir=tmp_path)) as service:
        told = {
            route.path: secret_answer in {each.call for each in route.dependant.dependencies}
            for route in routes_of(service.app)
            if "POST" in (getattr(route, "methods", None) or ()) and fields_of(route) & SECRET_FIELDS
        }
    assert told == {
        "/api/sessions/{session_id}/stream-token": True,
        "/api/v1/events/stream-token": True,
        "/api/v1/keys": True,
        "/api/v1/webhooks": True,
        "/api/v1/webhooks/{webhook_id}/rotate-secret": True,
    }
