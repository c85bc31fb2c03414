"""Requests to addresses that users name: every one of them passes here, and none reaches our own network.

Who may name an address could else have the service ask what only the service can reach: other services of
its network, the cloud's metadata, this machine (server-side request forgery). So a name is resolved once,
every address that it has must be a public one, and the connection goes to an address that was looked at:
what the name resolves to a moment later (DNS rebinding) does not matter. Redirects are not followed, no
proxy of the environment is used, and what is answered is read up to a bound.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import httpx2

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.settings_sources import variable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    Resolve = Callable[[str, int], Awaitable[list[str]]]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_URL_CHARS: Final = 2_048
WHOLE_TIME_S: Final = 15.0
CONNECT_TIME_S: Final = 5.0
MOST_ANSWER_BYTES: Final = 16 * 1_024
MOST_ADDRESSES_TRIED: Final = 4
MOST_LOOKED_UP_AT_ONCE: Final = 16
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LONGEST_WAIT_DIGITS: Final = 6
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# What some versions of Python take for global (IANA's special-purpose registries), and what clouds answer at.
NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's own services, for its machines
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


ALLOW_PRIVATE: Final = "webhooks.allow_private"
# Threads of their own: a name server that says nothing would else hold those that all of the service shares.
_LOOKING_UP: Final = ThreadPoolExecutor(MOST_LOOKED_UP_AT_ONCE, "names of receivers")


class RefusedAddressError(OrchestratorError):
    """This address is not one that the service sends to."""

    status = 400
    default_code = "address_refused"


class NoAnswerError(Exception):
    """The request came to nothing; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: its status, and after how many seconds to come again where it said so."""

    status: int
    retry_after_s: float | None = None


class Outbound:
    """Sends to addresses that users name.

    Args:
        allow_private: whether the operator lets private addresses pass.
        resolve: gives the addresses of a name and a port; the system's own resolver where it is left out.
        tls: whose certificates are trusted; the usual authorities where it is left out.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolve = resolve or _resolved
        self._tls = tls

    def check_url(self, url: str) -> None:
        """See whether an address can be one to send to; its name is looked up when something is sent.

        Raises:
            RefusedAddressError: it is no http address, or one that names a private address outright.
        """
        parsed = _parsed(url)
        with suppress(ValueError):  # a name is no address
            self._check(ipaddress.ip_address(parsed.host))

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send, and wait for the answer.

        Raises:
            RefusedAddressError: the address is not one to send to. NoAnswerError: nobody answered, in time
                or at all.
        """
        try:
            async with asyncio.timeout(WHOLE_TIME_S):
                return await self._sent(_parsed(url), body, headers)
        except TimeoutError:
            raise NoAnswerError(f"no answer within {WHOLE_TIME_S:g} seconds") from None

    async def _sent(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        last: Exception = NoAnswerError("the name has no address")
        for address in await self._addresses(url):
            try:
                return await self._asked(url, address, body, headers)
            except httpx2.ConnectError as error:
                last = error
            except httpx2.HTTPError as error:
                raise NoAnswerError(_reason(error)) from error
        raise NoAnswerError(_reason(last)) from last

    async def _addresses(self, url: httpx2.URL) -> list[IpAddress]:
        """What the name resolves to, all of it looked at.

        Raises:
            RefusedAddressError, NoAnswerError: as ``post``.
        """
        try:
            found = await self._resolve(url.host, _port(url))
        except (OSError, UnicodeError):
            raise NoAnswerError("the name cannot be resolved") from None
        addresses = [ipaddress.ip_address(text) for text in dict.fromkeys(found)]
        for address in addresses:
            self._check(address)
        return addresses[:MOST_ADDRESSES_TRIED]

    def _check(self, address: IpAddress) -> None:
        if not self._allow_private and not is_public(address):
            raise RefusedAddressError(
                "The address is private, so nothing is sent there. Name one that can be reached from "
                f"everywhere. An operator can allow them by {ALLOW_PRIVATE} ({variable(ALLOW_PRIVATE)}=true)."
            )

    async def _asked(
        self, url: httpx2.URL, address: IpAddress, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """Ask at that very address, under the name that the URL has."""
        if self._tls is None and url.scheme == "https":
            self._tls = await asyncio.to_thread(httpx2.create_ssl_context, trust_env=False)
        host = f"[{url.host}]" if ":" in url.host else url.host
        named = {**headers, "Host": host if url.port is None else f"{host}:{url.port}"}
        extensions = {} if _is_address(url.host) else {"sni_hostname": url.host}
        # A connection for each request: kept open, one could be taken for another name at the same address.
        client = httpx2.AsyncClient(
            verify=self._tls or False,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(WHOLE_TIME_S, connect=CONNECT_TIME_S),
        )
        there = url.copy_with(host=str(address))
        asking = client.stream("POST", there, content=body, headers=named, extensions=extensions)
        async with client, asking as answer:
            read = 0
            async for part in answer.aiter_raw():
                read += len(part)
                if read > MOST_ANSWER_BYTES:
                    break
            return Answer(answer.status_code, _seconds(answer.headers.get("retry-after", "")))


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the Internet at large, and of nobody's own network or machine."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None:
            return False
    is_odd = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not is_odd and not any(address in network for network in NOT_PUBLIC)


def _inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that is reached by it."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _parsed(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise RefusedAddressError("This is no address. Give one like https://example.org/hooks.") from None
    if len(url) > LONGEST_URL_CHARS:
        raise RefusedAddressError(f"The address is longer than {LONGEST_URL_CHARS} characters.")
    if parsed.scheme not in DEFAULT_PORTS or not parsed.host:
        raise RefusedAddressError("The address begins with https:// or http://, and names a host.")
    if parsed.userinfo:
        raise RefusedAddressError("The address holds a user or a password. Leave them out.")
    return parsed


def _port(url: httpx2.URL) -> int:
    return url.port or DEFAULT_PORTS[url.scheme]


async def _resolved(host: str, port: int) -> list[str]:
    looking_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKING_UP, looking_up)
    return [str(place[0]) for *_, place in found]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _seconds(retry_after: str) -> float | None:
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= LONGEST_WAIT_DIGITS
    return float(retry_after) if is_number else None


def _reason(error: Exception) -> str:
    """What went wrong, without the address, which is in the log of its owner alone."""
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.ConnectError):
        return "no connection could be made"
    return str(error) if isinstance(error, NoAnswerError) else "the answer broke off"
