"""Secrets are blackened here and nowhere else: in logs, in failures, and in what watchers see of runs.

A secret is known by its value (settings, `EmbeddedEngine(secrets=…)`), by the name of the field that holds
it, or by its shape. Each text is first searched for words without which nothing can match, which is fast, and
the expressions below take time in proportion to the text, whatever it holds.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import quote, quote_plus, unquote, urlsplit

import pydantic_core
from pydantic import BaseModel, JsonValue, SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

REDACTED: Final = "***"
_PLAIN: Final = (str, int, float, type(None))
# A shorter value is found in innocent text too often; the name of its field still hides it.
SHORTEST_SECRET_CHARS: Final = 6
# What is written as JSON may be quoted in JSON again, such as an error's body in an error's details.
ESCAPES_WITHIN_ESCAPES: Final = 2

# Names of fields that hold a secret, in lower case, without "-" and "_".
_FIELDS: Final = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "awssecretaccesskey",
        "clientsecret",
        "cookie",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "proxyauthorization",
        "refreshtoken",
        "secret",
        "secretaccesskey",
        "secretkey",
        "setcookie",
        "xapikey",
    }
)
# Our own log lines name their fields themselves, so there a name only has to end like a secret's.
_LOG_FIELD: Final = re.compile(
    r"(^|[_-])(password|passwd|secret|token|api[_-]?key|authorization|cookie|credentials?)$", re.IGNORECASE
)


def is_secret_field(name: str) -> bool:
    """Whether a field of exactly this name holds a secret: ``api_key``, ``API-Key``; not ``tokens``."""
    return name.lower().replace("-", "").replace("_", "") in _FIELDS


@lru_cache  # log lines have the same names again and again
def is_secret_log_field(name: str) -> bool:
    """Whether a field of a log line holds a secret: ``db_password`` too."""
    return is_secret_field(name) or _LOG_FIELD.search(name) is not None


# Where a word may begin: also after an escape: "\n" in text that was quoted, "%20" in an address.
_START = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abefnrtv0])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4}))"
)
_SPACE = r"(?:\s|%20|\+|\\[nrt]){1,8}"
_NAME = (
    r"(?:pass(?:word|wd|phrase)|(?:client[_-]?|aws[_-]?)?secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key"
    r"|(?:access|refresh)[_-]?token|private[_-]?key|authorization|(?:set-)?cookie)"
)
_PRIVATE_KEY = re.compile(
    r"(?P<kept>-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)(?:[^-]|-(?!----))*"
    r"(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)
_HEADER = re.compile(
    rf"""(?ix) (?P<kept> authorization \s{{0,4}} [:=] \s{{0,4}} (?:basic|bearer|token|digest|apikey) {_SPACE}
                       | cookie \s{{0,4}} : \s{{0,4}} (?= [^\s=;"'\\]{{1,200}} = ) )
         [^\r\n"'\\]+"""
)
_CREDENTIALS = re.compile(
    rf"(?i)(?P<kept>{_START}(?P<scheme>bearer|basic){_SPACE})(?P<value>[A-Za-z0-9._~+/=-]{{4,}})"
)
_PASSWORD_IN_ADDRESS = re.compile(r"""(?P<kept>://[^/\s:@"'<>]{0,256}:)[^/\s"'<>]{1,512}(?=@)""")
_PARAMETER = re.compile(
    r"""(?ix) (?P<kept> [?&] (?:access_token|token|api_?key|key|password|secret|sig|(?:x-amz-)?signature)= )
         [^\s&#"'<>\\]+"""
)
_FIELD_IN_TEXT = re.compile(
    rf"""(?ix) (?P<kept> {_NAME} (?P<close> \\{{0,8}} ["'`] )? \s{{0,8}} (?P<sign> =>|[:=]) \s{{0,8}}
                         (?: [bru]{{1,2}} (?=["']) )? )
         (?: (?P<quote> \\{{0,8}} ["'`] ) (?P<quoted> [\s\S]*? ) (?P<end> (?<!\\) (?P=quote) | \Z )
           | (?! [{{\[(] | (?:null|none|true|false)\b ) (?P<bare> [^\s"'`,;&)}}\]]+ ) )"""
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind of secret looks, and words (in lower case) of which every such text has one."""

    words: tuple[str, ...]
    pattern: re.Pattern[str]
    blacken: Callable[[re.Match[str]], str]


def _all_but_kept(found: re.Match[str]) -> str:
    return (found.groupdict().get("kept") or "") + REDACTED


def _if_made_up(found: re.Match[str]) -> str:
    return _all_but_kept(found) if _is_made_up(found[0]) else found[0]


def _credentials(found: re.Match[str]) -> str:
    """Of ``bearer`` and ``basic``, which are words of prose too, only what can be credentials."""
    value = found["value"]
    is_basic = found["scheme"].lower() == "basic"
    is_secret = _is_user_and_password(value) if is_basic else _is_made_up(value)
    return _all_but_kept(found) if is_secret else found[0]


def _field(found: re.Match[str]) -> str:
    """Of a name and its value in text, the value; ``password: it must be long`` is prose, though."""
    quoted, bare = found["quoted"], found["bare"]
    if quoted is not None:
        return f"{found['kept']}{found['quote']}{REDACTED}{found['end']}" if quoted else found[0]
    is_prose = found["sign"] == ":" and not found["close"] and not (_is_made_up(bare) and len(bare) > 3)  # noqa: PLR2004  # "8" and "1st" are prose
    return found[0] if is_prose else _all_but_kept(found)


def _is_made_up(word: str) -> bool:
    """Whether people would hardly write this: digits, or capitals inside, or no end."""
    return re.search(r"[0-9]|[a-z][A-Z]", word) is not None or len(word) > 30  # noqa: PLR2004  # longer than words


def _is_user_and_password(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value + "==")
    except (binascii.Error, ValueError):
        return False


def _shape(words: str, expression: str, blacken: Callable[[re.Match[str]], str] = _all_but_kept) -> _Shape:
    return _Shape(tuple(words.split()), re.compile(_START + expression), blacken)


_SHAPES: Final = (
    _Shape(("private key",), _PRIVATE_KEY, _all_but_kept),
    _Shape(("authorization", "cookie"), _HEADER, _all_but_kept),
    _Shape(("bearer", "basic"), _CREDENTIALS, _credentials),
    _Shape(("://",), _PASSWORD_IN_ADDRESS, _all_but_kept),
    _Shape(("token=", "key=", "password=", "secret=", "signature=", "sig="), _PARAMETER, _all_but_kept),
    _shape("sk-", r"sk-[\w-]{8,}", _if_made_up),  # OpenAI, Anthropic and others
    _shape("_live_ _test_", r"[rsp]k_(?:live|test)_\w{8,}"),  # Stripe
    _shape("ork_", r"ork_[0-9a-f]{12}_[\w-]{16,}"),  # our own API keys
    _shape("eyj", r"eyJ[\w-]{5,1000}\.eyJ[\w-]+(?:\.[\w-]*)?"),  # JSON Web Token
    _shape("akia asia", r"A(?:KI|SI)A[A-Z0-9]{16}(?![A-Z0-9])"),  # AWS
    _shape("ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,})"),
    _shape("glpat-", r"glpat-[\w-]{16,}"),  # GitLab
    _shape("xox xapp-", r"(?:xox[a-z]|xapp)-[\w-]{10,}", _if_made_up),  # Slack
    _shape("aiza", r"AIza[\w-]{30,}"),  # Google
    _shape("hf_ npm_", r"(?:hf|npm)_[A-Za-z0-9]{20,}"),  # Hugging Face, npm
    _Shape(
        (
            *("passw", "passphrase", "secret", "private", "authorization", "cookie"),
            *("apikey", "api_key", "api-key", "stoken", "s_token", "s-token", "htoken", "h_token", "h-token"),
        ),
        _FIELD_IN_TEXT,
        _field,
    ),
)
_ALL_WORDS: Final = frozenset(word for shape in _SHAPES for word in shape.words)
_WORDS: Final = tuple(
    word for word in _ALL_WORDS if not any(word != one and one in word for one in _ALL_WORDS)
)


class Redactor:
    """Blackens secrets in texts and in values. It never changes what it is given; it makes a copy."""

    def __init__(
        self, secrets: Iterable[str] = (), *, is_secret: Callable[[str], bool] = is_secret_field
    ) -> None:
        """Take the secrets that are known by value, and what names hide the value of a field."""
        written = {form for secret in secrets for form in _forms(secret)}
        self._exact = sorted(written, key=len, reverse=True)  # a secret may contain another
        self._is_secret = is_secret

    def text(self, text: str) -> str:
        """``text`` with ``***`` in place of secrets."""
        for secret in self._exact:
            if secret in text:
                text = text.replace(secret, REDACTED)
        lowered = text.lower()
        return _without_shapes(text, lowered) if _has_a_word(lowered) else text

    def value(self, value: T) -> T:
        """A JSON-like value with ``***`` in place of secrets, at any depth, in names of fields too."""
        return cast("T", self._redacted(value, hidden=False))

    def field(self, name: str, value: object) -> object:
        """``value`` as it may be shown in a field of that name."""
        return self._redacted(value, hidden=self._is_secret(name))

    def fields(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Named values, such as those of a log line, as they may be shown."""
        if self._are_innocent(fields):
            return dict(fields)
        return {name: self.field(name, value) for name, value in fields.items()}

    def json(self, data: bytes) -> bytes:
        """JSON with ``***`` in place of secrets: the same bytes where none can be in it."""
        if not self.suspects(data):
            return data
        try:
            return pydantic_core.to_json(self.read(data))
        except ValueError:  # nested too deep to be looked through
            return json.dumps(self.text(data.decode("utf-8", "replace"))).encode()

    def read(self, data: bytes) -> JsonValue:
        """The value that JSON holds, with ``***`` in place of secrets.

        Raises:
            ValueError: it is nested too deep to be read.
        """
        value: JsonValue = pydantic_core.from_json(data)
        return self.value(value) if self.suspects(data) else value

    def suspects(self, data: bytes) -> bool:
        """Whether JSON could hold a secret; quick, and wrong only in saying yes."""
        text = data.decode("utf-8", "replace")
        return "\\u" in text or self._suspects(text)  # any letter may be written so

    def _suspects(self, text: str) -> bool:
        """Whether some part of it could be a secret."""
        for secret in self._exact:
            if secret in text:
                return True
        return _has_a_word(text.lower())

    def _are_innocent(self, fields: Mapping[str, object]) -> bool:
        """Whether none can hold a secret: one quick look at all of them, wrong only in saying no."""
        are_plain = all(isinstance(value, _PLAIN) for value in fields.values())
        if not are_plain or any(map(self._is_secret, fields)):
            return False
        texts = (value if isinstance(value, str) else str(value) for value in fields.values())
        return not self._suspects("\n".join(texts))

    def _redacted(self, value: object, *, hidden: bool) -> object:
        if isinstance(value, str):
            return REDACTED if hidden and value else self.text(value)
        if isinstance(value, dict):
            return {
                self._redacted(name, hidden=False): self._redacted(inner, hidden=self._is_secret(str(name)))
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redacted(inner, hidden=hidden) for inner in value]
        if isinstance(value, BaseException | bytes):
            return self.text(repr(value))
        return REDACTED if isinstance(value, SecretStr) or self._is_known_number(value) else value

    def _is_known_number(self, value: object) -> bool:
        return bool(self._exact) and isinstance(value, int | float) and str(value) in self._exact


# Finds secrets by their looks and names alone.
NO_SECRETS_KNOWN: Final = Redactor()


def secrets_in(settings: BaseModel) -> Iterator[str]:
    """The values of all `SecretStr` fields, at any depth."""
    for _, value in settings:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets_in(value)


def _has_a_word(lowered: str) -> bool:
    for word in _WORDS:  # noqa: SIM110  # asked of every delta, and a generator takes twice the time
        if word in lowered:
            return True
    return False


def _without_shapes(text: str, lowered: str) -> str:
    for shape in _SHAPES:
        if any(word in lowered for word in shape.words):
            text = shape.pattern.sub(shape.blacken, text)
    return text


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written in text: as it is, or quoted for JSON, Python or an address."""
    values = [secret]
    if "://" in secret and (password := _password_in(secret)):
        values += [password, unquote(password)]
    for value in values:
        if len(value) >= SHORTEST_SECRET_CHARS:
            written = {value}
            for _ in range(ESCAPES_WITHIN_ESCAPES):
                written |= {_as_json(form, ascii_only) for form in written for ascii_only in (True, False)}
            yield from written
            yield from (repr(value)[1:-1], quote(value), quote(value, safe=""), quote_plus(value))


def _as_json(text: str, ascii_only: bool) -> str:  # noqa: FBT001  # json's own choice
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _password_in(address: str) -> str | None:
    try:
        return urlsplit(address).password
    except ValueError:
        return None
