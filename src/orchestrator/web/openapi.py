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
    "Every answer carries `X-Request-ID` and `traceparent`; both are taken over from the request. "
    "One signs in by a token, as `Authorization: Bearer …`, or a key; in dev mode `X-User-ID` will do."
)
ABOUT_KEYS = (
    " A POST that is sent again under the same `Idempotency-Key` is done once, and answered the same."
)
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
ANY_ROUTE = (400, 401, 403, 421, 429, 500, 504)


# What a POST under a key may answer besides: it is under way, or the key was used for something else.
UNDER_A_KEY = (409, 422)


def describe(app: FastAPI, *, takes_keys: bool) -> None:
    """Make ``app.openapi()`` describe every answer, problem documents included.

    ``takes_keys`` says whether an Idempotency-Key means anything to this application.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, takes_keys=takes_keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _document(app: FastAPI, *, takes_keys: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=version("orchestrator"),
        description=DESCRIPTION + (ABOUT_KEYS if takes_keys else ""),
        routes=app.routes,
    )
    for path in document["paths"].values():
        for method in METHODS & path.keys():
            _describe_problems(path[method])
        if takes_keys and "post" in path:
            _describe_answers_to_keys(path["post"])
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    return document


def _describe_answers_to_keys(operation: dict[str, Any]) -> None:
    for status, description in problems(*UNDER_A_KEY).items():
        operation["responses"].setdefault(str(status), description)


def _describe_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own; our answer to a wrong request is 400
    for status, description in problems(*ANY_ROUTE).items():
        responses.setdefault(str(status), description)
