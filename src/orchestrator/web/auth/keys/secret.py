"""How a key is written: ``ork_<id>_<secret>``, which people and scanners know for one of ours."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

ID_BYTES: Final = 6
ID_CHARS: Final = 2 * ID_BYTES  # in hexadecimal digits
SECRET_BYTES: Final = 32
SHAPE: Final = re.compile(r"ork_(?P<id>[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A key: ``text`` is all that opens the service, ``id`` tells it from others and is no secret."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def new(cls, key_id: str | None = None) -> Secret:
        """A key that nobody has guessed, of that id or of a new one."""
        key_id = key_id or secrets.token_hex(ID_BYTES)
        return cls(key_id, f"ork_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}")

    @classmethod
    def read(cls, text: str) -> Secret | None:
        """The key that a stranger sent; None where it is none of ours by its looks."""
        found = SHAPE.fullmatch(text)
        return cls(found["id"], text) if found else None

    @property
    def sha256(self) -> str:
        """What is kept of it. It is random and long, so a fast hash without a salt is enough."""
        return hashlib.sha256(self.text.encode()).hexdigest()
