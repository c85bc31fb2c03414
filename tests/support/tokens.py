"""Tokens of users and services, the keys that sign them, and a host that shows the public ones."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.core.clock import Wake

NOW = 1_764_000_000.0  # seconds since 1970, as `SetClock` begins
SECRET = "the-project-secret-of-thirty-two-bytes-and-more"  # noqa: S105
OTHER_SECRET = "another-secret-of-thirty-two-bytes-and-some-more"  # noqa: S105
PROJECT = "https://your-project.supabase.co"
ISSUER = f"{PROJECT}/auth/v1"
Json = dict[str, Any]


class SetClock:
    """Shows the time that it is set to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def time(self) -> float:
        """Seconds since 1970."""
        return self.now

    def call_at(self, when: float, callback: Any, *, background: bool = False) -> Wake:  # noqa: ANN401
        """Nothing that these tests use waits."""
        raise NotImplementedError


def claims(sub: object = "ada", **others: object) -> Json:
    """What the token of a signed-in user says; None leaves a claim out."""
    usual = {"sub": sub, "aud": "authenticated", "role": "authenticated", "exp": NOW + 3_600, "iss": ISSUER}
    return {name: value for name, value in {**usual, **others}.items() if value is not None}


def signed(told: Mapping[str, object], secret: str = SECRET, **header: object) -> str:
    """A token that is signed with a secret."""
    return PyJWS().encode(json.dumps(told).encode(), secret, "HS256", headers=header)


def unsigned(told: object) -> str:
    """A token without a signature."""
    return PyJWS().encode(json.dumps(told).encode(), "", "none")


class SigningKey:
    """A private key of an issuer, for ES256 or RS256."""

    def __init__(self, key_id: str, algorithm: str = "ES256", bits: int = 2_048) -> None:
        self.id = key_id
        self.algorithm = algorithm
        self.private: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm == "ES256"
            else rsa.generate_private_key(public_exponent=65_537, key_size=bits)
        )

    def sign(self, told: Mapping[str, object], **header: object) -> str:
        """A token of this key, with its id in the header unless that says otherwise."""
        headers = {name: value for name, value in {"kid": self.id, **header}.items() if value is not None}
        return PyJWS().encode(json.dumps(told).encode(), self.private, self.algorithm, headers=headers)

    def public(self, **others: object) -> Json:
        """The public half as a JSON Web Key."""
        kind = ECAlgorithm if self.algorithm == "ES256" else RSAAlgorithm
        shown: Json = kind.to_jwk(self.private.public_key(), as_dict=True)
        return {**shown, "kid": self.id, "use": "sig", "alg": self.algorithm, **others}


class KeyHost(httpx2.AsyncBaseTransport):
    """A host that shows public keys, and counts who asks. It can be down, slow, or show nonsense."""

    def __init__(self, *keys: Json) -> None:
        self.body: bytes = b""
        self.show(*keys)
        self.status = 200
        self.is_down = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    def show(self, *keys: Json) -> None:
        """Show these keys from now on."""
        self.body = json.dumps({"keys": keys}).encode()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer with the keys, once ``answers`` is set."""
        self.asked += 1
        await self.answers.wait()
        if self.is_down:
            raise httpx2.ConnectError("nobody there", request=request)
        return httpx2.Response(self.status, content=self.body)
