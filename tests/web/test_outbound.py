"""What a user can have the service send to: nothing of its own network, by whatever trick."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.web import outbound as outbound_module
from orchestrator.web.outbound import NoAnswerError, Outbound, RefusedAddressError, is_public
from support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.web.outbound import IpAddress, Resolve

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - refused here
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",  # the metadata of most clouds
    "168.63.129.16",  # and of Azure
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001::1",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_of_a_private_network_is_public(address: str) -> None:
    """Loopback, link-local, metadata, shared, documentation, multicast, and IPv4 inside IPv6."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Also those that a network without IPv4 reaches through NAT64."""
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_ipv6_is_what_it_is_outside(address: ipaddress.IPv4Address) -> None:
    """However it is wrapped."""
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    translated = ipaddress.IPv6Address(int(ipaddress.ip_address("64:ff9b::")) + int(address))
    assert is_public(mapped) == is_public(translated) == is_public(address)


def resolving(*answers: list[str]) -> Resolve:
    """A name server that gives these addresses, one answer after the other."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_a_private_address_is_refused(address: str) -> None:
    """Before any connection is made; also where only one of its addresses is private."""
    for found in ([address], ["8.8.8.8", address]):
        with pytest.raises(RefusedAddressError, match="private"):
            await Outbound(resolve=resolving(found)).post("https://example.org/", b"", {})


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
async def test_no_spelling_of_this_machine_gets_through(host: str) -> None:
    """What the system's own resolver makes of it is looked at."""
    with pytest.raises((RefusedAddressError, NoAnswerError)):
        await Outbound().post(f"http://{host}:8080/", b"", {})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "//example.org/",
        "https://",
        "example.org",
        "https://user:secret@example.org/",
        "http://[::1/",
        "http://127.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        f"https://example.org/{'x' * 2_100}",
    ],
)
def test_what_is_no_address_to_send_to_is_refused_when_it_is_named(url: str) -> None:
    """So its owner learns of it at once."""
    with pytest.raises(RefusedAddressError):
        Outbound().check_url(url)


class Listener:
    """A server on this machine that answers with what it is told to."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
        """Listen while inside."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        writer.close()


OK = b"HTTP/1.1 204 No Content\r\n\r\n"


async def test_a_name_that_changes_its_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was looked at, whatever the name says a moment later."""
    looked_at = []

    def look(address: IpAddress) -> bool:
        looked_at.append(str(address))
        return True  # as a public one is

    monkeypatch.setattr(outbound_module, "is_public", look)
    async with Listener(OK).listening() as server:
        resolve = resolving(["127.0.0.1"], ["203.0.113.9"])
        answer = await Outbound(resolve=resolve).post(
            f"http://rebinding.example:{server.port}/hook", b"{}", {}
        )
    assert answer.status == 204
    assert looked_at == ["127.0.0.1"]
    assert f"Host: rebinding.example:{server.port}".encode().lower() in server.asked[0].lower()


async def test_names_that_resolve_slowly_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names hosts whose name server never answers does not take the threads that all share."""
    go_on = threading.Event()

    def silent(*_: object, **__: object) -> None:
        go_on.wait(60)
        raise OSError("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    asking = [asyncio.create_task(Outbound().post("https://slow.example/", b"", {})) for _ in range(64)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        go_on.set()
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NoAnswerError}


async def test_the_certificate_is_that_of_the_name(tmp_path: Path) -> None:
    """Although the connection is made by the address; another name's certificate is not taken."""
    authority = Authority(tmp_path / "authority.pem")
    certificate, key = authority.sign("hooks.example", tmp_path)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    outbound = Outbound(allow_private=True, resolve=resolving(["127.0.0.1"]), tls=trusting)
    async with Listener(OK).listening(theirs) as server:
        answer = await outbound.post(f"https://hooks.example:{server.port}/", b"{}", {})
        with pytest.raises(NoAnswerError, match="no connection"):
            await outbound.post(f"https://other.example:{server.port}/", b"{}", {})
    assert answer.status == 204


async def test_private_addresses_pass_where_the_operator_says_so() -> None:
    """For hooks on the same machine, as while developing."""
    async with Listener(OK).listening() as server:
        outbound = Outbound(allow_private=True)
        outbound.check_url(f"http://127.0.0.1:{server.port}/")
        answer = await outbound.post(f"http://localhost:{server.port}/", b"{}", {"webhook-id": "1"})
    assert answer.status == 204
    assert b"webhook-id: 1" in server.asked[0]


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    """It could lead anywhere."""
    async with Listener(OK).listening() as inner:
        away = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        async with Listener(away.encode()).listening() as outer:
            answer = await Outbound(allow_private=True).post(f"http://127.0.0.1:{outer.port}/", b"", {})
    assert (answer.status, inner.asked) == (302, [])


async def test_proxies_of_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name again, and reach what it likes."""
    async with Listener(OK).listening() as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        answer = await Outbound(allow_private=True).post(f"http://127.0.0.1:{server.port}/", b"", {})
    assert answer.status == 204


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    """The status is what counts."""
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 200_000
    async with Listener(endless).listening() as server:
        answer = await Outbound(allow_private=True).post(f"http://127.0.0.1:{server.port}/", b"", {})
    assert answer.status == 200


async def test_who_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, and one that says a little at a time."""
    monkeypatch.setattr(outbound_module, "WHOLE_TIME_S", 0.2)
    async with Listener(b"HTTP/1.1 200 OK\r\nContent-").listening() as server:
        with pytest.raises(NoAnswerError):
            await Outbound(allow_private=True).post(f"http://127.0.0.1:{server.port}/", b"", {})


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_an_answer_that_is_none_is_told_so(answer: bytes) -> None:
    """In words that hold no address."""
    async with Listener(answer).listening() as server:
        with pytest.raises(NoAnswerError) as failure:
            await Outbound(allow_private=True).post(f"http://127.0.0.1:{server.port}/", b"", {})
    assert "127.0.0.1" not in str(failure.value)


async def test_the_next_address_is_tried_where_nobody_listens_at_the_first() -> None:
    """As where a name has an IPv6 address that is out of reach."""
    async with Listener(OK).listening() as server:
        outbound = Outbound(allow_private=True, resolve=resolving(["127.0.0.9", "127.0.0.1"]))
        answer = await outbound.post(f"http://example.org:{server.port}/", b"", {})
    assert answer.status == 204


async def test_what_cannot_be_resolved_or_reached_is_no_answer() -> None:
    """Each with its reason."""

    async def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(NoAnswerError, match="cannot be resolved"):
        await Outbound(resolve=unknown).post("https://example.org/", b"", {})
    with pytest.raises(NoAnswerError, match="no connection"):
        await Outbound(allow_private=True).post("http://127.0.0.1:1/", b"", {})
