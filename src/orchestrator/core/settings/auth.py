"""Whose tokens are believed, and by what our own services are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, SecretStr, model_validator

from orchestrator.core.settings.section import HttpUrl, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key of HS256 is as long as its hash, or longer
SUPABASE_ISSUER_PATH = "/auth/v1"
SUPABASE_JWKS_PATH = f"{SUPABASE_ISSUER_PATH}/.well-known/jwks.json"
WHAT_TO_SET = (
    "auth.jwt_secret (ORCHESTRATOR_AUTH_JWT_SECRET; `openssl rand -base64 48` makes one), "
    "auth.jwks_url (ORCHESTRATOR_AUTH_JWKS_URL) or SUPABASE_URL"
)


class AuthSettings(Section):
    """Sign-in: on once a secret or an address of keys says whose tokens are believed, else dev mode."""

    enabled: bool | None = Field(
        None, description="true or false: whether callers must sign in, where what is set does not say it"
    )
    jwt_secret: SecretStr | None = Field(
        None, description=f"the secret that signs the callers' tokens, {SHORTEST_SECRET_BYTES} bytes or more"
    )
    jwks_url: HttpUrl | None = Field(
        None, description="an address of public keys like https://example.org/.well-known/jwks.json"
    )
    issuer: str | None = Field(None, min_length=1, description="the `iss` that tokens must have")
    audience: str = Field("authenticated", min_length=1, description="the `aud` that tokens must have")
    supabase_url: HttpUrl | None = Field(
        None, description="a Supabase project's address like https://your-project.supabase.co"
    )
    supabase_service_role_key: SecretStr | None = Field(
        None, description="a secret that our own other services send"
    )
    supabase_anon_key: SecretStr | None = Field(
        None, description="the key that an application sends while nobody is signed in"
    )
    edge_service_jwt: SecretStr | None = Field(
        None, description="a secret that our own services send to each other, agents included"
    )
    api_key_header: str = Field(
        "X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="the name of a request header"
    )

    @model_validator(mode="after")
    def _sound_secrets(self) -> AuthSettings:
        secret = self.jwt_secret.get_secret_value() if self.jwt_secret else None
        if secret is not None and "-----BEGIN" in secret:
            raise ValueError(
                "auth.jwt_secret is a key in PEM. HS256 takes a secret that nobody else knows; the keys that "
                "check ES256 and RS256 tokens come from auth.jwks_url"
            )
        if secret is not None and len(secret.encode()) < SHORTEST_SECRET_BYTES:
            raise ValueError(
                f"auth.jwt_secret is shorter than {SHORTEST_SECRET_BYTES} bytes, so tokens could be forged "
                "by guessing it. `openssl rand -base64 48` makes one"
            )
        if self.supabase_anon_key and self.supabase_anon_key.get_secret_value() in self.service_keys:
            raise ValueError(
                "auth.supabase_anon_key, which everybody may know, is the same as a service's secret. "
                "Set SUPABASE_ANON_KEY to the project's anon (publishable) key"
            )
        return self

    @model_validator(mode="after")
    def _as_promised(self) -> AuthSettings:
        if self.enabled and not self.is_on:
            raise ValueError(
                "auth.enabled is true, and nothing says whose tokens are valid, so the service does not "
                f"start. Set {WHAT_TO_SET}"
            )
        if self.enabled is False and self.is_on:
            named = [name for name in ("jwt_secret", "jwks_url", "supabase_url") if getattr(self, name)]
            raise ValueError(
                f"auth.enabled is false, and {' and '.join(f'auth.{name}' for name in named)} turns sign-in "
                "on. Remove one of them"
            )
        return self

    @property
    def is_on(self) -> bool:
        """Whether callers must sign in; dev mode otherwise."""
        return self.jwt_secret is not None or self.jwks_address is not None

    @property
    def jwks_address(self) -> str | None:
        """Where the public keys are."""
        if self.jwks_url is None and self.supabase_url is not None:
            return self.supabase_url.rstrip("/") + SUPABASE_JWKS_PATH
        return self.jwks_url

    @property
    def token_issuer(self) -> str | None:
        """The `iss` that tokens must have; None: any."""
        if self.issuer is None and self.supabase_url is not None:
            return self.supabase_url.rstrip("/") + SUPABASE_ISSUER_PATH
        return self.issuer

    @property
    def service_keys(self) -> tuple[str, ...]:
        """What our own other services are known by, beside tokens with their role."""
        return tuple(self._service_keys())

    @property
    def told(self) -> str:
        """How callers sign in, for people."""
        ways = []
        if self.jwt_secret is not None:
            ways.append("signed with auth.jwt_secret")
        if self.jwks_address is not None:
            ways.append(f"signed by the keys at {self.jwks_address}")
        return f"by tokens {' or '.join(ways)}" if ways else "dev mode: everybody here is who they say"

    def _service_keys(self) -> Iterator[str]:
        for key in (self.supabase_service_role_key, self.edge_service_jwt):
            if key is not None:
                yield key.get_secret_value()
