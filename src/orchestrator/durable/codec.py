"""How recorded values are encrypted: AES-256-GCM, with keys that can be changed.

A sealed value is ``0x02``, the length of the key's id, the id, a random nonce of 12 bytes, and the ciphertext
with its tag. No JSON begins with such a byte, so values in plain JSON are told apart and stay readable when
encryption is turned on later. Each run has a key of its own, derived by HMAC-SHA256 from the one given (as
NIST SP 800-108 does), so random nonces never come near the 2**32 that NIST SP 800-38D allows for one key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from orchestrator.core.errors import SettingsError
from orchestrator.journal.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

SEALED: Final = b"\x02"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
DIGEST_BYTES: Final = 32
# Derived keys that are kept, so that the values of one run cost one derivation.
RUN_KEYS_KEPT: Final = 4_096

_KEY_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Codec(Protocol):
    """Seals what is written down, and opens it again."""

    @property
    def hides(self) -> bool:
        """Whether what was sealed tells nothing to who has no key."""
        ...

    def seal(self, data: bytes, scope: str, place: str) -> bytes:
        """``data`` as it is stored. It opens under the same ``scope``, such as a run, and ``place`` alone."""
        ...

    def open(self, data: bytes, scope: str, place: str) -> bytes:
        """What was sealed.

        Raises:
            UnreadableError: its key is not given, or it was changed, or it was sealed for another place.
        """
        ...

    def digest(self, data: bytes) -> bytes:
        """What ``data`` is recognised by later."""
        ...

    def fits(self, digest: bytes, data: bytes) -> bool:
        """Whether that is the digest of ``data``.

        Raises:
            UnreadableError: it was made with a key that is not given.
        """
        ...


class Plain:
    """Stores values as they are."""

    hides = False

    def seal(self, data: bytes, scope: str, place: str) -> bytes:  # noqa: ARG002  # the protocol's
        """The same bytes."""
        return data

    def open(self, data: bytes, scope: str, place: str) -> bytes:  # noqa: ARG002  # the protocol's
        """The same bytes, unless they are sealed."""
        if data[:1] == SEALED:
            raise _no_key(_key_id(data), ())
        return data

    def digest(self, data: bytes) -> bytes:
        """Its SHA-256."""
        return hashlib.sha256(data).digest()

    def fits(self, digest: bytes, data: bytes) -> bool:
        """Whether the hash is the same."""
        if digest[:1] == SEALED and len(digest) > DIGEST_BYTES:
            raise _no_key(_key_id(digest), ())
        return digest == self.digest(data)


class Encryption:
    """Encrypts with the first of ``keys``, by id, and reads what any of them encrypted.

    To change keys put a new one first, and keep the old one as long as there are runs that it encrypted.
    """

    def __init__(self, keys: Mapping[str, str | bytes]) -> None:
        """Take the keys: 32 random bytes each, as they are or in base64 (``openssl rand -base64 32``).

        Raises:
            SettingsError: there is none, an id is no name, or a key is not 32 bytes.
        """
        if not keys:
            raise SettingsError("encryption needs a key: 32 random bytes in base64, under an id")
        self.keys = {name: _key(name, key) for name, key in keys.items()}

    def __repr__(self) -> str:
        return f"<encryption with {', '.join(self.keys)}>"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The keys in ``id:base64,id:base64``; the first encrypts.

        Raises:
            SettingsError: they are not written so, or an id comes twice.
        """
        keys: dict[str, str | bytes] = {}
        for part in text.split(","):
            name, colon, key = part.strip().partition(":")
            if not colon:
                raise SettingsError("encryption keys are written id:base64,id:base64; the first encrypts")
            if name in keys:
                raise SettingsError(f"two encryption keys have the id {name!r}")
            keys[name] = key
        return cls(keys)

    @property
    def secrets(self) -> list[str]:
        """The keys as they may stand in a text."""
        return [base64.b64encode(key).decode() for key in self.keys.values()]


class AesGcm:
    """Seals values with the keys of an `Encryption`."""

    hides = True

    def __init__(self, encryption: Encryption) -> None:
        """Take the keys."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        keys = encryption.keys
        self._keys = keys
        self._current = next(iter(keys))
        self._head = SEALED + bytes([len(self._current)]) + self._current.encode()
        self._invalid = InvalidTag

        @lru_cache(RUN_KEYS_KEPT)
        def cipher(name: str, scope: str) -> Any:
            return AESGCM(hmac.digest(keys[name], b"orchestrator values of " + scope.encode(), "sha256"))

        self._cipher = cipher

    def seal(self, data: bytes, scope: str, place: str) -> bytes:
        """``data`` encrypted; nothing stays nothing."""
        if not data:
            return data
        nonce = os.urandom(NONCE_BYTES)
        sealed: bytes = self._cipher(self._current, scope).encrypt(nonce, data, self._head + place.encode())
        return self._head + nonce + sealed

    def open(self, data: bytes, scope: str, place: str) -> bytes:
        """What was encrypted; what is in plain is from before encryption was turned on."""
        if data[:1] != SEALED:
            return data
        name = _key_id(data)
        if name not in self._keys:
            raise _no_key(name, self._keys)
        end = 2 + len(name)
        try:
            opened: bytes = self._cipher(name, scope).decrypt(
                data[end : end + NONCE_BYTES], data[end + NONCE_BYTES :], data[:end] + place.encode()
            )
        except (self._invalid, ValueError) as error:
            raise UnreadableError(
                "an encrypted value was changed after it was written, or belongs elsewhere"
            ) from error
        return opened

    def digest(self, data: bytes) -> bytes:
        """An HMAC, from which a guessed input cannot be proven without the key."""
        return self._head + self._hmac(self._current, data)

    def fits(self, digest: bytes, data: bytes) -> bool:
        """Whether it is the digest by its own key, or the hash from before encryption was turned on."""
        if len(digest) == DIGEST_BYTES:
            return Plain().fits(digest, data)
        name = _key_id(digest)
        if name not in self._keys:
            raise _no_key(name, self._keys)
        return hmac.compare_digest(digest[2 + len(name) :], self._hmac(name, data))

    def _hmac(self, name: str, data: bytes) -> bytes:
        key = hmac.digest(self._keys[name], b"orchestrator digests", "sha256")
        return hmac.digest(key, data, "sha256")


def codec_for(encryption: Encryption | None) -> Codec:
    """What seals values: nothing, or AES-GCM.

    Raises:
        TypeError: it is none of the two.
    """
    if encryption is not None and not isinstance(encryption, Encryption):
        raise TypeError("encryption: give Encryption({id: key}), or None")
    return Plain() if encryption is None else AesGcm(encryption)


def _key(name: str, key: str | bytes) -> bytes:
    if not _KEY_ID.fullmatch(name):
        raise SettingsError(
            f"{name[:64]!r} cannot be a key's id: that takes 1 to 64 letters, digits, '_', '.' and '-'"
        )
    try:
        raw = base64.b64decode(key, validate=True) if isinstance(key, str) else key
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise SettingsError(
            f"the encryption key {name!r} is not 32 bytes in base64; `openssl rand -base64 32` makes one"
        )
    return raw


def _key_id(sealed: bytes) -> str:
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace") if len(sealed) > 1 else ""


def _no_key(name: str, known: Mapping[str, bytes] | tuple[()]) -> UnreadableError:
    given = f"the keys given are {', '.join(known)}" if known else "no keys are given"
    return UnreadableError(
        f"this was encrypted with key {name!r}, and {given}; give that key again (Encryption({{…}}), for the "
        "service payloads.encryption_keys)"
    )
