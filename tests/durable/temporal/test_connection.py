"""Connecting to Temporal: plain, by TLS, with a key; and what a person reads when it does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from temporalio.service import RPCError, RPCStatusCode

from orchestrator import Context, TemporalEngine, workflow
from orchestrator.core.errors import SettingsError, UnavailableError
from orchestrator.durable.temporal.connection import Connection, Tls
from support.certificates import Authority
from support.services import LOOPBACK
from support.tls_front import behind_tls, refusing_all_keys

if TYPE_CHECKING:
    from pathlib import Path

    from support.services import TemporalServer

pytestmark = pytest.mark.temporal


@workflow
async def echo(ctx: Context, text: str) -> str:
    """Give the input back."""
    return text


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the certificates of the test."""
    return Authority(tmp_path / "ca.pem")


async def test_runs_go_by_tls(temporal_server: TemporalServer, authority: Authority, tmp_path: Path) -> None:
    """With the authority that signed the server's certificate."""
    async with (
        behind_tls(temporal_server.address, authority.sign(LOOPBACK, tmp_path)) as address,
        TemporalEngine(address, workflows=[echo], tls=Tls(authority.ca_file), task_queue="tls") as engine,
    ):
        assert await (await engine.start(echo, "hi")).result() == "hi"


async def test_the_server_may_be_known_under_another_name(
    temporal_server: TemporalServer, authority: Authority, tmp_path: Path
) -> None:
    """A certificate for another name is refused, with the setting that helps, and taken once it is named."""
    async with behind_tls(temporal_server.address, authority.sign("temporal.example", tmp_path)) as address:
        with pytest.raises(SettingsError, match=r"is not for '127\.0\.0\.1'; give the name .*server_name"):
            await Connection(address, tls=Tls(authority.ca_file)).open()
        await Connection(address, tls=Tls(authority.ca_file, server_name="temporal.example")).open()


async def test_who_signed_it_must_be_known(
    temporal_server: TemporalServer, authority: Authority, tmp_path: Path
) -> None:
    """Neither the system's authorities nor a wrong one are taken for it."""
    other = Authority(tmp_path / "other.pem")
    async with behind_tls(temporal_server.address, authority.sign(LOOPBACK, tmp_path)) as address:
        for tls in (True, Tls(other.ca_file)):
            with pytest.raises(SettingsError, match=r"signed by nobody whom this machine knows.*ca_file"):
                await Connection(address, tls=tls).open()


async def test_a_certificate_that_has_expired_is_refused(
    temporal_server: TemporalServer, authority: Authority, tmp_path: Path
) -> None:
    """In these words."""
    async with behind_tls(temporal_server.address, authority.sign(LOOPBACK, tmp_path, days=-1)) as address:
        with pytest.raises(SettingsError, match="has expired"):
            await Connection(address, tls=Tls(authority.ca_file)).open()


async def test_a_client_shows_its_own_certificate(
    temporal_server: TemporalServer, authority: Authority, tmp_path: Path
) -> None:
    """Where the server asks for one; without it the error says what may be missing."""
    cert_file, key_file = authority.sign("client", tmp_path)
    certificate = authority.sign(LOOPBACK, tmp_path)
    async with behind_tls(temporal_server.address, certificate, clients=authority) as address:
        await Connection(address, tls=Tls(authority.ca_file, cert_file, key_file)).open()
        with pytest.raises((SettingsError, UnavailableError), match="client certificate"):
            await Connection(address, tls=Tls(authority.ca_file)).open()


def test_a_handshake_that_is_broken_off_late_is_told_alike() -> None:
    """By TLS 1.3 the client may have begun its first call by then, which is cancelled."""
    late = RPCError("operation was canceled", RPCStatusCode.CANCELLED, b"")
    with pytest.raises(
        UnavailableError, match="operation was canceled; perhaps it wants a client certificate"
    ):
        Connection("127.0.0.1:7233", tls=True)._explain(late)


async def test_tls_and_none_do_not_meet(
    temporal_server: TemporalServer, authority: Authority, tmp_path: Path
) -> None:
    """Each way round the error says what to change. A key implies TLS."""
    address = temporal_server.address
    for without in (Connection(address, tls=True), Connection(address, api_key="k")):
        with pytest.raises(SettingsError, match="does not speak TLS; leave tls and the API key out"):
            await without.open()
    async with behind_tls(temporal_server.address, authority.sign(LOOPBACK, tmp_path)) as address:
        with pytest.raises(UnavailableError, match="perhaps it wants TLS"):
            await Connection(address).open()


async def test_a_namespace_that_is_not_there_is_named(temporal_server: TemporalServer) -> None:
    """With the command that makes it; it may come yet, so it is no lasting error."""
    engine = TemporalEngine(temporal_server.address, namespace="nowhere")
    with pytest.raises(UnavailableError, match="has no namespace 'nowhere'; make it with `temporal operator"):
        await engine.__aenter__()


async def test_files_that_do_not_do_are_named(tmp_path: Path) -> None:
    """One that is missing, one that holds something else, and half of a pair."""
    (tmp_path / "der").write_bytes(b"\x30\x82")
    with pytest.raises(SettingsError, match="missing cannot be read"):
        await Connection(tls=Tls(tmp_path / "missing")).open()
    with pytest.raises(SettingsError, match="der is not in PEM"):
        await Connection(tls=Tls(tmp_path / "der")).open()
    with pytest.raises(SettingsError, match="given together, or neither"):
        Tls(cert_file=tmp_path / "der")


async def test_a_key_that_is_refused_is_not_shown(authority: Authority, tmp_path: Path) -> None:
    """The error names the server and the namespace, and never the key."""
    async with refusing_all_keys(authority.sign(LOOPBACK, tmp_path)) as address:
        connection = Connection(address, "mine", Tls(authority.ca_file), "sesame")
        with pytest.raises(SettingsError, match="refuses the API key for the namespace 'mine'") as refused:
            await connection.open()
        assert "sesame" not in str(refused.value) + repr(connection)
        with pytest.raises(SettingsError, match="needs an API key, and none is given"):
            await Connection(address, "mine", Tls(authority.ca_file)).open()
