"""From credentials to a caller, where signed tokens are believed: each alone, and beside each other."""

from __future__ import annotations

import pytest

from orchestrator.core.errors import ForbiddenError, InvalidInputError, OrchestratorError, UnauthorizedError
from orchestrator.core.settings import AuthSettings
from orchestrator.web.auth.caller import NOBODY, OPERATOR, SERVICE, Caller, Role
from orchestrator.web.auth.configured import sign_in_of
from orchestrator.web.auth.credentials import Credentials
from orchestrator.web.auth.sign_in import SignIn
from support.tokens import SECRET, SetClock, claims, signed

SERVICE_KEY, EDGE_KEY, ANON_KEY = (
    "sb_secret_of-the-project",
    "edge-service-jwt",
    "sb_publishable_of-it",
)
OPERATOR_TOKEN = "the-token-of-the-data-directory"  # noqa: S105
ADA = signed(claims("ada"))
ROOT = signed(claims("root", app_metadata={"role": "admin"}))
SERVICE_TOKEN = signed(claims(sub=None, role="service_role"))
ANON_TOKEN = signed(claims(sub=None, role="anon"))
BOBS_KEY = Caller(Role.USER, "bob", "key:1", frozenset({"lessons"}))
ADMINS_KEY = Caller(Role.ADMIN, name="key:2")


class TwoKeys:
    """A ring with the key of a user and that of an admin."""

    async def find(self, key: str) -> Caller | None:
        """Whose key it is."""
        return {"bobs": BOBS_KEY, "admins": ADMINS_KEY}.get(key)


@pytest.fixture
def sign_in() -> SignIn:
    """Sign-in with everything configured."""
    auth = AuthSettings.model_validate(
        {
            "jwt_secret": SECRET,
            "supabase_service_role_key": SERVICE_KEY,
            "edge_service_jwt": EDGE_KEY,
            "supabase_anon_key": ANON_KEY,
        }
    )
    return sign_in_of(auth, SetClock(), operator_token=OPERATOR_TOKEN, keys=TwoKeys())


USER = Caller(Role.USER, "ada", "user:ada")


@pytest.mark.parametrize(
    ("given", "caller"),
    [
        (Credentials(), NOBODY),
        (Credentials(bearer=ADA), USER),
        (Credentials(bearer=ADA, apikey=ANON_KEY), USER),
        (Credentials(bearer=ADA, apikey="whatever"), USER),
        (Credentials(bearer=ADA, user="ada"), USER),
        (Credentials(bearer=ROOT), Caller(Role.ADMIN, "root", "user:root")),
        (Credentials(bearer=ANON_KEY, apikey=ANON_KEY), NOBODY),
        (Credentials(bearer="unknown-anon-key", apikey="unknown-anon-key"), NOBODY),
        (Credentials(bearer=ANON_KEY), NOBODY),
        (Credentials(bearer=ANON_TOKEN), NOBODY),
        (Credentials(apikey=ANON_KEY), NOBODY),
        (Credentials(user="ada"), NOBODY),
        (Credentials(bearer=ANON_KEY, user="ada"), NOBODY),
        (Credentials(bearer=SERVICE_KEY), SERVICE),
        (Credentials(bearer=EDGE_KEY), SERVICE),
        (Credentials(apikey=SERVICE_KEY), SERVICE),
        (Credentials(bearer=SERVICE_KEY, apikey=SERVICE_KEY), SERVICE),
        (Credentials(bearer=ADA, apikey=SERVICE_KEY), USER),
        (Credentials(bearer=ANON_KEY, apikey=SERVICE_KEY), NOBODY),
        (Credentials(bearer=SERVICE_TOKEN), SERVICE),
        (
            Credentials(bearer=SERVICE_TOKEN, user="ada"),
            Caller(Role.SERVICE, "ada", "service"),
        ),
        (Credentials(bearer=OPERATOR_TOKEN), Caller(Role.ADMIN, "local", "operator")),
        (Credentials(bearer=OPERATOR_TOKEN, user="ada"), Caller(Role.ADMIN, "ada", "operator")),
        (Credentials(api_key="bobs"), BOBS_KEY),
        (Credentials(api_key="bobs", user="bob"), BOBS_KEY),
        (Credentials(api_key="bobs", bearer=ANON_KEY, apikey=ANON_KEY), BOBS_KEY),
        (Credentials(api_key="admins", user="ada"), Caller(Role.ADMIN, "ada", "key:2")),
    ],
)
async def test_who_calls(sign_in: SignIn, given: Credentials, caller: Caller) -> None:
    """The user is the token's; only who has no user of its own may name one; nobody's word is nothing."""
    assert await sign_in.caller(given) == caller


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Credentials(bearer=ADA, user="bob"), ForbiddenError),
        (Credentials(bearer=ROOT, user="ada"), ForbiddenError),
        (Credentials(api_key="bobs", user="ada"), ForbiddenError),
        (Credentials(bearer=ADA, api_key="bobs"), InvalidInputError),
        (Credentials(bearer=SERVICE_KEY, api_key="bobs"), InvalidInputError),
        (Credentials(api_key="others"), UnauthorizedError),
        (Credentials(bearer="no-token", apikey=ANON_KEY), UnauthorizedError),
        (Credentials(bearer="no-token", apikey=SERVICE_KEY), UnauthorizedError),
        (Credentials(bearer=ADA, apikey=SERVICE_KEY, user="bob"), ForbiddenError),
        (Credentials(api_key="bobs", apikey=SERVICE_KEY), InvalidInputError),
        (Credentials(bearer=f"{SERVICE_KEY}x"), UnauthorizedError),
        (Credentials(bearer="\ud800"), UnauthorizedError),
        (Credentials(bearer=ADA.replace(".", "..")), UnauthorizedError),
    ],
)
async def test_who_does_not(sign_in: SignIn, given: Credentials, kind: type[OrchestratorError]) -> None:
    """What is wrong, and what contradicts itself, is refused rather than taken for nobody."""
    with pytest.raises(kind):
        await sign_in.caller(given)


async def test_the_operator_is_nobody_without_a_token(sign_in: SignIn) -> None:
    """An empty secret opens nothing."""
    empty = SignIn(sign_in.tokens, is_dev=False)

    assert await empty.caller(Credentials()) == NOBODY
    assert await sign_in.of_token(OPERATOR_TOKEN) == OPERATOR
    with pytest.raises(UnauthorizedError):
        await empty.of_token(OPERATOR_TOKEN)
