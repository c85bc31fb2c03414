"""Secrets are blackened by value, by name and by shape; everything else stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr
from pydantic_core import from_json, to_json

from orchestrator.core.redaction import REDACTED, Redactor, is_secret_field, secrets_in

SHAPES = Redactor()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r"
KEY_BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nhunter2\n-----END RSA PRIVATE KEY-----"
LARGE_CHARS = 1_000_000


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer hunter2hunter", "Authorization: Bearer ***"),
        ("Authorization: Basic onlyletters", "Authorization: Basic ***"),
        ("sent with Basic dXNlcjpodW50ZXIy.", "sent with Basic ***"),
        ("Cookie: a=hunter2; b=hunter2\nnext line", "Cookie: ***\nnext line"),
        ("postgres://me:hunter2@db:5432/x", "postgres://me:***@db:5432/x"),
        ("https://h/x?a=1&access_token=hunter2&b=2", "https://h/x?a=1&access_token=***&b=2"),
        ("key sk-proj-hunter2hunter2 refused", "key *** refused"),
        ("ork_0123456789ab_hunter2hunter2hunter2 refused", "*** refused"),
        ("stripe sk_live_hunter2hunter2", "stripe ***"),
        (f"token {JWT} expired", "token *** expired"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("ghp_hunter2hunter2hunter2hunter2hunter2", "***"),
        ("github_pat_hunter2hunter2hunter2_x", "***"),
        ("glpat-hunter2hunter2hunter2", "***"),
        ("xoxb-1234567890-hunter2", "***"),
        ("AIzahunter2hunter2hunter2hunter2hunter2hun", "***"),
        (f"before {KEY_BLOCK} after", "before -----BEGIN RSA PRIVATE KEY-----*** after"),
        ("password=hunter2;Server=x", "password=***;Server=x"),
        ("DB_PASSWORD=hunter2 OTHER=1", "DB_PASSWORD=*** OTHER=1"),
        ("client_secret: 'hunter2'", "client_secret: '***'"),
        (str({"Api-Key": "hunter2", "n": 1}), "{'Api-Key': '***', 'n': 1}"),
        (str({"secret": b"hunter2"}), "{'secret': b'***'}"),
    ],
)
def test_what_looks_like_a_credential_is_blackened(text: str, kept: str) -> None:
    """Headers, addresses, keys of well-known providers, and fields in text; what is around them stays."""
    assert SHAPES.text(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "Basic understanding of bearer tokens",
        "Basic HTML5 for beginners",
        "The secret: practice every day",
        "password: it must be long",
        "Cookie: a small file that a site leaves",
        "task-queue-2024-01-15 and risk-assessment-1",
        "sk-learn-contrib",
        "used 1234 tokens, prompt_tokens=5",
        "https://example.com:8080/me@home",
        '{"password": null, "tokens": 3, "secret": {"a": 1}}',
    ],
)
def test_prose_and_counts_stay_as_they_are(text: str) -> None:
    """What watchers see of a lesson is not full of holes."""
    assert SHAPES.text(text) == text


@pytest.mark.parametrize(
    "name",
    ["password", "Passwd", "SECRET", "client-secret", "apiKey", "API_KEY", "Authorization", "access_token",
     "refreshToken", "private-key", "cookie", "Set-Cookie"],
)  # fmt: skip
def test_fields_with_a_secrets_name_are_hidden_whatever_they_hold(name: str) -> None:
    """In any spelling, at any depth, in lists too; other kinds of values stay."""
    value = {"a": [{name: "plain words", "n": 1}], name: ["one", "two"]}
    assert SHAPES.value(value) == {"a": [{name: REDACTED, "n": 1}], name: [REDACTED, REDACTED]}


def test_only_whole_names_hide_and_only_texts_are_hidden() -> None:
    """Counts of tokens are what people watch for."""
    value = {
        "tokens": "many",
        "prompt_tokens": 7,
        "token": "x",
        "passwords": "x",
        "secret": {"a": "b"},
        "password": "",
    }
    assert SHAPES.value(value) == value
    assert not is_secret_field("tokens")


@given(st.text(min_size=6, max_size=40).filter(lambda text: text.strip("*")), st.integers(0, 3))
def test_a_known_secret_is_found_however_it_is_quoted(secret: str, quoting: int) -> None:
    """As it is, in JSON, in JSON within JSON, and as Python shows it."""
    written = [
        secret,
        json.dumps([secret]),
        json.dumps({"body": json.dumps({"error": secret}, ensure_ascii=False)}),
        repr([secret]),
    ][quoting]
    told = Redactor([secret]).text(f"it said {written}!")
    assert secret not in told.replace(REDACTED, "")
    assert REDACTED in told


def test_known_secrets_of_an_address_and_in_an_address() -> None:
    """A database's address gives away its password, and a password may stand in an address."""
    redactor = Redactor(["postgres://me:p%40ssw0rd@db/x", "a/b c&d"])
    assert redactor.text("login with p@ssw0rd failed") == "login with *** failed"
    assert redactor.text("http://h/?q=a%2Fb+c%26d") == "http://h/?q=***"


def test_a_secret_within_another_does_not_save_the_rest_of_it() -> None:
    """The longest goes first."""
    assert Redactor(["hunter", "hunter2222"]).text("is hunter2222.") == "is ***."


def test_too_short_secrets_do_not_blacken_every_text() -> None:
    """One of a letter would."""
    assert Redactor(["a", ""]).text("a banana") == "a banana"


def test_known_secrets_are_hidden_in_names_numbers_and_objects() -> None:
    """Wherever a log line or an event may carry them."""
    redactor = Redactor(["31415926", "hunter22"])
    value = {"hunter22": 31415926, "error": ValueError("hunter22"), "key": SecretStr("x"), "n": 3}
    assert redactor.value(value) == {
        REDACTED: REDACTED,
        "error": "ValueError('***')",
        "key": REDACTED,
        "n": 3,
    }


@pytest.mark.parametrize("escaped", ['{"a": "\\u0073k-hunter2hunter2"}', '{"passw\\u006frd": "hunter2"}'])
def test_escaped_letters_hide_nothing(escaped: str) -> None:
    """JSON may write any letter as its number."""
    assert b"hunter2" not in SHAPES.json(escaped.encode())


def test_secrets_after_an_escape_in_quoted_text_are_found() -> None:
    r"""The n of "\n" is no letter of the word after it."""
    assert "hunter2" not in SHAPES.text(repr("keys:\nsk-hunter2hunter2\tghp_hunter2hunter2hunter2"))
    assert "hunter2" not in SHAPES.text(
        json.dumps(json.dumps({"password": 'a"hunter2', "b": "\nBearer hunter2"}))
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_json)
def test_json_is_changed_exactly_as_the_value_in_it_is(value: Any) -> None:  # noqa: ANN401  # any JSON
    """Looking at the bytes first saves time and finds no less."""
    data = to_json(value)
    assert from_json(SHAPES.json(data)) == SHAPES.value(from_json(data))


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """What was recorded without secrets is shown as it is."""
    once = SHAPES.text(text)
    assert SHAPES.text(once) == once


def test_json_that_is_nested_too_deep_to_read_is_redacted_as_text() -> None:
    """It is not let through unseen."""
    deep = b"[" * 5_000 + b'"sk-hunter2hunter2"' + b"]" * 5_000
    assert b"hunter2" not in SHAPES.json(deep)


@pytest.mark.parametrize(
    "piece",
    ["sk-", "eyJ", "-eyJaaaaa", "eyJaaaaa.", "://", "://a:", "bearer ", "password", "passwd: ", 'passwd:"',
     "password='\\", "-----BEGIN PRIVATE KEY-----", "private key-", "cookie: a", "authorization  ", "?key=",
     "secret\\", "api_key ", "xoxb-", "\\nsk-", "secret_access_"],
)  # fmt: skip
def test_a_large_text_takes_no_more_time_than_its_size(piece: str) -> None:
    """Whoever writes a text cannot stop the process with it: what is quadratic would take hours here."""
    text = piece * (LARGE_CHARS // len(piece))
    assert len(SHAPES.text(text)) <= 2 * len(text)


def test_the_secrets_of_settings_are_their_secret_fields() -> None:
    """At any depth."""

    class Inner(BaseModel):
        key: SecretStr | None = SecretStr("inner")
        name: str = "name"

    class Outer(BaseModel):
        inner: Inner = Inner()
        url: SecretStr = SecretStr("outer")
        none: SecretStr | None = None

    assert sorted(secrets_in(Outer())) == ["inner", "outer"]


@given(
    st.dictionaries(
        st.sampled_from(["url", "password", "note", "n"]),
        st.none()
        | st.booleans()
        | st.sampled_from(
            [7654321, "7654321", "hunter2secret", "HUNTER2SECRET", 7.5, "a\nb", ["hunter2secret"]]
        )
        | st.builds("{} hunter2secret Bearer {}".format, st.text(max_size=3), st.text(max_size=9)),
    )
)
def test_fields_are_shown_together_as_each_by_itself(fields: dict[str, object]) -> None:
    """The quick look at a whole log line overlooks nothing."""
    redactor = Redactor(["hunter2secret", "7654321"])

    assert redactor.fields(fields) == {name: redactor.field(name, value) for name, value in fields.items()}
