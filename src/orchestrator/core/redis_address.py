"""Redis addresses as people write them: ``redis://user:password@host:6379/0``, or ``rediss://`` for TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT: Final = 6379
SCHEMES: Final = ("redis", "rediss")
# Named as the Redis library names them; both are about TLS.
PARAMETERS: Final = ("ssl_ca_certs", "ssl_cert_reqs")
CERTIFICATE_RULES: Final = ("required", "none")
UNREADABLE: Final = (
    "it names no host and port that can be read (in a password, / ? # @ and : are written as "
    "%2F %3F %23 %40 and %3A)"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is, and as whom it is entered. Printing it shows no password.

    ``ssl_ca_certs`` is a file with the certificates to trust; None trusts those that the machine trusts.
    """

    host: str
    port: int
    db: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    ssl_ca_certs: str | None
    ssl_cert_reqs: str

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """The parts of ``url``.

        Raises:
            ValueError: it is no such address. The message says what is taken, and repeats nothing of the url
                that could be a secret.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or DEFAULT_PORT
        except ValueError:
            raise ValueError(UNREADABLE) from None
        if parts.scheme not in SCHEMES:
            raise ValueError("it begins with neither redis:// nor rediss://")
        if not host or parts.fragment or "@" in parts.path + parts.query:
            raise ValueError(UNREADABLE)
        db = parts.path.removeprefix("/") or "0"
        if not (db.isascii() and db.isdigit()):
            raise ValueError("after the host it takes the number of a database, such as /0")
        given = _parameters(parts.query, tls=parts.scheme == "rediss")
        return cls(
            host,
            port,
            int(db),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "rediss",
            ssl_ca_certs=given.get("ssl_ca_certs"),
            ssl_cert_reqs=given.get("ssl_cert_reqs", CERTIFICATE_RULES[0]),
        )

    def __str__(self) -> str:
        """The place as it may be shown to people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _parameters(query: str, *, tls: bool) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in given if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"of parameters it takes {' and '.join(PARAMETERS)}, not {', '.join(unknown)}")
    if given and not tls:
        raise ValueError(f"{' and '.join(given)} is for TLS, by rediss://")
    if given.get("ssl_cert_reqs", CERTIFICATE_RULES[0]) not in CERTIFICATE_RULES:
        raise ValueError(f"ssl_cert_reqs takes {' or '.join(CERTIFICATE_RULES)}")
    return given
