"""What the fields of requests and answers are made of: texts that people can read, and times."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from orchestrator.core.clock import rfc3339

if TYPE_CHECKING:
    from pydantic.config import JsonDict

# C0 and C1 controls, line and paragraph separators, bidirectional overrides, halves of surrogate pairs.
_NOT_ON_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_A_TEXT: Final = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
# The same in the words of JSON Schema, where surrogates cannot occur.
_LINE: Final = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]*$"
_TEXT: Final = r"^[^\u0000-\u0008\u000b\u000e-\u001f\u007f]*$"
# Letters, numbers, punctuation and symbols, by the first letter of their Unicode category (UAX 44, 5.7.1).
_VISIBLE_CATEGORIES: Final = frozenset("LNPS")
# Of these categories and blank all the same: Hangul fillers, the empty Braille cell, the null note head.
_BLANKS: Final = "\u115f\u1160\u3164\uffa0\u2800\U0001d159"
_VISIBLE: Final = rf"(?![{_BLANKS}])[\p{{L}}\p{{N}}\p{{P}}\p{{S}}]"


def _one_line(text: str) -> str:
    if _NOT_ON_A_LINE.search(text):
        raise ValueError("it holds control characters or line breaks; give one line of plain text")
    if is_blank(text):
        raise ValueError("it is blank; say it in a few words")
    return text.strip()


def _readable(text: str) -> str:
    if _NOT_IN_A_TEXT.search(text):
        raise ValueError("it holds control characters, as binary files do; give plain text or Markdown")
    if is_blank(text):
        raise ValueError("it is blank; give a text, or leave it out")
    return text


def is_blank(text: str) -> bool:
    """Whether nothing of it can be seen: spaces, invisible characters, marks that combine with nothing."""
    return not any(
        unicodedata.category(character)[0] in _VISIBLE_CATEGORIES and character not in _BLANKS
        for character in text
    )


def at_most(limit: int) -> AfterValidator:
    """A text of so many characters, before anything else is said about it."""

    def check(text: str) -> str:
        if len(text) > limit:
            raise ValueError(f"it has {len(text):,} characters; at most {limit:,} are taken")
        return text

    return AfterValidator(check)


def line_schema(longest: int) -> JsonDict:
    """How the API's description tells of a ``Line`` of at most so many characters."""
    return _described(_LINE, longest)


def text_schema(longest: int) -> JsonDict:
    """How the API's description tells of a ``Text`` of at most so many characters."""
    return _described(_TEXT, longest)


def _described(pattern: str, longest: int) -> JsonDict:
    """Length, the characters that it may hold, and that one of them must be visible."""
    return {"minLength": 1, "maxLength": longest, "pattern": pattern, "allOf": [{"pattern": _VISIBLE}]}


def LeftOut(description: str | None = None) -> Any:  # noqa: ANN401, N802  # stands where Field stands
    """What is not shown while it is None. A null that says something, such as an unknown price, stays."""
    return Field(None, description=description, exclude_if=lambda value: value is None)


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole = BeforeValidator(_whole)
"""Of an integer: as JSON Schema has it, 20.0 is 20, also where types are strict. Stands after its limits."""
Line = AfterValidator(_one_line)
Text = AfterValidator(_readable)
Time = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
"""RFC 3339 in UTC."""
