"""The page that describes the API: complete, harmless, and under the rules of every route."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from orchestrator.web.docs import page

if TYPE_CHECKING:
    import httpx2
    from fastapi import FastAPI


class Seen(HTMLParser):
    """What a browser would find in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element."""
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.words.append(data)


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_every_described_route_is_on_the_page(
    app: FastAPI, client: httpx2.AsyncClient, path: str
) -> None:
    """Each operation with method, path and summary, and each schema under the name that links lead to."""
    answer = await client.get(path)
    seen = Seen(answer.text)
    document = app.openapi()

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for route, operations in document["paths"].items():
        assert route in seen.words
        for method, operation in operations.items():
            assert {method.upper(), operation["summary"]} <= set(seen.words)
    links = {value for name, value in seen.attributes if name == "href" and value}
    anchors = {f"#{value}" for name, value in seen.attributes if name == "id"}
    assert {f"#{name}" for name in document["components"]["schemas"]} <= anchors
    assert links - {"/openapi.json"} <= anchors


async def test_the_page_loads_and_runs_nothing(client: httpx2.AsyncClient) -> None:
    """No script, no outside address; its one style is the one that its policy names by hash."""
    answer = await client.get("/docs")
    seen = Seen(answer.text)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert answer.headers["content-security-policy"].startswith(
        f"default-src 'none'; style-src 'sha256-{digest}';"
    )
    assert not {"script", "link", "img", "iframe"} & seen.tags
    assert not [name for name, _ in seen.attributes if name == "style" or name.startswith("on")]
    assert "://" not in answer.text


def test_whatever_the_document_says_stays_text() -> None:
    """Names and descriptions cannot become markup."""
    evil = '<script x="">&'
    field = {"description": evil, "enum": [evil], "type": evil}
    operation = {
        "tags": [evil],
        "summary": evil,
        "description": evil,
        "parameters": [{"name": evil, "in": evil, "schema": field, "description": evil}, {"$ref": evil}],
        "security": [{}, {evil: [evil]}],
        "responses": {
            evil: {"description": evil, "content": {evil: {}, "application/json": {"schema": {"$ref": evil}}}}
        },
    }
    text = page(
        {
            "info": {"title": evil, "version": evil, "description": f"`{evil}`"},
            "paths": {evil: {"get": operation}},
            "components": {
                "schemas": {evil: {"description": evil, "properties": {evil: {"type": evil}}}},
                "securitySchemes": {
                    evil: {"type": "apiKey", "name": evil, "in": evil, "description": evil},
                    "bearer": {"type": "http", "scheme": evil, "description": evil},
                },
                "parameters": {evil: {"name": evil, "in": evil, "schema": field, "description": evil}},
            },
        }
    )

    assert evil not in text
    assert "script" not in Seen(text).tags


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_page_keeps_the_house_rules(client: httpx2.AsyncClient, path: str) -> None:
    """Foreign names and pages are refused here too, and HEAD is answered."""
    assert (await client.get(path, headers={"Host": "evil.example"})).status_code == 421
    assert (await client.get(path, headers={"Origin": "https://evil.example"})).status_code == 403
    assert (await client.head(path)).status_code == 200


def test_a_number_says_its_bounds_and_no_sign_of_markdown_stays() -> None:
    """What a field takes, and code as code wherever it stands, also in what is answered."""
    week = {"type": "integer", "minimum": 1.0, "maximum": 9, "description": "``now``"}
    operation = {"tags": ["days"], "summary": "", "responses": {"202": {"description": "`code` tells why."}}}
    text = page(
        {
            "info": {"title": "", "version": "", "description": ""},
            "paths": {"/days": {"get": operation}},
            "components": {"schemas": {"Week": {"properties": {"week": week, "over": {"const": True}}}}},
        }
    )
    assert "integer from 1 to 9" in text
    assert "<code>true</code>" in text
    assert "<code>now</code>" in text
    assert "`" not in text


def test_an_operation_says_for_whom_it_is() -> None:
    """The role, how it is proven, and what dev mode spares; what is for all says nothing of it."""
    described = {"tags": ["days"], "summary": "", "responses": {}}
    text = page(
        {
            "info": {"title": "", "version": "", "description": ""},
            "paths": {
                "/days": {"get": described | {"security": [{}, {"bearer": ["user"]}, {"apiKey": ["user"]}]}},
                "/keys": {"get": described | {"security": [{"bearer": ["admin"]}]}},
                "/health": {"get": described},
            },
        }
    )
    days, keys, health = text.split("<article>")[2:]
    bearer, key = '<a href="#bearer">bearer</a>', '<a href="#apiKey">apiKey</a>'
    assert f"For users, by {bearer}, {key}; dev mode asks for no proof." in days
    assert f"For admins, by {bearer}." in keys
    assert "For " not in health
