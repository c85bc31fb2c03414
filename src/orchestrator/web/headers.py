"""Headers of answers as they are sent: names in lower case and values, in bytes.

Every answer carries some twenty, most of them the same each time, so those are written once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.types import Message

Written = tuple[tuple[bytes, bytes], ...]


def written(headers: Mapping[str, str]) -> Written:
    """``headers`` as they are sent."""
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())


def put(headers: Written, message: Message) -> None:
    """Have an answer that begins say this, whatever it said by these names before."""
    names = {name for name, _ in headers}
    message["headers"] = [*(header for header in message["headers"] if header[0] not in names), *headers]


def put_missing(headers: Iterable[tuple[bytes, bytes]], message: Message) -> None:
    """Have it say what of this it does not say itself."""
    said = {name for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(header for header in headers if header[0] not in said)]
