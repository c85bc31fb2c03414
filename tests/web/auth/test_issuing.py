"""Tokens to develop with: those that a service with the same settings believes."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import InvalidInputError, SettingsError, UnauthorizedError
from orchestrator.core.settings import AuthSettings
from orchestrator.web.auth.caller import NOBODY, SERVICE, Caller, Role
from orchestrator.web.auth.configured import sign_in_of
from orchestrator.web.auth.issuing import issued
from orchestrator.web.auth.tokens import LEEWAY_S
from support.tokens import NOW, PROJECT, SECRET, SetClock

PLAIN = AuthSettings.model_validate({"jwt_secret": SECRET, "audience": "learners"})
OF_A_PROJECT = AuthSettings.model_validate({"jwt_secret": SECRET, "supabase_url": PROJECT})


@pytest.mark.parametrize("auth", [PLAIN, OF_A_PROJECT], ids=["plain", "supabase"])
@pytest.mark.parametrize(
    ("role", "user", "caller"),
    [
        ("user", "ada", Caller(Role.USER, "ada", "user:ada")),
        ("admin", "ada", Caller(Role.ADMIN, "ada", "user:ada")),
        ("service", "", SERVICE),
        ("anon", "", NOBODY),
    ],
)
async def test_a_token_is_believed_until_its_end(
    auth: AuthSettings, role: str, user: str, caller: Caller
) -> None:
    """With the audience and the issuer that are set."""
    clock = SetClock()
    token = issued(auth, role, user, now=NOW, lasts_s=60)
    sign_in = sign_in_of(auth, clock)

    assert await sign_in.of_token(token) == caller
    clock.now += 60 + LEEWAY_S
    with pytest.raises(UnauthorizedError, match="expired"):
        await sign_in.of_token(token)


@pytest.mark.parametrize(
    ("role", "user"),
    [("user", ""), ("admin", ""), ("user", "local"), ("user", "x" * 256), ("service", "ada")],
)
def test_what_would_not_be_believed_is_not_made(role: str, user: str) -> None:
    """People need an id, and services have none."""
    with pytest.raises(InvalidInputError, match="--user"):
        issued(PLAIN, role, user, now=NOW, lasts_s=60)


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (AuthSettings(), "In dev mode none is needed"),
        (AuthSettings(supabase_url=PROJECT), "those who hold the private ones make them"),
    ],
)
def test_without_a_secret_there_is_nothing_to_sign_with(auth: AuthSettings, said: str) -> None:
    """The sentence says what to do instead."""
    with pytest.raises(SettingsError, match=said):
        issued(auth, "user", "ada", now=NOW, lasts_s=60)
