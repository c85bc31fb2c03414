"""The OpenAPI document: what FastAPI derives from the routes, and what holds for all of them."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from orchestrator.web.auth.access import access_of, routes_of
from orchestrator.web.auth.described import NAMING_A_USER, is_about_a_user, security_of, security_schemes
from orchestrator.web.idempotency import described as keys
from orchestrator.web.problems import Problem, problems

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

    from orchestrator.web.auth.sign_in import SignIn

DESCRIPTION = (
    "Durable AI-agent workflows with live progress. Every error is a problem document (RFC 9457). "
    "Every answer carries `X-Request-ID` and `traceparent`; both are taken over from the request. "
    "One signs in by a token, as `Authorization: Bearer …`, or a key; in dev mode `X-User-ID` will do."
)
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
ANY_ROUTE = (400, 401, 403, 421, 429, 500, 504)
EVERYBODY = "anyone"
SCHEMAS = "#/components/schemas/"
SHARED_PARAMETERS = "#/components/parameters/"
UNSAID = "Successful Response"  # what FastAPI says where nobody else does
NOTHING_TO_SAY = "It is done."


def describe(app: FastAPI, sign_in: SignIn, *, takes_keys: bool) -> None:
    """Make ``app.openapi()`` describe who may call what, and every answer, problem documents included.

    ``takes_keys`` says whether an Idempotency-Key means anything to this application.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, sign_in, takes_keys=takes_keys)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to extend the document


def _document(app: FastAPI, sign_in: SignIn, *, takes_keys: bool) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=version("orchestrator"), description=DESCRIPTION, routes=app.routes
    )
    accesses = _accesses(app)
    for path, operations in document["paths"].items():
        for method in METHODS & operations.keys():
            operation, access = operations[method], accesses[path, method]
            _describe_problems(operation)
            if access == EVERYBODY:
                continue
            operation["security"] = security_of(access, is_dev=sign_in.is_dev)
            if is_about_a_user(access):
                _add_header(operation, NAMING_A_USER)
            if takes_keys and method == "post":
                _add_header(operation, keys.HEADER)
                _add_answers(operation, keys.ANSWERS)
    shared = [NAMING_A_USER, *([keys.HEADER] if takes_keys else [])]
    _add_components(document.setdefault("components", {}), sign_in, shared)
    _describe_successes(document)
    return document


def _add_components(components: dict[str, Any], sign_in: SignIn, shared: list[dict[str, Any]]) -> None:
    """What operations refer to."""
    components["securitySchemes"] = security_schemes(sign_in)
    components["parameters"] = {header["name"]: header for header in shared}
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
    schemas |= problem.pop("$defs") | {"Problem": problem}


def _describe_successes(document: dict[str, Any]) -> None:
    """Say of each answer what its schema is, where the route does not say it itself."""
    schemas = document["components"]["schemas"]
    for operations in document["paths"].values():
        for method in METHODS & operations.keys():
            for answer in operations[method]["responses"].values():
                if answer["description"] == UNSAID:
                    told = answer.get("content", {}).get("application/json", {}).get("schema", {})
                    name = told.get("$ref", "").removeprefix(SCHEMAS)
                    answer["description"] = schemas.get(name, {}).get("description", NOTHING_TO_SAY)


def _accesses(app: FastAPI) -> dict[tuple[str, str], str]:
    """Who each route is for, by path and method in lower case."""
    return {
        (str(route.path), method.lower()): access_of(route) or EVERYBODY
        for route in routes_of(app)
        for method in route.methods or ()
    }


def _describe_problems(operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)  # FastAPI's own; our answer to a wrong request is 400
    _add_answers(operation, problems(*ANY_ROUTE))


def _add_answers(operation: dict[str, Any], answers: Mapping[int | str, dict[str, Any]]) -> None:
    for status, answer in answers.items():
        operation["responses"].setdefault(str(status), answer)


def _add_header(operation: dict[str, Any], header: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append({"$ref": f"{SHARED_PARAMETERS}{header['name']}"})
