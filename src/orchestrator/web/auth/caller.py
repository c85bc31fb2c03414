"""Who calls: found out once per request by `Identify`, and kept in the request's scope."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from orchestrator.core.errors import InternalError

if TYPE_CHECKING:
    from starlette.types import Scope

LOCAL_USER: Final = "local"  # whose data is what this machine's user makes without signing in
SCOPE_KEY: Final = "orchestrator.caller"


class Role(StrEnum):
    """What kind of caller it is, from the least rights to the most."""

    NOBODY = "nobody"
    LOCAL = "local"  # dev mode without any identity
    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        role: what kind of caller it is.
        user: whose data the call is about; empty for nobody, and for a service that names no user.
        name: what the audit trail says: ``user:ada``, ``key:ab12``, ``service``, ``operator``, ``nobody``.
        scopes: the rooms that an API key opens, by their routes' tags; None opens all that the role may use.
    """

    role: Role
    user: str = ""
    name: str = "nobody"
    scopes: frozenset[str] | None = None

    @classmethod
    def of_user(cls, user: str, role: Role = Role.USER) -> Caller:
        """A person with a token: ``user`` is its ``sub``."""
        return cls(role, user, f"user:{user}")

    def opens(self, *tags: str) -> bool:
        """Whether the caller's scopes let it use a route with these tags."""
        return self.scopes is None or not self.scopes.isdisjoint(tags)


NOBODY: Final = Caller(Role.NOBODY)
LOCAL: Final = Caller(Role.LOCAL, LOCAL_USER, "local")
SERVICE: Final = Caller(Role.SERVICE, name="service")
OPERATOR: Final = Caller(Role.ADMIN, name="operator")  # who can read the data directory


def caller_of(scope: Scope) -> Caller:
    """Who sent this request or opened this WebSocket.

    Raises:
        InternalError: nobody asked who it is, so nobody may go on.
    """
    caller = scope.get(SCOPE_KEY)
    if not isinstance(caller, Caller):
        raise InternalError("a request came past Identify")
    return caller
