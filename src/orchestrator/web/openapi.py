"""The OpenAPI document: what FastAPI derives from the routes, and what holds for all of them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from orchestrator.web.problems import Problem, problems

if TYPE_CHECKING:
    from fastapi import FastAPI

DESCRIPTION = (
    "Durable AI-agent workflows with live progress. Every error is a problem document (RFC 9457). "
    "Every answer carries `X-Request-ID` and `traceparent`; both are taken over from the request."
)
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
ANY_ROUTE = (400, 401, 403, 421, 429, 500, 504)


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` describe every answer, problem documents included."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=version("orchestrator"), description=DESCRIPTION, routes=app.routes
    )
    for path in document["paths"].values():
        for method in METHODS & path.keys():
            _describe_problems(path[method])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    return document


def _describe_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own; our answer to a wrong request is 400
    for status, description in problems(*ANY_ROUTE).items():
        responses.setdefault(str(status), description)
