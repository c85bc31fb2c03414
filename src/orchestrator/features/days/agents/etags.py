"""ETags of our agents' answers: strong, and telling what an answer depends on.

A tag is the digest of the content. Where a model wrote it, the digest of what the model was told stands
before, so that the same facts can be confirmed (304) without asking the model for other words.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel, JsonValue

DIGEST_CHARS = 32


def digest(value: Mapping[str, JsonValue]) -> str:
    """The digest of JSON data, whatever the order of its members."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGEST_CHARS]


def tag_of(said: BaseModel, facts: str | None = None) -> str:
    """The tag of an answer, and of the facts that a model wrote it from."""
    content = digest(said.model_dump(mode="json"))
    return f'"{content}"' if facts is None else f'"{facts}-{content}"'


def still_true(if_none_match: str | None, *, tag: str | None = None, facts: str | None = None) -> str | None:
    """The tag that the caller holds and that is still true: this one, or any made from these facts."""
    held = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return next(
        (
            each
            for each in held
            if (tag is not None and each == tag) or (facts is not None and each.startswith(f'"{facts}-'))
        ),
        None,
    )
