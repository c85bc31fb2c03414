"""A small room that does everything the web kit must cope with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from orchestrator.core.errors import NotFoundError, RateLimitedError, UnavailableError
from orchestrator.web.auth.access import Anyone
from orchestrator.web.feature import Feature, OpenRoute
from orchestrator.web.problems import problems
from orchestrator.web.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LONGEST_NAME_CHARS = 40


class NewThing(BaseModel):
    """What a thing is made of."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=LONGEST_NAME_CHARS)
    count: int = Field(default=1, ge=1, le=9)
    password: SecretStr | None = Field(None, min_length=8)


class Thing(BaseModel):
    """A thing."""

    id: str
    name: str
    count: int


class SampleRoom:
    """Keeps things by id; its events, failures and waits are moved by the test."""

    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.breaks = False
        self.going_on = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.stream_closed = asyncio.Event()
        self.feature = Feature(
            name="sample",
            router=self._router(),
            sessions=self._count,
            open_cors=(
                OpenRoute("/things/{id}", frozenset({"GET"})),
                OpenRoute("/things", frozenset({"POST"})),
            ),
        )

    async def _count(self) -> int:
        return len(self.things)

    async def _events(self, count: int) -> AsyncGenerator[tuple[str, str]]:
        try:
            for number in range(1, count + 1):
                yield str(number), f'{{"n":{number}}}'
            self.going_on.set()
            await self.may_go_on.wait()
            if self.breaks:
                raise RuntimeError("the secret recipe")
            yield str(count + 1), '{"n":"last"}'
        finally:
            self.stream_closed.set()

    def _router(self) -> APIRouter:
        router = APIRouter()

        @router.post("/things", status_code=201)
        async def make(new: NewThing, _: Anyone) -> Thing:
            thing = Thing(id=f"t{len(self.things) + 1}", name=new.name, count=new.count)
            self.things[thing.id] = thing
            return thing

        @router.get("/things")
        async def find(_: Anyone, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> list[Thing]:
            return list(self.things.values())[:limit]

        @router.get("/things/{id}", responses=problems(404))
        async def show(id: Annotated[str, Path(max_length=40)], _: Anyone) -> Thing:  # noqa: A002 - the wire's name
            if id not in self.things:
                raise NotFoundError("There is no such thing.")
            return self.things[id]

        @router.get("/fails/{how}", include_in_schema=False)
        async def fail(how: Literal["away", "foreseen", "unforeseen"], _: Anyone) -> Response:
            if how == "away":
                raise UnavailableError
            if how == "foreseen":
                raise RateLimitedError("Slow down.", retry_after=1.5)
            raise RuntimeError("the secret recipe")

        @router.get("/waits", include_in_schema=False)
        async def wait(_: Anyone) -> dict[str, str]:
            self.going_on.set()
            await self.may_go_on.wait()
            return {"waited": "yes"}

        @router.get("/events", include_in_schema=False)
        async def events(request: Request, _: Anyone, count: int = 2) -> Response:
            return EventStream(request, self._events(count))

        return router
