"""The issuer's public keys: fetched when needed, seldom, and kept for a while when they cannot be."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.errors import UnauthorizedError, UnavailableError
from orchestrator.web.auth.key_set import FETCH_EVERY_S, FRESH_FOR_S, LARGEST_SET_BYTES, STALE_FOR_S, KeySet
from support.tokens import KeyHost, SetClock, SigningKey

FIRST, SECOND = SigningKey("first"), SigningKey("second")


class Issuer:
    """A key set, its host, and the time."""

    def __init__(self) -> None:
        self.clock, self.host = SetClock(), KeyHost(FIRST.public())
        self.key_set = KeySet("https://keys.example/jwks.json", self.clock, transport=self.host)

    async def has(self, key: SigningKey) -> bool:
        """Whether the key is known, or found out now."""
        try:
            found = await self.key_set.key(key.id, key.algorithm)
        except UnauthorizedError:
            return False
        return found.key_id == key.id

    async def settled(self) -> None:
        """Wait for the fetch that is under way."""
        fetching = self.key_set._fetching
        if fetching is not None:
            await fetching


@pytest.fixture
def issuer() -> Issuer:
    """An issuer that shows one key."""
    return Issuer()


async def test_keys_are_fetched_once_for_many(issuer: Issuer) -> None:
    """A thousand requests at once wait for one fetch, and the next thousand for none."""
    issuer.host.answers.clear()
    asking = [asyncio.create_task(issuer.has(FIRST)) for _ in range(1_000)]
    await asyncio.sleep(0)
    issuer.host.answers.set()

    assert all(await asyncio.gather(*asking))
    assert all([await issuer.has(FIRST) for _ in range(1_000)])
    assert issuer.host.asked == 1


async def test_who_goes_away_takes_the_fetch_from_nobody(issuer: Issuer) -> None:
    """The others that wait for it get their key."""
    issuer.host.answers.clear()
    leaves, stays = (asyncio.create_task(issuer.has(FIRST)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await asyncio.sleep(0)
    issuer.host.answers.set()

    assert await stays
    assert issuer.host.asked == 1


async def test_a_new_key_is_found_when_it_is_used(issuer: Issuer) -> None:
    """The issuer changes its keys whenever it likes; the old one stays as long as it is shown."""
    assert await issuer.has(FIRST)
    issuer.host.show(FIRST.public(), SECOND.public())
    issuer.clock.now += FETCH_EVERY_S

    assert await issuer.has(SECOND)
    assert await issuer.has(FIRST)
    assert issuer.host.asked == 2


async def test_strangers_cannot_have_the_issuer_asked_often(issuer: Issuer) -> None:
    """Tokens with invented key ids cost one fetch in ten seconds, however many there are."""
    assert await issuer.has(FIRST)
    for number in range(100):
        issuer.clock.now += FETCH_EVERY_S / 50
        assert not await issuer.has(SigningKey(f"invented-{number}"))

    assert issuer.host.asked <= 1 + 2


async def test_a_withdrawn_key_is_believed_for_minutes_at_most(issuer: Issuer) -> None:
    """Keys that are not fresh are used once more while they are fetched anew, beside the request."""
    assert await issuer.has(FIRST)
    issuer.host.show(SECOND.public())
    issuer.clock.now += FRESH_FOR_S + 1

    assert await issuer.has(FIRST)
    await issuer.settled()
    assert not await issuer.has(FIRST)


async def test_a_slow_host_keeps_nobody_waiting_who_has_a_known_key(issuer: Issuer) -> None:
    """The answer does not even begin to wait for the fetch."""
    assert await issuer.has(FIRST)
    issuer.host.answers.clear()
    issuer.clock.now += FRESH_FOR_S + 1

    assert await issuer.has(FIRST)
    issuer.host.answers.set()
    await issuer.settled()
    assert issuer.host.asked == 2


async def test_known_keys_outlive_their_host_for_an_hour(issuer: Issuer) -> None:
    """While it is down tokens are still checked; after the hour nobody can tell, and 503 says so."""
    assert await issuer.has(FIRST)
    issuer.host.is_down = True
    issuer.clock.now += STALE_FOR_S - 1
    assert await issuer.has(FIRST)
    await issuer.settled()

    issuer.clock.now += 2
    with pytest.raises(UnavailableError) as told:
        await issuer.has(FIRST)
    assert told.value.retry_after is not None
    assert 0 < told.value.retry_after <= FETCH_EVERY_S

    issuer.host.is_down = False
    issuer.clock.now += FETCH_EVERY_S
    assert await issuer.has(FIRST)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [7]}',
        b"<html>",
        b"[" * 100_000,
        b" " * (LARGEST_SET_BYTES + 1),
    ],
)
async def test_nonsense_instead_of_keys_is_no_keys(issuer: Issuer, body: bytes) -> None:
    """A login page, an empty answer, or gigabytes: as if the host were down."""
    issuer.host.body = body

    with pytest.raises(UnavailableError):
        await issuer.has(FIRST)


async def test_an_error_page_does_not_replace_the_keys(issuer: Issuer) -> None:
    """What was known stays known."""
    assert await issuer.has(FIRST)
    issuer.host.status, issuer.host.body = 500, b'{"keys": []}'
    issuer.clock.now += FRESH_FOR_S + 1
    assert await issuer.has(FIRST)
    await issuer.settled()

    assert await issuer.has(FIRST)


@pytest.mark.parametrize(
    "useless",
    [
        FIRST.public(use="enc"),
        FIRST.public(alg="RS256"),
        FIRST.public(crv="P-384"),
        FIRST.public(x="AA"),
        FIRST.public(kty=["EC"]),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first"},
        {"kid": "first"},
    ],
)
async def test_keys_of_other_kinds_are_left_alone(issuer: Issuer, useless: dict[str, object]) -> None:
    """For encryption, for other algorithms, broken, or secret: no token is checked with them."""
    issuer.host.show(useless, SECOND.public())

    assert not await issuer.has(FIRST)
    assert await issuer.has(SECOND)


async def test_without_an_id_there_must_be_one_key_only(issuer: Issuer) -> None:
    """Of two, nobody guesses."""
    assert (await issuer.key_set.key(None, "ES256")).key_id == "first"
    issuer.host.show(FIRST.public(), SECOND.public())
    issuer.clock.now += FRESH_FOR_S + 1
    await issuer.has(FIRST)
    await issuer.settled()

    with pytest.raises(UnauthorizedError):
        await issuer.key_set.key(None, "ES256")
