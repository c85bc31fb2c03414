"""Our agents over HTTP, on the contract that agents elsewhere keep: parse, call the service, answer.

Every answer is ``{ok, data, error, code}``, errors included.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, TypeVar

import structlog
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from orchestrator.agents.model import BadAnswerError
from orchestrator.core.errors import (
    ForbiddenError,
    OrchestratorError,
    RateLimitedError,
    RetryableError,
    UnauthorizedError,
)
from orchestrator.features.days.agents.requests import DailyRequest, Day, Topic, UserId, Week
from orchestrator.features.days.agents.signals import (
    AlexSignal,
    CloSignal,
    DailyPlan,
    SocraticSignal,
    TaSignal,
)
from orchestrator.features.days.agents.writer import Asking
from orchestrator.web.auth.access import Service
from orchestrator.web.auth.caller import SCOPE_KEY, SERVICE, Role
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from orchestrator.features.days.agents.service import AgentService, Told
    from orchestrator.features.days.agents.signals import Signal

AGENTS: Final = "/functions/v1/agent-proxy"
LONGEST_KEY_CHARS: Final = 255
MOST_FAULTS: Final = 5
REFUSING: Final = (400, 401, 403, 422, 429, 500, 502, 503, 504)
MODEL_TOO_SLOW: Final = "model_slow"
REFUSED: Final = "It could not be done; `code` tells why."

DataT = TypeVar("DataT")
SignalT = TypeVar("SignalT", bound="Signal")

log = structlog.get_logger()


class Answer(BaseModel, Generic[DataT]):
    """What an agent answers when all is well."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    ok: Literal[True] = Field(default=True, description="All is well.")
    data: DataT = Field(description="What it says.")


class CloAnswer(Answer[CloSignal]):
    """What clo answers."""


class TaAnswer(Answer[TaSignal]):
    """What ta answers."""


class AlexAnswer(Answer[AlexSignal]):
    """What alex answers."""


class SocraticAnswer(Answer[SocraticSignal]):
    """What socratic answers."""


class InstructorAnswer(Answer[DailyPlan]):
    """What the instructor answers."""


class Refusal(BaseModel):
    """What an agent answers when it cannot."""

    ok: Literal[False] = Field(default=False, description="It could not be done.")
    error: str = Field(description="What is wrong, for people.")
    code: str = Field(description="RATE_LIMIT, TIMEOUT, BAD_SCHEMA, AGENT_ERROR, or a code of the service.")


# As a schema: of a model, FastAPI would make a validator for each status of each route.
_REFUSAL: Final = {"application/json": {"schema": Refusal.model_json_schema()}}

UserIdQuery = Annotated[UserId, Query(description="Whose day it is.")]
TopicQuery = Annotated[Topic, Query(description="The topic of the intent.")]
Key = Annotated[
    str | None,
    Header(
        alias="X-Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY_CHARS,
        pattern="^[ -~]+$",
        description="The same on every retry of one call.",
    ),
]
# On every POST the house takes a key; it is not described route by route.
PostKey = Annotated[str | None, Header(alias="X-Idempotency-Key", include_in_schema=False)]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of the answer that the caller has.")]


def agents_router(service: AgentService) -> APIRouter:
    """The routes of the four agents and the instructor, for our own services."""
    router = APIRouter(prefix=AGENTS, tags=["agents"], route_class=_Enveloped)
    _add_signals_of_a_day(router, service)
    _add_signals_of_a_topic(router, service)
    _add_instructor(router, service)
    return router


def agents_app(service: AgentService) -> ASGIApp:
    """The same routes alone, for calls from inside this process: whoever holds it is our own service."""
    app = FastAPI(openapi_url=None)
    app.include_router(agents_router(service))

    async def as_service(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, SCOPE_KEY: SERVICE}, receive, send)

    return as_service


def _add_signals_of_a_day(router: APIRouter, service: AgentService) -> None:
    @router.get("/clo/signals", **_signal_of(CloAnswer, "Curriculum: what a day is about"))
    async def clo(
        caller: Service,
        user_id: UserIdQuery,
        topic: TopicQuery,
        week: Annotated[Week, Query()],
        day: Annotated[Day, Query()],
        key: Key = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        _check_named(caller, user_id)
        return _signal(await service.clo(Asking(user_id, topic, key or "", if_none_match), week, day))

    @router.get("/ta/signals", **_signal_of(TaAnswer, "Practice that fits the time, and due reviews"))
    async def ta(
        caller: Service,
        user_id: UserIdQuery,
        topic: TopicQuery,
        week: Annotated[Week, Query()],
        day: Annotated[Day, Query()],
        key: Key = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        _check_named(caller, user_id)
        return _signal(await service.ta(Asking(user_id, topic, key or "", if_none_match), week, day))


def _add_signals_of_a_topic(router: APIRouter, service: AgentService) -> None:
    @router.get("/alex/signals", **_signal_of(AlexAnswer, "Research by the model; off without one"))
    async def alex(
        caller: Service,
        user_id: UserIdQuery,
        topic: TopicQuery,
        key: Key = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        _check_named(caller, user_id)
        return _signal(await service.alex(Asking(user_id, topic, key or "", if_none_match)))

    @router.get("/socratic/signals", **_signal_of(SocraticAnswer, "Questions from what was done so far"))
    async def socratic(
        caller: Service,
        user_id: UserIdQuery,
        topic: TopicQuery,
        key: Key = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        _check_named(caller, user_id)
        return _signal(await service.socratic(Asking(user_id, topic, key or "", if_none_match)))


def _add_instructor(router: APIRouter, service: AgentService) -> None:
    @router.post("/instructor/daily", **_described(InstructorAnswer, "A day's plan from the signals"))
    async def daily(caller: Service, asked: DailyRequest, key: PostKey = None) -> Response:
        _check_named(caller, asked.user_id)
        return _json(HTTPStatus.OK, Answer(data=await service.daily(asked, key or "")))


class _Enveloped(APIRoute):
    """A route whose errors are answers of the contract too."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def enveloped(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                return _refused(HTTPStatus.BAD_REQUEST, "BAD_SCHEMA", _faults(error))
            except HTTPException:
                return _refused(HTTPStatus.BAD_REQUEST, "BAD_SCHEMA", "The body is not valid JSON in UTF-8.")
            except OrchestratorError as error:
                return _failed(error)
            except Exception:
                log.exception("agent failed unexpectedly")
                message = "The agent failed on our side; the logs tell more."
                return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "AGENT_ERROR", message)

        return enveloped


def _check_named(caller: Service, user: str) -> None:
    """A service that names the user it acts for asks about that user alone."""
    if caller.role is Role.SERVICE and caller.user and caller.user != user:
        raise ForbiddenError("X-User-ID names another user than the request is about.")


def _signal(told: Told[SignalT]) -> Response:
    headers = {"ETag": told.etag, "Cache-Control": "private, no-cache"}
    if told.said is None:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _json(HTTPStatus.OK, Answer(data=told.said), headers)


def _failed(error: OrchestratorError) -> Response:
    """The error in the contract's codes; those of access are the house's own."""
    if isinstance(error, RateLimitedError):
        status, code = HTTPStatus.TOO_MANY_REQUESTS, "RATE_LIMIT"
    elif isinstance(error, BadAnswerError):
        status, code = HTTPStatus.BAD_GATEWAY, "BAD_SCHEMA"
    elif isinstance(error, RetryableError):
        is_slow = error.code == MODEL_TOO_SLOW
        status = HTTPStatus.GATEWAY_TIMEOUT if is_slow else HTTPStatus.SERVICE_UNAVAILABLE
        code = "TIMEOUT" if is_slow else "AGENT_ERROR"
    elif isinstance(error, UnauthorizedError | ForbiddenError):
        status, code = HTTPStatus(error.status), error.code
    else:  # such as a budget that is used up: to ask again would not help
        status, code = HTTPStatus.UNPROCESSABLE_ENTITY, "AGENT_ERROR"
    wait_s = error.retry_after if isinstance(error, RetryableError) else None
    headers = {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    return _refused(status, code, error.message, headers)


def _faults(error: RequestValidationError) -> str:
    """Which fields are wrong and how, without what they hold."""
    faults = [
        f"{'.'.join(map(str, fault['loc'][1:])) or 'body'}: {fault['msg']}"
        for fault in error.errors()[:MOST_FAULTS]
    ]
    return f"The request is not valid. {'; '.join(faults)}"


def _refused(status: HTTPStatus, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    return _json(status, Refusal(error=message, code=code), headers)


def _json(status: HTTPStatus, body: BaseModel, headers: dict[str, str] | None = None) -> Response:
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def _signal_of(answer: type[BaseModel], summary: str) -> dict[str, Any]:
    """How the route of a signal reads in the API's description."""
    described = _described(answer, summary)
    described["responses"][304] = {"description": "What you have under that ETag is still true."}
    return described


def _described(answer: type[BaseModel], summary: str) -> dict[str, Any]:
    """How a route reads in the API's description."""
    # What stands before all routes, such as limits, answers problem documents here as elsewhere.
    refusals = {
        status: {"description": REFUSED, "content": problem["content"] | _REFUSAL}
        for status, problem in problems(*REFUSING).items()
    }
    return {
        "summary": summary,
        "response_class": Response,
        "responses": {
            200: {"model": answer},
            **refusals,
        },
    }
