"""Making, finding and revoking API keys: use cases and their SQL."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update
from sqlalchemy.exc import DBAPIError

from orchestrator.core.clock import utc
from orchestrator.core.errors import InvalidInputError, NotFoundError, UnavailableError
from orchestrator.db import SYSTEM
from orchestrator.web.auth.caller import Caller, Role
from orchestrator.web.auth.credentials import is_user
from orchestrator.web.auth.keys.schemas import ApiKey, MadeApiKey
from orchestrator.web.auth.keys.secret import Secret
from orchestrator.web.auth.keys.tables import ApiKeyRow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orchestrator.core.clock import Clock
    from orchestrator.db import Database
    from orchestrator.web.audit import Audit
    from orchestrator.web.auth.keys.schemas import NewApiKey

# Each opens all that its role may use, so it stands alone and names no user.
ROLES: Final = {"service": Role.SERVICE, "admin": Role.ADMIN}
USED_EVERY: Final = timedelta(hours=1)  # how often a key's last use is written down
MOST_LISTED: Final = 1_000


class KeyStore:
    """The keys of one service, in its tables: the `KeyRing` of sign-in.

    Nothing of them is kept in memory, so what one process revokes opens no other at its next request.
    ``rooms`` are the scopes that there are beside ``service`` and ``admin``.
    """

    def __init__(self, database: Database, clock: Clock, rooms: Iterable[str], audit: Audit) -> None:
        self._database = database
        self._clock = clock
        self._rooms = frozenset(rooms)
        self._audit = audit

    async def find(self, key: str) -> Caller | None:
        """Who calls with this key; None where it opens nothing.

        Raises:
            UnavailableError: the tables are away, or not made yet.
        """
        secret = Secret.read(key)
        if secret is None:
            return None
        try:
            row = await self._row(secret.id)
        except DBAPIError as error:
            raise UnavailableError("API keys cannot be looked up yet: the tables are being made.") from error
        if row is None or not hmac.compare_digest(row.sha256, secret.sha256) or not self._is_good(row):
            return None
        await self._used(row)
        return _caller(row)

    async def create(
        self, wanted: NewApiKey, by: Caller, source: str = "", key_id: str | None = None
    ) -> MadeApiKey:
        """Make a key. What it is sent as is in the answer, and nowhere else.

        One of the same ``key_id``, which nobody was shown, gives way.

        Raises:
            InvalidInputError: scopes and user do not go together.
        """
        self._check(wanted)
        secret, now = Secret.new(key_id), self._now()
        row = ApiKeyRow(
            id=secret.id,
            owner=wanted.user or "",
            name=wanted.name,
            sha256=secret.sha256,
            scopes=sorted(set(wanted.scopes)),
            created_at=now,
            created_by=by.name,
            expires_at=now + timedelta(days=wanted.expires_in_days) if wanted.expires_in_days else None,
        )
        async with self._database.session(SYSTEM) as session:
            await session.change(delete(ApiKeyRow).where(ApiKeyRow.id == row.id))
            session.add(row)
            self._audit.add(session, "key.create", by, subject=row.id, source=source)
        return MadeApiKey(**_shown(row).model_dump(), key=secret.text)

    async def all(self) -> list[ApiKey]:
        """All keys, newest first."""
        query = select(ApiKeyRow).order_by(ApiKeyRow.created_at.desc(), ApiKeyRow.id).limit(MOST_LISTED)
        async with self._database.session(SYSTEM) as session:
            return [_shown(row) for row in await session.all(query)]

    async def revoke(self, key_id: str, by: Caller, source: str = "") -> ApiKey:
        """Let the key open nothing from now on; once more changes nothing.

        Raises:
            NotFoundError: there is no such key.
        """
        open_one = (ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None))
        async with self._database.session(SYSTEM) as session:
            if await session.change(update(ApiKeyRow).where(*open_one).values(revoked_at=self._now())):
                self._audit.add(session, "key.revoke", by, subject=key_id, source=source)
        row = await self._row(key_id)
        if row is None:
            raise NotFoundError("There is no such API key.", code="key_not_found")
        return _shown(row)

    async def _row(self, key_id: str) -> ApiKeyRow | None:
        async with self._database.session(SYSTEM) as session:
            return await session.one(select(ApiKeyRow).where(ApiKeyRow.id == key_id))

    def _is_good(self, row: ApiKeyRow) -> bool:
        return row.revoked_at is None and (row.expires_at is None or self._now() < row.expires_at)

    async def _used(self, row: ApiKeyRow) -> None:
        now = self._now()
        if row.last_used_at is None or now - row.last_used_at >= USED_EVERY:
            async with self._database.session(SYSTEM) as session:
                used = update(ApiKeyRow).where(ApiKeyRow.id == row.id)
                await session.change(used.values(last_used_at=now))

    def _check(self, wanted: NewApiKey) -> None:
        scopes = set(wanted.scopes)
        if unknown := scopes - self._rooms - ROLES.keys():
            known = ", ".join([*sorted(self._rooms), *ROLES])
            raise InvalidInputError(f"There is no scope {min(unknown)}. A key takes: {known}.")
        if scopes & ROLES.keys():
            if len(scopes) > 1 or wanted.user is not None:
                raise InvalidInputError(
                    f"The scope {min(scopes & ROLES.keys())} opens all that there is to it: it takes no "
                    "other scope and no user."
                )
        elif wanted.user is None or not is_user(wanted.user):
            raise InvalidInputError("Name the user whom this key acts as: it opens what belongs to users.")

    def _now(self) -> datetime:
        return utc(self._clock.time())


def _caller(row: ApiKeyRow) -> Caller:
    name = f"key:{row.id}"
    for scope, role in ROLES.items():
        if scope in row.scopes:
            return Caller(role, name=name)
    return Caller(Role.USER, row.owner, name, frozenset(row.scopes))


def _shown(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=row.scopes,
        user=row.owner or None,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
