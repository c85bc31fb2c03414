"""The way to the service: the one that has the data directory, or one of our own for the while."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx2

from orchestrator.app.data_dir import Service, serving
from orchestrator.core.errors import (
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OrchestratorError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)
from orchestrator.core.private_files import PRIVATE_FILE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from orchestrator.core.settings import ClientSettings, Settings

LOG_FILE = "service.log"
ANSWER_TIMEOUT_S = 70.0  # over the service's own limit, so that its problem document arrives
ERRORS: dict[int, type[OrchestratorError]] = {
    400: InvalidInputError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidInputError,
    429: RateLimitedError,
    503: UnavailableError,
}


@dataclass(frozen=True, slots=True)
class Connection:
    """An open way to the service. ``own`` says that it lives only as long as this command."""

    http: httpx2.AsyncClient
    address: str
    own: bool

    async def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """The JSON that the service answers with.

        Raises:
            OrchestratorError: what the service's problem document says, as the same kind of error.
            UnavailableError: it cannot be reached.
        """
        return (await self.answer(method, path, body)).json()

    async def answer(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """The whole answer; raises as ``request`` does."""
        try:
            response = await self.http.request(method, path, json=body)
        except httpx2.TransportError as error:
            raise unreachable(self.address) from error
        if not response.is_success:
            raise error_of(response)
        return response


class Operator(httpx2.Auth):
    """Sends the token of the data directory as it is now: a service that is started again has another one."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Add it, if there is a service."""
        service = serving(self._data_dir)
        if service is not None and service.token:
            request.headers["Authorization"] = f"Bearer {service.token}"
        yield request


class TokenOf(httpx2.Auth):
    """Sends the token that is configured for a service elsewhere."""

    def __init__(self, client: ClientSettings) -> None:
        self._token = client.token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Add it, if there is one."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        yield request


def is_served(settings: Settings) -> bool:
    """Whether there is a service to ask: at ``client.url``, or else on the data directory."""
    return settings.client.url is not None or serving(settings.data_dir) is not None


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connection]:
    """A way to the service of ``client.url``, or where that is not set, as the operator, to the one at hand.

    At hand is the service that has the data directory, or one of our own for the while.

    Raises:
        ConflictError: a process has the data directory and does not answer HTTP.
    """
    if settings.client.url is None:
        async with _connected_here(settings) as connection:
            yield connection
    else:
        async with _client(settings.client.url, TokenOf(settings.client)) as http:
            yield Connection(http, settings.client.url, own=False)


@asynccontextmanager
async def connected_to_running(settings: Settings, why: str) -> AsyncIterator[Connection]:
    """The same, but never to one of our own: ``why`` says what needs a service that stays.

    Raises:
        UnavailableError: none runs.
    """
    if not is_served(settings):
        raise UnavailableError(
            f"No service runs on {settings.data_dir}, and {why}. "
            "Start it with `orchestrator serve`, or check --data-dir."
        )
    async with connected(settings) as connection:
        yield connection


def unreachable(address: str) -> UnavailableError:
    """What to say when the service does not answer."""
    return UnavailableError(
        f"The service at {address} cannot be reached. `orchestrator doctor` tells more; "
        "`orchestrator serve` starts it again."
    )


def error_of(response: httpx2.Response) -> OrchestratorError:
    """The error that a problem document tells of, of the kind that it was in the service."""
    try:
        said = response.json()
        message, code = str(said["detail"]), str(said["code"])
    except (ValueError, KeyError, TypeError):
        message, code = f"The service answered {response.status_code} {response.reason_phrase}.", ""
    if response.status_code == HTTPStatus.UNAUTHORIZED and "authorization" not in response.request.headers:
        message += " Give the command line a token as ORCHESTRATOR_CLIENT_TOKEN."
    return ERRORS.get(response.status_code, InternalError)(message, code=code or None)


@asynccontextmanager
async def _connected_here(settings: Settings) -> AsyncIterator[Connection]:
    service, operator = serving(settings.data_dir), Operator(settings.data_dir)
    if service is None:
        async with _own_service(settings) as address, _client(address, operator) as http:
            yield Connection(http, address, own=True)
    else:
        address = _address(service, settings)
        async with _client(address, operator) as http:
            yield Connection(http, address, own=False)


def _address(service: Service, settings: Settings) -> str:
    if not service.address:
        raise ConflictError(
            f"Process {service.pid} has the data directory {settings.data_dir} and does not answer yet. "
            "Try again in a moment, or stop that process."
        )
    return service.address


def _client(address: str, auth: httpx2.Auth) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=address, auth=auth, timeout=ANSWER_TIMEOUT_S, trust_env=False)


@asynccontextmanager
async def _own_service(settings: Settings) -> AsyncIterator[str]:
    """The same service in this process, on a free port; its log goes to a file in the data directory."""
    from orchestrator.app.server import Server
    from orchestrator.app.wiring import built
    from orchestrator.core.redaction import secrets_in
    from orchestrator.core.telemetry import configure_logging

    listening = settings.server.model_copy(update={"port": 0, "enable_metrics": False})
    with built(settings) as service:
        path = settings.data_dir / LOG_FILE
        path.touch(mode=PRIVATE_FILE)
        with path.open("a", encoding="utf-8") as log:
            configure_logging(settings.telemetry, log, secrets=secrets_in(settings))
            async with Server(service.app, listening, handle_signals=False).running() as address:
                service.claim.announce(address)
                yield address
