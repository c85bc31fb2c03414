"""PostgreSQL addresses as people write them: ``postgres://user:password@host:5432/name?sslmode=disable``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT: Final = 5432
# As libpq has it: TLS where the server offers it, without a look at its certificate.
DEFAULT_SSLMODE: Final = "prefer"
SCHEMES: Final = ("postgres", "postgresql", "postgresql+asyncpg")
SSLMODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PARAMETERS: Final = ("sslmode", "sslrootcert")
UNREADABLE: Final = (
    "it names no host and port that can be read (in a password, / ? # @ and : are written as "
    "%2F %3F %23 %40 and %3A)"
)


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a database is, and as whom it is entered. Printing it shows no password."""

    host: str
    port: int
    database: str
    user: str | None
    password: str | None = field(repr=False)
    sslmode: str
    sslrootcert: str | None

    @classmethod
    def parse(cls, url: str) -> PostgresAddress:
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
            schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            raise ValueError(
                f"it begins with none of {schemes} (leave it out for tables in a SQLite file in the "
                "data directory)"
            )
        if parts.fragment or "@" in parts.path + parts.query:  # the rest of a password, to be shown nowhere
            raise ValueError(UNREADABLE)
        if not host or "," in host:
            raise ValueError("it must name one host")
        database = unquote(parts.path.removeprefix("/"))
        if not database:
            raise ValueError("it names no database after the host")
        given = _parameters(parts.query)
        return cls(
            host,
            port,
            database,
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sslmode=given.get("sslmode", DEFAULT_SSLMODE),
            sslrootcert=given.get("sslrootcert"),
        )

    def __str__(self) -> str:
        """The address as it may be shown to people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgres://{host}:{self.port}/{self.database}"


def _parameters(query: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = [name for name in given if name not in PARAMETERS]
    if unknown:
        raise ValueError(f"of parameters it takes {' and '.join(PARAMETERS)}, not {', '.join(unknown)}")
    if given.get("sslmode", DEFAULT_SSLMODE) not in SSLMODES:
        raise ValueError(f"sslmode takes {', '.join(SSLMODES[:-1])} or {SSLMODES[-1]}")
    return given
