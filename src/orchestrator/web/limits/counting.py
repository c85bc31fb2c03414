"""Who has how much left of which limit, and what the answer tells of it."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads it

from orchestrator.core.errors import RateLimitedError
from orchestrator.web.auth.caller import OPERATOR, Role, caller_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import Scope

    from orchestrator.core.rates import Buckets, Rate, Taken

SCOPE_KEY: Final = "orchestrator.counted"
PERIODS: Final = {1: "a second", 60: "a minute", 3_600: "an hour", 86_400: "a day"}


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate with the name by which clients see it, such as ``requests``."""

    name: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Counted:
    """A limit that a request was counted against, and what was left of it."""

    limit: Limit
    taken: Taken


def whose(scope: Scope) -> str:
    """In whose name a request is counted: the user's, else the caller's own, else that of the address.

    Empty for those who are not counted: this machine's user and the operator.
    """
    caller = caller_of(scope)
    if caller.role is Role.LOCAL or caller.name == OPERATOR.name:
        return ""
    if caller.user:
        return f"user:{caller.user}"
    if caller.role is not Role.NOBODY:
        return caller.name
    host, _ = scope.get("client") or ("", 0)
    return f"address:{network_of(host)}"


async def count(scope: Scope, buckets: Buckets, limit: Limit) -> None:
    """Count a request against ``limit``; `LimitRequests` tells the client how it stands.

    Raises:
        RateLimitedError: nothing is left of it; the error says for how long.
    """
    who = whose(scope)
    if not who:
        return
    taken = await buckets.take(f"{limit.name}:{who}", limit.rate)
    counted_in(scope).append(Counted(limit, taken))
    if not taken.allowed:
        wait_s = math.ceil(taken.next_s)
        raise RateLimitedError(
            f"This is over the limit {limit.name}: {in_words(limit.rate)}. Try again in {wait_s} s.",
            retry_after=wait_s,
        )


def within(buckets: Buckets, limit: Limit) -> Callable[[HTTPConnection], Awaitable[None]]:
    """A dependency that counts a route's requests against a limit of its own, per user."""

    async def counted(connection: HTTPConnection) -> None:
        await count(connection.scope, buckets, limit)

    return counted


def counted_in(scope: Scope) -> list[Counted]:
    """What this request was counted against so far."""
    found: list[Counted] = scope.setdefault(SCOPE_KEY, [])
    return found


def headers(counted: Sequence[Counted]) -> dict[str, str]:
    """``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-11).

    ``r`` is what may be sent at once, ``t`` the seconds until there is one more: after a refusal the same
    as Retry-After.
    """
    policies = [
        f'"{each.limit.name}";q={each.limit.rate.count};w={each.limit.rate.per_s}' for each in counted
    ]
    left = [f'"{each.limit.name}";r={each.taken.left};t={math.ceil(each.taken.next_s)}' for each in counted]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def network_of(host: str) -> str:
    """The address; of IPv6 its network, since whoever has one address there has 2**64."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host  # a socket that is none of the Internet
    return host if address.version == 4 else str(ipaddress.ip_network(f"{host}/64", strict=False))  # noqa: PLR2004


def in_words(rate: Rate) -> str:
    """Such as ``60 a minute, and 20 at once``."""
    times = f"{rate.count} {PERIODS.get(rate.per_s, f'in {rate.per_s} seconds')}"
    return times if rate.burst >= rate.count else f"{times}, and {rate.burst} at once"
