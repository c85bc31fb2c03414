"""Signed tokens: whose are believed, and every way in which one may be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.warnings import InsecureKeyLengthWarning

from orchestrator.core.errors import UnauthorizedError
from orchestrator.web.auth.caller import NOBODY, SERVICE, Caller, Role
from orchestrator.web.auth.key_set import STALE_FOR_S, KeySet
from orchestrator.web.auth.tokens import LEEWAY_S, LONGEST_TOKEN_CHARS, Expected, VerifiedTokens
from support.tokens import (
    ISSUER,
    NOW,
    OTHER_SECRET,
    SECRET,
    KeyHost,
    SetClock,
    SigningKey,
    claims,
    signed,
    unsigned,
)

ELLIPTIC, RSA = SigningKey("e1"), SigningKey("r1", "RS256")
ADA = Caller(Role.USER, "ada", "user:ada")
HALF_LETTERS = st.characters(categories=["Cs", "L"])
NAMES = ["sub", "aud", "exp", "nbf", "iss", "role", "app_metadata"]
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
SUPABASE = Expected("authenticated", ISSUER, is_supabase=True)


def tokens(secret: str | None = SECRET, expected: Expected = SUPABASE) -> VerifiedTokens:
    """Tokens by a secret and by the two public keys."""
    clock = SetClock()
    host = KeyHost(ELLIPTIC.public(), RSA.public())
    key_set = KeySet("https://keys.example/jwks.json", clock, transport=host)
    return VerifiedTokens(expected, clock, secret=secret, key_set=key_set)


async def refusal(token: str, expected: Expected = SUPABASE, secret: str | None = SECRET) -> str:
    """Why the token is not believed."""
    with pytest.raises(UnauthorizedError) as refused:
        await tokens(secret, expected).caller(token)
    return refused.value.message


@pytest.mark.parametrize(
    "token",
    [
        signed(claims()),
        ELLIPTIC.sign(claims()),
        RSA.sign(claims()),
        ELLIPTIC.sign(claims(), kid=None),
        signed(claims(aud=["other", "authenticated"])),
        signed(claims(role=None)),
        signed(claims(nbf=NOW + LEEWAY_S, exp=NOW - LEEWAY_S + 1)),
        signed(claims(user_metadata={"role": "admin"})),
        signed(claims(app_metadata={"role": "Admin"})),
        signed(claims(app_metadata="admin")),
    ],
)
async def test_a_users_token_is_believed(token: str) -> None:
    """By a secret and by public keys; what users write of themselves makes nobody an admin."""
    assert await tokens().caller(token) == ADA


@pytest.mark.parametrize(
    ("told", "caller"),
    [
        (claims(app_metadata={"role": "admin"}), Caller(Role.ADMIN, "ada", "user:ada")),
        (claims(role="service_role"), SERVICE),
        (claims(sub=None, role="service_role", aud=None), SERVICE),
        ({"iss": "supabase", "role": "service_role", "exp": NOW + 9}, SERVICE),
        ({"iss": "supabase", "role": "anon", "exp": NOW + 9}, NOBODY),
        (claims(role="service_role", app_metadata={"role": "admin"}), SERVICE),
        (claims("0" * 255), Caller(Role.USER, "0" * 255, f"user:{'0' * 255}")),
    ],
)
async def test_roles_are_the_issuers_to_give(told: dict[str, object], caller: Caller) -> None:
    """The project's own keys are tokens too; an admin is one by what only the issuer writes."""
    assert await tokens().caller(signed(told)) == caller


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (claims(exp=NOW - LEEWAY_S), "has expired"),
        (claims(exp=None), "no end"),
        (claims(exp="tomorrow"), "`exp` is no moment"),
        (claims(exp=True), "`exp` is no moment"),
        (claims(exp=float("inf")), "`exp` is no moment"),
        (claims(nbf=NOW + LEEWAY_S + 1), "not valid yet"),
        (claims(nbf=[]), "`nbf` is no moment"),
        (claims(aud="anon"), "another audience"),
        (claims(aud=None), "another audience"),
        (claims(aud=[]), "another audience"),
        (claims(aud={"authenticated": 1}), "another audience"),
        (claims(aud="anon", role="service_role"), "another audience"),
        (claims(iss="https://evil.example/auth/v1"), "another issuer"),
        (claims(iss="supabase"), "another issuer"),
        (claims(iss=None), "another issuer"),
        (claims(iss=["supabase"], role="service_role"), "another issuer"),
        (claims(sub=None), "`sub`"),
        (claims(""), "`sub`"),
        (claims("x" * 256), "`sub`"),
        (claims("a\x00b"), "`sub`"),
        (claims("local"), "`sub`"),
        (claims(sub=7), "`sub`"),
    ],
)
async def test_a_token_that_is_not_for_this_service_now_is_refused(
    told: dict[str, object], reason: str
) -> None:
    """Each claim by itself; `local` is this machine's own user, whom no token makes."""
    assert reason in await refusal(signed(told))


@pytest.mark.parametrize(
    ("token", "right"),
    [
        ("YOUR_JWT_TOKEN", "Send the one that signing in gave, as it is."),
        ("a" * (LONGEST_TOKEN_CHARS + 1), "Keep large claims out of it."),
        (unsigned(claims()), "It has to be signed by HS256 or ES256 or RS256."),
        (signed(claims(), OTHER_SECRET), "Sign in again for a new one."),
        (RSA.sign(claims(), kid="gone"), "Sign in again for one that is signed with a key of now."),
        (signed(claims(iss="https://evil.example")), f"It has to be of {ISSUER}."),
        (signed(claims(aud="anon")), "It has to be for 'authenticated'."),
        (signed(claims(exp=None)), "It has to be a number of seconds since 1970."),
        (signed(claims(nbf=NOW + 3_600)), "Send it later, or set the clock right of who made it."),
        (signed(claims("")), "It takes 1 to 255 characters of text, and no name of the service's own."),
    ],
)
async def test_a_refusal_says_what_would_be_right(token: str, right: str) -> None:
    """Beside what is wrong, so that who has to mend it need not look it up."""
    said = await refusal(token)
    assert said.startswith("This token is not valid: ")
    assert said.endswith(right)


async def test_the_issuer_of_supabases_keys_is_supabases_alone() -> None:
    """Another issuer's `iss` has no second spelling; without one that is set, any will do."""
    key = signed({"iss": "supabase", "role": "service_role", "exp": NOW + 9})

    assert "another issuer" in await refusal(key, Expected("authenticated", ISSUER))
    assert await tokens(expected=Expected("authenticated")).caller(key) == SERVICE


def part(value: object) -> str:
    """One part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def with_header(**header: object) -> str:
    """A token with that header, and any signature."""
    return f"{part(header)}.{part(claims())}.AAAA"


PUBLIC_TEXT = RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def confused(secret: bytes) -> str:
    """A token that uses a public key's text as if it were the secret."""
    told = f"{part({'alg': 'HS256', 'kid': RSA.id})}.{part(claims())}"
    signature = hmac.new(secret, told.encode(), hashlib.sha256).digest()
    return f"{told}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(claims(), OTHER_SECRET), "signature"),
        (f"{signed(claims()).rpartition('.')[0]}.AAAA", "signature"),
        (unsigned(claims()), "algorithm"),
        (with_header(alg="NONE"), "algorithm"),
        (with_header(alg=None), "algorithm"),
        (with_header(alg="HS384"), "algorithm"),
        (with_header(alg="PS256", kid="r1"), "algorithm"),
        (with_header(alg=["HS256"]), "algorithm"),
        (with_header(), "algorithm"),
        (confused(PUBLIC_TEXT), "signature"),
        (confused(json.dumps(RSA.public()).encode()), "signature"),
        (RSA.sign(claims(), kid="e1"), "does not show"),
        (ELLIPTIC.sign(claims(), kid="r1"), "does not show"),
        (SigningKey("e1").sign(claims()), "signature"),
        (RSA.sign(claims(), kid="../../dev/null"), "does not show"),
        (RSA.sign(claims(), kid="k" * 201), "does not show"),
        (with_header(alg="RS256", kid={"$ne": None}), "no JSON Web Token"),
        (with_header(alg="RS256", kid="x", jku="https://evil.example/jwks.json"), "does not show"),
        (with_header(alg="ES256", jwk=SigningKey("own").public()), "signature"),
        (signed(claims(), crit=["b64"], b64=False), "signature"),
        (signed(claims(), crit=["exp"]), "no JSON Web Token"),
        ("a" * (LONGEST_TOKEN_CHARS + 1), "longer than"),
        (signed(claims(padding="x" * LONGEST_TOKEN_CHARS)), "longer than"),
        ("", "no JSON Web Token"),
        ("..", "no JSON Web Token"),
        ("YOUR_JWT_TOKEN", "no JSON Web Token"),
        (part("[" * 5_000) + ".a.b", "no JSON Web Token"),
        ("é.é.é", "no JSON Web Token"),
    ],
)
async def test_forged_tokens_are_refused(token: str, reason: str) -> None:
    """The key decides the algorithm, and no key comes from the token or from anywhere that it names."""
    assert reason in await refusal(token)


async def test_without_a_secret_none_is_guessed() -> None:
    """Where only public keys are configured, no token with a secret is looked at."""
    assert "algorithm" in await refusal(signed(claims()), secret=None)
    assert "algorithm" in await refusal(confused(PUBLIC_TEXT), secret=None)


async def test_a_short_public_key_is_not_trusted() -> None:
    """RSA keys below 2048 bits can be broken."""
    weak, clock = SigningKey("w", "RS256", bits=1_024), SetClock()
    key_set = KeySet("https://keys.example", clock, transport=KeyHost(weak.public()))

    with pytest.warns(InsecureKeyLengthWarning):
        token = weak.sign(claims())

    with pytest.raises(UnauthorizedError, match="signature"):
        await VerifiedTokens(SUPABASE, clock, key_set=key_set).caller(token)


@given(st.text() | st.text(HALF_LETTERS) | st.binary().map(lambda raw: raw.decode("latin-1")))
async def test_whatever_is_sent_is_believed_or_refused(sent: str) -> None:
    """No text that a stranger sends ends in an error of ours."""
    with pytest.raises(UnauthorizedError):
        await tokens().caller(sent)


@given(st.dictionaries(st.sampled_from(NAMES), ANY_VALUE))
async def test_whatever_a_token_says_is_believed_or_refused(told: dict[str, object]) -> None:
    """A claim of a shape that nobody expects is refused as any other wrong one."""
    try:
        caller = await tokens(expected=Expected("authenticated")).caller(signed(claims() | told))
    except UnauthorizedError:
        return
    assert caller in {NOBODY, SERVICE} or caller.user


async def test_a_token_that_was_right_expires_all_the_same() -> None:
    """That a signature is computed once makes no token last longer."""
    clock = SetClock()
    believing = VerifiedTokens(SUPABASE, clock, secret=SECRET)
    token = signed(claims(exp=NOW + 60))
    assert [await believing.caller(token) for _ in range(2)] == [ADA, ADA]

    clock.now = NOW + 60 + LEEWAY_S

    with pytest.raises(UnauthorizedError, match="expired"):
        await believing.caller(token)


async def test_a_token_is_not_believed_once_its_key_is_withdrawn() -> None:
    """Also when it was believed before: as soon as the keys are fetched anew, as any other token."""
    clock, host = SetClock(), KeyHost(ELLIPTIC.public(), RSA.public())
    believing = VerifiedTokens(
        SUPABASE, clock, key_set=(keys := KeySet("https://keys.example", clock, transport=host))
    )
    token = ELLIPTIC.sign(claims())
    assert await believing.caller(token) == ADA

    host.show(RSA.public())
    clock.now += STALE_FOR_S + 1
    await keys.key(RSA.id, "RS256")

    with pytest.raises(UnauthorizedError, match="does not show"):
        await believing.caller(token)


async def test_another_key_under_the_same_id_has_not_signed_it() -> None:
    """Nor is a token believed by the name of its key alone."""
    clock, host = SetClock(), KeyHost(ELLIPTIC.public())
    believing = VerifiedTokens(SUPABASE, clock, key_set=KeySet("https://keys.example", clock, transport=host))
    token = ELLIPTIC.sign(claims(exp=NOW + 2 * STALE_FOR_S))
    assert await believing.caller(token) == ADA

    host.show(SigningKey(ELLIPTIC.id).public())
    clock.now += STALE_FOR_S + 1

    with pytest.raises(UnauthorizedError, match="signature"):
        await believing.caller(token)


async def test_a_changed_signature_is_not_the_token_that_was_right() -> None:
    """Whoever saw what a token says still cannot make one."""
    believing = VerifiedTokens(SUPABASE, SetClock(), secret=SECRET)
    token = signed(claims())
    assert await believing.caller(token) == ADA

    head, _, _ = token.rpartition(".")

    with pytest.raises(UnauthorizedError, match="signature"):
        await believing.caller(f"{head}.{signed(claims(), OTHER_SECRET).rpartition('.')[2]}")
