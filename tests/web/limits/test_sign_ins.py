"""How many sign-ins from one address may be refused, and who passes while there were too many."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import httpx2
import pytest
from fastapi import APIRouter

from orchestrator.core.settings import AuthSettings, LimitSettings, Settings
from orchestrator.web.application import House, create_app
from orchestrator.web.auth.access import Anyone
from orchestrator.web.auth.caller import Caller, Role
from orchestrator.web.auth.configured import sign_in_of
from orchestrator.web.feature import Feature
from orchestrator.web.limits import sign_ins
from orchestrator.web.limits.memory import MemoryBuckets
from support.tokens import NOW, OTHER_SECRET, SECRET, SetClock, claims, signed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

REFUSED: Final = 5  # a minute
GOOD: Final = {"Authorization": f"Bearer {signed(claims('ada'))}"}
FORGED: Final = {"Authorization": f"Bearer {signed(claims('ada'), OTHER_SECRET)}"}
EXPIRED: Final = {"Authorization": f"Bearer {signed(claims('ada', exp=NOW - 60))}"}
ANOTHERS: Final = {**GOOD, "X-User-ID": "bob"}


def with_key(key: str) -> dict[str, str]:
    """What a program sends that has an API key."""
    return {"X-API-Key": key}


class CountedKeys:
    """Keys of one user each, and how often one was looked up."""

    def __init__(self) -> None:
        self.keys = {"adas", "bobs"}
        self.looked_up = 0

    async def find(self, key: str) -> Caller | None:
        """Whose key it is."""
        self.looked_up += 1
        return Caller(Role.USER, key, f"key:{key}") if key in self.keys else None


class Lab:
    """A service that lets five sign-ins a minute be refused, and its callers."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.keys = CountedKeys()
        router = APIRouter()

        @router.get("/thing")
        async def thing(caller: Anyone) -> str:
            return caller.user

        self.app = create_app(
            House(
                Settings(limits=LimitSettings(refused_sign_ins_per_minute=REFUSED, burst=1_000)),
                self.clock,
                sign_in=sign_in_of(
                    AuthSettings.model_validate({"jwt_secret": SECRET}), self.clock, keys=self.keys
                ),
                buckets=MemoryBuckets(self.clock),
            ),
            [Feature("room", router)],
        )

    async def statuses(self, headers: dict[str, str], times: int, address: str = "192.0.2.1") -> list[int]:
        """What so many requests with these headers are answered."""
        return [(await self.get(headers, address)).status_code for _ in range(times)]

    async def get(self, headers: dict[str, str], address: str = "192.0.2.1") -> httpx2.Response:
        """Ask from an address."""
        async with self._client(address) as http:
            return await http.get("/thing", headers=headers)

    @asynccontextmanager
    async def _client(self, address: str) -> AsyncGenerator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(self.app, client=(address, 4_711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8080") as http:
            yield http


@pytest.fixture
def lab() -> Lab:
    """A fresh one."""
    return Lab()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [(FORGED, 401), (EXPIRED, 401), (with_key("unknown"), 401), (ANOTHERS, 403)],
    ids=["forged", "expired", "unknown key", "another's name"],
)
async def test_so_many_are_refused_as_they_are_and_then_for_their_number(
    lab: Lab, wrong: dict[str, str], status: int
) -> None:
    """429 says what is wrong with the credential, how many there may be, and when to try again."""
    assert await lab.statuses(wrong, REFUSED + 1) == [status] * REFUSED + [429]

    refused = await lab.get(wrong)
    told = refused.json()
    assert (refused.headers["retry-after"], told["code"]) == ("12", "rate_limited")
    assert (
        "More sign-ins from this address were refused than may be: 5 a minute. Try again in 12 s."
        in (told["error"])
    )
    lab.clock.now += 12
    assert await lab.statuses(wrong, 2) == [status, 429]


async def test_the_reason_is_said_as_before(lab: Lab) -> None:
    """Who is refused for the number learns nevertheless that the token has expired."""
    await lab.statuses(EXPIRED, REFUSED)
    assert "This token has expired." in (await lab.get(EXPIRED)).json()["error"]


async def test_an_unknown_key_is_not_even_looked_up(lab: Lab) -> None:
    """Guessing costs the tables nothing once there were too many guesses."""
    assert await lab.statuses(with_key("guess"), REFUSED + 10) == [401] * REFUSED + [429] * 10
    assert lab.keys.looked_up == REFUSED
    assert "This API key was not looked up." in (await lab.get(with_key("bobs"))).json()["error"]


async def test_a_good_token_passes_whatever_its_neighbours_send(lab: Lab) -> None:
    """Also one that nobody has seen before: a school or a proxy is one address to us."""
    await lab.statuses(FORGED, REFUSED + 1)
    assert await lab.statuses(GOOD, 3) == [200] * 3


async def test_a_key_that_opened_before_passes_too(lab: Lab) -> None:
    """And is looked up each time, so a revoked one is refused, and then no longer looked up."""
    assert await lab.statuses(with_key("adas"), 1) == [200]
    await lab.statuses(FORGED, REFUSED)
    assert await lab.statuses(with_key("adas"), 2) == [200, 200]

    lab.keys.keys.remove("adas")
    assert await lab.statuses(with_key("adas"), 2) == [429, 429]
    assert lab.keys.looked_up == 4


async def test_what_is_good_takes_nothing(lab: Lab) -> None:
    """However many tokens, keys and callers without either come, the next mistake is answered as one."""
    for good in (GOOD, with_key("adas"), {}):
        assert set(await lab.statuses(good, REFUSED + 1)) == {200}
    assert await lab.statuses(FORGED, 1) == [401]


async def test_each_address_has_its_own(lab: Lab) -> None:
    """Of IPv6 each network."""
    await lab.statuses(FORGED, REFUSED, "2001:db8::1")
    assert await lab.statuses(FORGED, 1, "2001:db8::2") == [429]
    assert await lab.statuses(FORGED, 1, "192.0.2.2") == [401]


async def test_known_keys_are_as_many_as_fit(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one is forgotten that was not used longest."""
    monkeypatch.setattr(sign_ins, "MOST_KNOWN", 1)
    for key in ("adas", "bobs"):
        await lab.statuses(with_key(key), 1)
    await lab.statuses(FORGED, REFUSED)
    assert await lab.statuses(with_key("bobs"), 1) + await lab.statuses(with_key("adas"), 1) == [200, 429]
