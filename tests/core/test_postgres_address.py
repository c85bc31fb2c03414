"""PostgreSQL addresses, as document 004 and others write them."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import SettingsError
from orchestrator.core.postgres_address import SSLMODES, PostgresAddress
from orchestrator.core.settings import load_settings

PLAIN = PostgresAddress("host", 5432, "name", "user", "pw", "prefer", None)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_common_scheme_names_the_same_place(scheme: str) -> None:
    """Port 5432 and sslmode prefer are what everybody takes where nothing is said."""
    assert PostgresAddress.parse(f"{scheme}://user:pw@host/name") == PLAIN
    assert PostgresAddress.parse(f"{scheme}://user:pw@host:5432/name?sslmode=prefer") == PLAIN


def test_special_characters_are_written_in_percent() -> None:
    """In user, password and database; the host may be an IPv6 address."""
    address = PostgresAddress.parse("postgres://an%40n:p%2Fw%3A%23@[::1]:6/na%20me")
    assert address == PostgresAddress("::1", 6, "na me", "an@n", "p/w:#", "prefer", None)
    assert str(address) == "postgres://[::1]:6/na me"


@pytest.mark.parametrize("sslmode", SSLMODES)
def test_every_sslmode_is_taken(sslmode: str) -> None:
    """With the certificate to trust, where one is named."""
    address = PostgresAddress.parse(f"postgres://h/n?sslmode={sslmode}&sslrootcert=/etc/ca.pem")
    assert (address.sslmode, address.sslrootcert) == (sslmode, "/etc/ca.pem")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:hunter2@host/name", "begins with none of postgres://, postgresql://"),
        ("sqlite:///tables.db", "leave it out for tables in a SQLite file"),
        ("postgres://u:hunter2@host", "names no database"),
        ("postgres://u:hunter2@/name", "must name one host"),
        ("postgres://u:hunter2@one,two/name", "must name one host"),
        ("postgres://u:hunter2@host:x/name", "no host and port that can be read"),
        ("postgres://u:hunt/er2@host/name", "a password, / ? # @ and : are written as %2F"),
        ("postgres://u:2/hunter2@host/name", "a password, / ? # @ and : are written as %2F"),
        ("postgres://u:2?hunter2@host/name", "a password, / ? # @ and : are written as %2F"),
        ("postgres://u:2/x#hunter2@host/name", "a password, / ? # @ and : are written as %2F"),
        ("postgres://u:hunter2@host/name?sslmode=always", "sslmode takes disable, allow, prefer, require,"),
        ("postgres://u:hunter2@host/name?pool=3", "takes sslmode and sslrootcert, not pool"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named, with what it takes and what is wrong."""
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", url)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    said = refused.value.message
    assert said.startswith("database.url takes an address like postgres://user:password@host:5432/name: ")
    assert reason in said
    assert "hunt" not in said


def test_its_password_is_not_shown() -> None:
    """Neither in messages nor where somebody prints the parts."""
    address = PostgresAddress.parse("postgres://user:hunter2@host/name")
    assert "hunter2" not in f"{address} {address!r}"
