"""Redis addresses, as operators write them."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import SettingsError
from orchestrator.core.redis_address import RedisAddress
from orchestrator.core.settings import load_settings


def test_what_is_not_said_is_what_everybody_takes() -> None:
    """Port 6379 and database 0, without TLS."""
    plain = RedisAddress("host", 6379, 0, None, None, tls=False, ssl_ca_certs=None, ssl_cert_reqs="required")
    assert RedisAddress.parse("redis://host") == plain
    assert RedisAddress.parse("redis://host:6379/0") == plain
    assert RedisAddress.parse("redis://:@host/") == plain


def test_special_characters_are_written_in_percent() -> None:
    """In user and password; the host may be an IPv6 address."""
    address = RedisAddress.parse(
        "rediss://an%40n:p%2Fw%3A%23@[::1]:6/3?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none"
    )
    assert address == RedisAddress(
        "::1", 6, 3, "an@n", "p/w:#", tls=True, ssl_ca_certs="/ca.pem", ssl_cert_reqs="none"
    )
    assert str(address) == "[::1]:6"
    assert "p/w" not in repr(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://u:hunter2@host", "begins with neither redis:// nor rediss://"),
        ("unix:///run/redis.sock", "begins with neither redis:// nor rediss://"),
        ("redis://u:hunter2@", "no host and port that can be read"),
        ("redis://u:hunter2@host:x", "no host and port that can be read"),
        ("redis://u:hunt/er2@host", "a password, / ? # @ and : are written as %2F"),
        ("redis://u:2/hunter2@host/0", "a password, / ? # @ and : are written as %2F"),
        ("redis://u:2#hunter2@host/0", "a password, / ? # @ and : are written as %2F"),
        ("redis://u:2?hunter2@host/0", "a password, / ? # @ and : are written as %2F"),
        ("redis://u:hunt\u2100er2@host/0", "no host and port that can be read"),
        ("redis://u:hunter2@host/lessons", "the number of a database"),
        ("redis://u:hunter2@host?protocol=3", "takes ssl_ca_certs and ssl_cert_reqs, not protocol"),
        ("redis://u:hunter2@host?ssl_cert_reqs=none", "ssl_cert_reqs is for TLS, by rediss://"),
        ("rediss://u:hunter2@host?ssl_cert_reqs=maybe", "ssl_cert_reqs takes required or none"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named, with what it takes and what is wrong."""
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", url)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    said = refused.value.message
    assert said.startswith("redis.url takes an address like redis://host:6379/0: ")
    assert reason in said
    assert "hunt" not in said
