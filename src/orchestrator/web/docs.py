"""The API described for people: one page, written from the OpenAPI document, that loads and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse

from orchestrator.web.auth.access import Anyone
from orchestrator.web.openapi import METHODS, SCHEMAS, SHARED_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT_PATH, DOCS_PATH, OPENAPI_PATH = "/", "/docs", "/openapi.json"
DOCS_PATHS = (ROOT_PATH, DOCS_PATH, OPENAPI_PATH)
SIGN_IN = "sign-in"
FIRST_PROBLEM = "400"
STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d9dee5, #363d47); --soft: light-dark(#5b6572, #9aa5b3);
  --card: light-dark(#fff, #1b2027); --page: light-dark(#f5f7f9, #12161b);
  --link: light-dark(#0b5cad, #7db8ff); }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 6rem; background: var(--page);
  color: light-dark(#1b2430, #e4e9ef); font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0; } h2 { margin: 2.5rem 0 .5rem; text-transform: capitalize; }
h3 { margin: 0; font-size: 1rem; }
a { color: var(--link); } p, small, dt { color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
code, dt { font-family: ui-monospace, monospace; font-size: .92em; overflow-wrap: anywhere; }
article { margin: .75rem 0; padding: .9rem 1.1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; overflow-wrap: anywhere; }
article:target { border-color: var(--link); }
h4 { margin: .8rem 0 .2rem; font-size: .8rem; color: var(--soft); text-transform: uppercase; }
h4:first-child { margin-top: 0; }
b { display: inline-block; min-width: 3.8rem; margin-right: .6rem; border-radius: .3rem; text-align: center;
  font: 700 .75rem/1.8 ui-monospace, monospace; color: #fff; background: #4a5563; }
.get { background: #1769aa; } .post { background: #217a3c; } .delete { background: #b3362b; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .15rem 1rem; margin: 0; }
dd { margin: 0; }
@media (max-width: 40rem) { dl { display: block; } dd { margin: 0 0 .5rem 1rem; } }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def docs_router() -> APIRouter:
    """The page, at the root and under ``/docs``, and the document itself."""
    router = APIRouter(include_in_schema=False)

    @router.api_route(ROOT_PATH, methods=["GET", "HEAD"])
    @router.api_route(DOCS_PATH, methods=["GET", "HEAD"])
    async def docs(request: Request, _: Anyone) -> HTMLResponse:
        return HTMLResponse(page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})

    @router.api_route(OPENAPI_PATH, methods=["GET", "HEAD"])
    async def openapi(request: Request, _: Anyone) -> JSONResponse:
        return JSONResponse(request.app.openapi())

    return router


def page(document: Mapping[str, Any]) -> str:
    """``document`` (OpenAPI 3.1) as HTML: its operations by tag, then its schemas."""
    info, by_tag = document["info"], _by_tag(document["paths"])
    title = escape(info["title"])
    links = "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in (SIGN_IN, *by_tag, "schemas"))
    tags = "".join(f'<h2 id="{escape(tag)}">{escape(tag)}</h2>{"".join(of)}' for tag, of in by_tag.items())
    components = document.get("components", {})
    schemas = components.get("schemas", {})
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f"<h1>{title} <small>{escape(info['version'])}</small></h1>"
        f"<p>{_prose(info.get('description', ''))}</p>"
        f'<nav>{links}<a href="/openapi.json">openapi.json</a></nav><main>{_signing_in(components)}{tags}'
        f'<h2 id="schemas">schemas</h2>{"".join(_schema(name, schemas[name]) for name in sorted(schemas))}'
        "</main></body></html>"
    )


def _signing_in(components: Mapping[str, Any]) -> str:
    """The ways to say who one is, and the headers that many operations take."""
    ways = [
        (name, f"{_target(name)}{_how(way)} — {_prose(way['description'])}")
        for name, way in components.get("securitySchemes", {}).items()
    ]
    shared = [
        (name, _target(name) + _said(_kind(one["schema"]), one, needed=one.get("required")))
        for name, one in components.get("parameters", {}).items()
    ]
    parts = "".join(
        f"<h4>{title}</h4>{_list(rows)}"
        for title, rows in (("By one of", ways), ("Headers of many", shared))
        if rows
    )
    return f'<h2 id="{SIGN_IN}">{SIGN_IN}</h2><article>{parts}</article>'


def _how(way: Mapping[str, Any]) -> str:
    if way["type"] == "http":
        return f"<code>Authorization: {escape(way['scheme']).title()} …</code>"
    return f"<code>{escape(way['name'])}</code>, in {escape(way['in'])}"


def _by_tag(paths: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, operations in paths.items():
        for method in (method for method in operations if method in METHODS):
            operation = operations[method]
            tag = operation.get("tags", ["other"])[0]
            found.setdefault(tag, []).append(_operation(method, path, operation))
    return found


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    taken = operation.get("parameters", ())
    parameters = [
        (
            one["name"],
            _said(f"{_kind(one['schema'])}, in {escape(one['in'])}", one, needed=one.get("required")),
        )
        for one in taken
        if "$ref" not in one
    ]
    shared = [one["$ref"].removeprefix(SHARED_PARAMETERS) for one in taken if "$ref" in one]
    if shared:
        parameters.append(("headers", ", ".join(map(_link, shared))))
    body = [(media, _kind(one)) for media, one in _contents(operation.get("requestBody", {}))]
    told = sorted(operation["responses"].items())
    answers = [
        (status, " — ".join([*(_kind(one) for _, one in _contents(answer)), _prose(answer["description"])]))
        for status, answer in told
        if status < FIRST_PROBLEM
    ]
    problems = ", ".join(escape(status) for status, _ in told if status >= FIRST_PROBLEM)
    if problems:
        answers.append(("problems", problems))
    parts = (("Parameters", parameters), ("Body", body), ("Answers", answers))
    listed = "".join(f"<h4>{name}</h4>{_list(rows)}" for name, rows in parts if rows)
    more = f"<p>{_prose(operation['description'])}</p>" if "description" in operation else ""
    return (
        f'<article><h3><b class="{method}">{method.upper()}</b><code>{escape(path)}</code></h3>'
        f"<div>{_prose(operation.get('summary', ''))}</div>{more}{_for_whom(operation)}{listed}</article>"
    )


def _for_whom(operation: Mapping[str, Any]) -> str:
    """The role that the operation takes, and how it is proven."""
    ways = operation.get("security", ())
    roles = dict.fromkeys(role for way in ways for taken in way.values() for role in taken)
    if not roles:
        return ""
    named = ", ".join(_link(name) for way in ways for name in way)
    nothing = "; dev mode asks for no proof" if {} in ways else ""
    return f"<p>For {escape(' and '.join(roles))}s, by {named}{nothing}.</p>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    fields = [
        (field, _said(_kind(inner), inner, needed=field in needed))
        for field, inner in schema.get("properties", {}).items()
    ]
    about = _prose(schema.get("description", ""))
    inside = _list(fields) if fields else _kind(schema)
    return f'<article id="{escape(name)}"><h3>{escape(name)}</h3><p>{about}</p>{inside}</article>'


def _contents(answer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for media, content in answer.get("content", {}).items():
        told = content.get("schema", {})
        yield media, told if "$ref" in told or media == "application/json" else {"type": media}


def _kind(schema: Mapping[str, Any]) -> str:
    """The type in words, with a link to a schema that has a name."""
    if "$ref" in schema:
        return _link(schema["$ref"].removeprefix(SCHEMAS))
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(_value(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kind = escape(schema.get("format") or schema.get("type") or "anything")
    if "minimum" in schema and "maximum" in schema:
        return f"{kind} from {_number(schema['minimum'])} to {_number(schema['maximum'])}"
    return kind


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(bound: float) -> str:
    """Pydantic's bounds are fractions, of whole numbers too."""
    return str(int(bound) if float(bound).is_integer() else bound)


def _said(kind: str, schema: Mapping[str, Any], *, needed: bool | None) -> str:
    about = _prose(schema.get("description", ""))
    return f"{kind}{'' if needed else ' <small>(optional)</small>'}{f' — {about}' if about else ''}"


def _list(rows: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{text}</dd>' for name, text in rows)}</dl>"


def _target(name: str) -> str:
    return f'<span id="{escape(name)}"></span>'


def _link(name: str) -> str:
    return f'<a href="#{escape(name)}">{escape(name)}</a>'


def _prose(markdown: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(markdown))
