"""Which service the command line talks to, where it is not the one on the data directory."""

from __future__ import annotations

from pydantic import Field, SecretStr

from orchestrator.core.settings.section import HttpUrl, Section


class ClientSettings(Section):
    """A service elsewhere, and what lets the command line in there."""

    url: HttpUrl | None = Field(None, description="an address like https://orchestrator.example.org")
    token: SecretStr | None = Field(None, description="a token of a user of that service")
