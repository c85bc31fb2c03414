"""What each ``sslmode`` of an address asks of the server's certificate."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from orchestrator.core.errors import SettingsError, UnavailableError
from orchestrator.core.postgres_address import PostgresAddress
from orchestrator.db import Database
from orchestrator.db.postgres import PostgresStore
from support.certificates import Authority
from support.postgres_server import own_postgres_server, unprivileged_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres_server import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the server may enter, with two authorities' certificates."""
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-tls-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PostgresServer]:
    """A server whose certificate is for ``localhost``, signed by the authority of ``ca.pem``."""
    cert_file, key_file = Authority(folder / "ca.pem").sign("localhost", folder)
    Authority(folder / "other.pem")
    key_file.chmod(0o600)
    if user := unprivileged_user():
        for path in (folder, cert_file, key_file):
            shutil.chown(path, user)
    tls = ("-c", "ssl=on", "-c", f"ssl_cert_file={cert_file}", "-c", f"ssl_key_file={key_file}")
    with own_postgres_server(folder / "log", tls) as server:
        yield server


def database_at(server: PostgresServer, folder: Path, host: str, tls: str) -> Database:
    """The server's database, reached by that name and with these parameters."""
    url = server.databases.url().replace("127.0.0.1", host).replace("sslmode=disable", tls)
    return Database(PostgresStore(PostgresAddress.parse(url.replace("FOLDER", str(folder)))))


@pytest.mark.parametrize(
    ("host", "tls", "sent"),
    [
        ("127.0.0.1", "sslmode=disable", "plain"),
        ("127.0.0.1", "sslmode=allow", "plain"),
        ("127.0.0.1", "sslmode=prefer", "encrypted"),
        ("127.0.0.1", "sslmode=require", "encrypted"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=FOLDER/ca.pem", "encrypted"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/ca.pem", "encrypted"),
    ],
)
async def test_a_server_that_proves_enough_is_used(
    server: PostgresServer, folder: Path, host: str, tls: str, sent: str
) -> None:
    """In plain text where that is asked for, or allowed to be tried first."""
    query = text(
        "SELECT CASE WHEN ssl THEN 'encrypted' ELSE 'plain' END FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    )
    async with database_at(server, folder, host, tls) as database:
        assert await database.store.apart(lambda connection: connection.scalar(query)) == sent


@pytest.mark.parametrize(
    ("host", "tls"),
    [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=FOLDER/ca.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert=FOLDER/other.pem"),
        ("localhost", "sslmode=verify-ca&sslrootcert=FOLDER/other.pem"),
        ("localhost", "sslmode=require&sslrootcert=FOLDER/other.pem"),
    ],
)
async def test_a_server_that_proves_too_little_gets_no_password(
    server: PostgresServer, folder: Path, host: str, tls: str
) -> None:
    """Another name, or an authority that is not trusted: the sentence names the parameters to look at."""
    database = database_at(server, folder, host, tls)
    with pytest.raises(SettingsError, match=r"certificate verify failed.*Check sslmode and sslrootcert"):
        await database.migrate(lambda: None)
    with pytest.raises(UnavailableError, match=r"certificate verify failed.*Check sslmode and sslrootcert"):
        await database.check()
    await database.close()
