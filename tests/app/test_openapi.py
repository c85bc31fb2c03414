"""The description of the whole service: complete, each thing once, and with who may call what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.app.wiring import built
from orchestrator.core.settings import load_settings
from orchestrator.web.auth.access import access_of, routes_of
from orchestrator.web.openapi import METHODS
from support.tokens import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

ROLES = {"learner": "user", "viewer": "user", "user": "user", "service": "service", "admin": "admin"}


def app_with(data_dir: Path, **settings: object) -> FastAPI:
    """The service, put together to be looked at."""
    with built(load_settings(None, {"data_dir": data_dir, **settings})) as service:
        return service.app


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each with its path and method."""
    for path, methods in document["paths"].items():
        for method in METHODS & methods.keys():
            yield path, method, methods[method]


def test_everything_has_a_description_and_no_schema_a_twin(tmp_path: Path) -> None:
    """Every parameter and every field says what it is; what goes in and what comes out has one name each."""
    document = app_with(tmp_path).openapi()
    schemas = document["components"]["schemas"]
    shared = document["components"]["parameters"].values()
    fields = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, said in schema.get("properties", {}).items()
        if not said.get("description")
    ]
    parameters = [
        f"{method} {path} {parameter['name']}"
        for path, method, operation in operations(document)
        for parameter in operation.get("parameters", ())
        if "$ref" not in parameter and not parameter.get("description")
    ]

    assert [*fields, *parameters] == []
    assert all(parameter["description"] for parameter in shared)
    assert [name for name in schemas if not re.fullmatch(r"[A-Za-z]+", name)] == []


def test_answers_have_their_fields_but_those_that_say_when_they_are_left_out(tmp_path: Path) -> None:
    """A default is no reason for a client to expect that a field may be missing."""
    schemas = app_with(tmp_path).openapi()["components"]["schemas"]
    left_out = {
        name: set(schemas[name]["properties"]) - set(schemas[name].get("required", ()))
        for name in ("IntentSynced", "DayPlanned", "DayCompleted", "Freshness", "LearningStats", "CloAnswer")
    }

    assert left_out.pop("DayPlanned") == {"degraded_agents"}
    assert set.union(*left_out.values()) == set()


@pytest.mark.parametrize("is_dev", [True, False], ids=["dev mode", "sign-in"])
def test_each_route_says_how_one_signs_in_to_it(tmp_path: Path, *, is_dev: bool) -> None:
    """By the role that it takes; in dev mode users need nothing. Pages and health are open to all."""
    app = app_with(tmp_path, **({} if is_dev else {"auth.jwt_secret": SECRET}))
    document = app.openapi()
    schemes = document["components"]["securitySchemes"]
    accesses = {
        (route.path, method.lower()): access_of(route)
        for route in routes_of(app)
        for method in route.methods or ()
    }

    for path, method, operation in operations(document):
        access = accesses[path, method] or ""
        if access == "anyone":
            assert "security" not in operation, path
            continue
        ways = {name: roles for way in operation["security"] for name, roles in way.items()}
        assert {"bearer", "apiKey"} <= ways.keys() <= schemes.keys(), path
        assert set(map(tuple, ways.values())) == {(ROLES[access],)}, path
        assert ("streamToken" in ways) == (access == "viewer"), path
        assert ({} in operation["security"]) == (is_dev and ROLES[access] == "user"), path
    assert {scheme.get("name") for scheme in schemes.values()} >= {"X-API-Key", "apikey", "token"}


def test_the_header_of_api_keys_is_the_one_that_is_set(tmp_path: Path) -> None:
    """A program reads there where its key goes."""
    document = app_with(tmp_path, **{"auth.api_key_header": "X-Our-Key"}).openapi()

    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-Our-Key"


def test_every_post_says_that_it_takes_a_key(tmp_path: Path) -> None:
    """As a header, with what it may answer on account of it."""
    document = app_with(tmp_path).openapi()
    key = {"$ref": "#/components/parameters/Idempotency-Key"}

    assert document["components"]["parameters"]["Idempotency-Key"]["in"] == "header"
    for path, method, operation in operations(document):
        assert (key in operation.get("parameters", ())) == (method == "post"), path
        if method == "post":
            assert {"409", "422"} <= operation["responses"].keys(), path
