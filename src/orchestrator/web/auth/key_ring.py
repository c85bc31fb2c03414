"""Where API keys are looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from orchestrator.web.auth.caller import Caller


class KeyRing(Protocol):
    """The API keys that open this service."""

    async def find(self, key: str) -> Caller | None:
        """Who calls with this key: role, user, ``key:…`` as the name, and the key's scopes.

        None where there is no such key, or not any more: revoked, expired. ``key`` is what a stranger
        sent, of any length up to a header's.
        """
        ...


class NoKeys:
    """A service without API keys."""

    async def find(self, key: str) -> Caller | None:  # noqa: ARG002 - the port's signature
        """None: there is no key."""
        return None
