"""Tokens in addresses: for one user, one address and what is below it, some minutes, and nothing else."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import UnauthorizedError
from orchestrator.web.auth.links import LINKS_LAST_S, Links
from orchestrator.web.auth.tokens import LEEWAY_S, LONGEST_TOKEN_CHARS, Expected, VerifiedTokens
from support.tokens import NOW, SECRET, SetClock, claims, signed

LESSON = "/api/sessions/one"


@pytest.fixture
def clock() -> SetClock:
    """The time, as the test sets it."""
    return SetClock()


@pytest.fixture
def links(clock: SetClock) -> Links:
    """Those of a service with a secret."""
    return Links(SECRET, clock)


def test_a_token_opens_its_address_and_what_is_below(links: Links) -> None:
    """As its user, and until the moment that is told."""
    token, end = links.token("zoë", LESSON)

    assert end == NOW + LINKS_LAST_S
    for path in (LESSON, f"{LESSON}/run", f"{LESSON}/images/image1.jpg"):
        assert links.user(token, path) == "zoë"


@pytest.mark.parametrize(
    "path", ["/", "/api/sessions", "/api/sessions/two/run", "/api/sessions/one-more/run"]
)
def test_it_opens_nothing_else(links: Links, path: str) -> None:
    """Nor an address that only begins alike."""
    with pytest.raises(UnauthorizedError, match="another address"):
        links.user(links.token("ada", LESSON)[0], path)


def test_it_is_good_for_minutes(links: Links, clock: SetClock) -> None:
    """Addresses are kept by histories and proxies, so it ends soon."""
    token, end = links.token("ada", LESSON)
    clock.now = end + LEEWAY_S - 1
    assert links.user(token, LESSON) == "ada"
    clock.now = end + LEEWAY_S

    with pytest.raises(UnauthorizedError, match="expired"):
        links.user(token, LESSON)


def test_processes_that_share_a_secret_share_their_tokens(links: Links, clock: SetClock) -> None:
    """Those that share none do not, and one without a secret makes one of its own."""
    token, _ = links.token("ada", LESSON)

    assert Links(SECRET, clock).user(token, LESSON) == "ada"
    for other in (Links(f"{SECRET}!", clock), Links(clock=clock)):
        with pytest.raises(UnauthorizedError, match="signature"):
            other.user(token, LESSON)


async def test_neither_kind_of_token_is_good_as_the_other(links: Links, clock: SetClock) -> None:
    """The link's key is made of the secret, and is not the secret."""
    told = {**claims(), "below": LESSON}
    with pytest.raises(UnauthorizedError, match="signature"):
        links.user(signed(told), LESSON)
    with pytest.raises(UnauthorizedError, match="signature"):
        await VerifiedTokens(Expected("x"), clock, secret=SECRET).caller(links.token("ada", LESSON)[0])


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "x" * (LONGEST_TOKEN_CHARS + 1)])
def test_what_is_no_token_is_refused(links: Links, token: str) -> None:
    """Whatever stands in the query."""
    with pytest.raises(UnauthorizedError):
        links.user(token, LESSON)
