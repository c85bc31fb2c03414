"""Who may sign in, and by what they are known."""

from __future__ import annotations

from pydantic import Field, SecretStr

from orchestrator.core.settings.section import Section


class AuthSettings(Section):
    """Sign-in. It is not there yet: setting it refuses the start rather than serve without it."""

    enabled: bool = Field(default=False, description="true or false: whether callers must sign in")
    jwt_secret: SecretStr | None = Field(None, description="the secret that signs the callers' tokens")
    api_key_header: str = Field(
        "X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="the name of a request header"
    )
