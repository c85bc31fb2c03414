"""Encrypted values: nothing to read without a key, nothing to move or change, keys that take turns."""

from __future__ import annotations

import base64
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import SettingsError
from orchestrator.durable.codec import KEY_BYTES, AesGcm, Encryption, Plain
from orchestrator.journal import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD, NEW = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
BEFORE = AesGcm(Encryption({"2025": OLD}))
AFTER = AesGcm(Encryption({"2026": NEW, "2025": OLD}))
LATER = AesGcm(Encryption({"2026": NEW}))
PLACE = ("7", "3 step-completed 1:fetch#1")


@given(st.binary())
def test_what_was_sealed_opens_again_and_nothing_of_it_shows(data: bytes) -> None:
    """Nothing stays nothing; everything else is hidden."""
    data = b"[" + data + b"]"
    sealed = AFTER.seal(data, *PLACE)
    assert AFTER.open(sealed, *PLACE) == data
    assert data not in sealed
    assert AFTER.seal(b"", *PLACE) == b""


def test_the_same_value_never_looks_the_same() -> None:
    """Whoever sees two rows does not learn that they are equal."""
    assert AFTER.seal(b"{}", *PLACE) != AFTER.seal(b"{}", *PLACE)


@pytest.mark.parametrize(
    "place", [("8", PLACE[1]), ("7", "4 step-completed 1:fetch#1"), ("7", "3 step-failed 1:fetch#1")]
)
def test_a_value_opens_in_its_place_alone(place: tuple[str, str]) -> None:
    """A row that was moved to another run, offset, type or key is refused."""
    with pytest.raises(UnreadableError, match="changed after it was written, or belongs elsewhere"):
        AFTER.open(AFTER.seal(b'"secret"', *PLACE), *place)


@given(st.data())
def test_a_changed_bit_is_found(data: st.DataObject) -> None:
    """Wherever it is: mark, key id, nonce, ciphertext or tag."""
    sealed = bytearray(AFTER.seal(b'"value"', *PLACE))
    sealed[data.draw(st.integers(1, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(UnreadableError):
        AFTER.open(bytes(sealed), *PLACE)


@pytest.mark.parametrize("length", range(1, 40))
def test_a_value_that_was_cut_is_refused(length: int) -> None:
    """At any length."""
    with pytest.raises(UnreadableError):
        AFTER.open(AFTER.seal(b'"value"', *PLACE)[:length], *PLACE)


def test_keys_take_turns() -> None:
    """A new key encrypts; what the old one encrypted is read as long as it is given."""
    old, new = BEFORE.seal(b"1", *PLACE), AFTER.seal(b"2", *PLACE)
    assert (AFTER.open(old, *PLACE), AFTER.open(new, *PLACE)) == (b"1", b"2")
    assert LATER.open(new, *PLACE) == b"2"
    with pytest.raises(UnreadableError, match="key '2025', and the keys given are 2026; give that key again"):
        LATER.open(old, *PLACE)


def test_without_keys_the_missing_one_is_named() -> None:
    """Who forgot the setting reads what to set."""
    with pytest.raises(UnreadableError, match="encrypted with key '2026', and no keys are given"):
        Plain().open(AFTER.seal(b"1", *PLACE), *PLACE)


@pytest.mark.parametrize("data", [b"", b"{}", b'"x"', b"[1]", b"12", b"-1", b"true", b"null", b" 1"])
def test_plain_json_is_read_as_it_is(data: bytes) -> None:
    """Values from before encryption was turned on stay readable."""
    assert AFTER.open(data, *PLACE) == data
    assert Plain().seal(data, *PLACE) == Plain().open(data, *PLACE) == data


def test_digests_recognise_an_input_and_give_nothing_away() -> None:
    """An input of few possible values cannot be found by trying them all, unless one has the key."""
    digest = AFTER.digest(b"crawl\0 42")
    assert AFTER.fits(digest, b"crawl\0 42")
    assert LATER.fits(digest, b"crawl\0 42")
    assert not AFTER.fits(digest, b"crawl\0 43")
    assert hashlib.sha256(b"crawl\0 42").digest() not in digest
    assert not AFTER.fits(digest[:-1], b"crawl\0 42")


def test_digests_of_other_keys_and_times_are_recognised() -> None:
    """A run that was started with the old key, or before there was one, is found again."""
    assert AFTER.fits(BEFORE.digest(b"1"), b"1")
    assert AFTER.fits(Plain().digest(b"1"), b"1")
    assert not AFTER.fits(Plain().digest(b"1"), b"2")
    for codec in (LATER, Plain()):
        with pytest.raises(UnreadableError, match="'2025'"):
            codec.fits(BEFORE.digest(b"1"), b"1")


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def test_keys_are_read_from_one_line() -> None:
    """As a setting has them; the first encrypts."""
    encryption = Encryption.parse(f"2026:{_text(NEW)}, 2025:{_text(OLD)}")
    assert list(encryption.keys.items()) == [("2026", NEW), ("2025", OLD)]
    assert _text(NEW) not in repr(encryption)
    assert encryption.secrets == [_text(NEW), _text(OLD)]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "needs a key"),
        ({"2026": "c2hvcnQ="}, "key '2026' is not 32 bytes in base64; `openssl rand -base64 32` makes one"),
        ({"2026": "no base64!"}, "key '2026' is not 32 bytes"),
        ({"2026": b"short"}, "key '2026' is not 32 bytes"),
        ({"a b": _text(NEW)}, "'a b' cannot be a key's id"),
        ({"": _text(NEW)}, "'' cannot be a key's id"),
        ({"x" * 65: _text(NEW)}, "cannot be a key's id"),
    ],
)
def test_wrong_keys_are_refused_in_words(keys: Mapping[str, str | bytes], said: str) -> None:
    """The message says what is right, and repeats no key."""
    with pytest.raises(SettingsError) as refused:
        Encryption(keys)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026", "id:base64,id:base64"),
        (f"a:{_text(NEW)},a:{_text(OLD)}", "two encryption keys have the id 'a'"),
    ],
    ids=["no colon", "twice"],
)
def test_a_wrong_line_of_keys_is_refused_in_words(text: str, said: str) -> None:
    """Two keys of one id would leave open which of them is meant."""
    with pytest.raises(SettingsError, match=said):
        Encryption.parse(text)
