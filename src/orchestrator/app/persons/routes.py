"""Routes for what is held about a person, for admins: the command line of this machine's user is one."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from orchestrator.app.persons.kept import Kept
from orchestrator.core.errors import InvalidInputError
from orchestrator.web.audit.trail import Trail
from orchestrator.web.auth.access import Admin
from orchestrator.web.auth.credentials import is_user
from orchestrator.web.feature import Feature
from orchestrator.web.idempotency.once import secret_answer
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from orchestrator.app.persons.persons import Persons

ZIP = "application/zip"
DIGEST_CHARS = 16


def _user(name: str) -> str:
    if not is_user(name):
        raise ValueError("this is not the name of a user")
    return name


User = Annotated[str, AfterValidator(_user)]


class Person(BaseModel):
    """Who it is about."""

    model_config = ConfigDict(extra="forbid")

    user: User = Field(description="The user, as the tokens' `sub` says it.")


class ErasedPerson(BaseModel):
    """What was removed, and what remains elsewhere."""

    user: str = Field(description="Whose it was.")
    rooms: dict[str, int] = Field(
        description="Things of rooms, such as lessons with their runs and pictures."
    )
    tables: dict[str, int] = Field(description="Rows by table, besides those.")
    runs: int = Field(description="Runs, besides those.")
    schedules: int = Field(description="Schedules.")
    events: int = Field(description="Events that were still in the stream.")
    blanked: int = Field(description="Entries of the audit trail, which stay and no longer say who it was.")
    kept: list[Kept] = Field(description="What this cannot reach, why, and what ends it.")


class Move(BaseModel):
    """From whom to whom."""

    model_config = ConfigDict(extra="forbid")

    giver: User = Field(description="Whose it is now, such as `local`.", examples=["local"])
    taker: User = Field(description="Whose it will be.")


class Moved(BaseModel):
    """What went, and what could not."""

    giver: str = Field(description="Whose it was.")
    taker: str = Field(description="Whose it is.")
    tables: dict[str, int] = Field(description="Rows that went, by table.")
    left: dict[str, int] = Field(
        description="Rows that stayed with the giver, by table, since the taker has the same already."
    )
    runs: int = Field(description="Runs that went.")


def build(persons: Persons, kept: Sequence[Kept]) -> Feature:
    """The routes; ``kept`` is what an erasure cannot reach in this service.

    No answer is kept under an Idempotency-Key: it would be the admin's, and outlive an erasure.
    """
    router = APIRouter(prefix="/api/v1", tags=["persons"])
    _add_export(router, persons)
    _add_erase(router, persons, kept)
    _add_move(router, persons)
    return Feature(name="persons", router=router)


def _add_export(router: APIRouter, persons: Persons) -> None:
    @router.post(
        "/persons/export",
        response_class=StreamingResponse,
        responses={200: {"description": "A zip.", "content": {ZIP: {}}}, **problems(400, 401, 403)},
        dependencies=[Depends(secret_answer)],
    )
    async def export(person: Person, _: Admin, trail: Trail) -> StreamingResponse:
        """Get everything that is held about a person, as a zip of JSON lines and files."""
        await trail.record("person.export", unnamed(person.user))
        parts = persons.export(person.user)
        first = await anext(parts)  # what is away shows here, while that can still be answered
        return StreamingResponse(_all_of(first, parts), media_type=ZIP)


def _add_erase(router: APIRouter, persons: Persons, kept: Sequence[Kept]) -> None:
    @router.post(
        "/persons/erase",
        responses=problems(400, 401, 403, 503),
        dependencies=[Depends(secret_answer)],
    )
    async def erase(person: Person, _: Admin, trail: Trail) -> ErasedPerson:
        """Remove everything that is held about a person; open runs are stopped first.

        What was removed when it is interrupted stays removed: do it again.
        """
        await trail.record("person.erase", unnamed(person.user))
        erased = await persons.erase(person.user)
        return ErasedPerson(
            user=person.user,
            rooms=erased.rooms,
            tables=erased.tables,
            runs=erased.runs,
            schedules=erased.schedules,
            events=erased.events,
            blanked=erased.blanked,
            kept=list(kept),
        )


def _add_move(router: APIRouter, persons: Persons) -> None:
    @router.post(
        "/owners/move", responses=problems(400, 401, 403, 409), dependencies=[Depends(secret_answer)]
    )
    async def move(wanted: Move, _: Admin, trail: Trail) -> Moved:
        """Hand everything of one owner to another, such as what was made in dev mode to a user."""
        if wanted.giver == wanted.taker:
            raise InvalidInputError("The first owner and the new one are the same. Name two.")
        await trail.record("owner.move", f"{unnamed(wanted.giver)} {unnamed(wanted.taker)}")
        given = await persons.give(wanted.giver, wanted.taker)
        return Moved(
            giver=wanted.giver, taker=wanted.taker, tables=given.moved, left=given.left, runs=given.runs
        )


def unnamed(user: str) -> str:
    """What the audit trail says instead of a name that an erasure would have to take out of it again.

    Whoever knows the name can find the entries.
    """
    return f"sha256:{hashlib.sha256(user.encode()).hexdigest()[:DIGEST_CHARS]}"


async def _all_of(first: bytes, parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(parts):
        yield first
        async for part in parts:
            yield part
