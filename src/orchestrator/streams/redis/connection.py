"""The way to Redis: what is waiting is sent together, and what goes wrong is said in one sentence."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as NotConnectedError
from redis.exceptions import TimeoutError as NoAnswerError

from orchestrator.core.errors import InternalError, OrchestratorError, SettingsError, UnavailableError
from orchestrator.core.patience import growing_pauses
from orchestrator.core.redis_address import RedisAddress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from redis.asyncio.connection import AbstractConnection

    from orchestrator.streams.redis.scripts import Script

T = TypeVar("T")

# How long Redis may take to accept a connection, and then to answer what was sent together.
ANSWER_LIMIT_S = 5.0
# So many calls are sent together, so that one that is late does not wait behind thousands.
MOST_AT_ONCE = 256

# How errors begin that another try may not meet: Redis starts, changes its role, is busy, or cannot write.
PASSING = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "BUSY", "MISCONF")


def never() -> bool:
    """There is always time to wait."""
    return False


async def patiently(call: Callable[[], Awaitable[T]], is_late: Callable[[], bool] = never) -> T:
    """What the call gives once Redis is there.

    Raises:
        UnavailableError: it is not, and it is late.
    """
    waits = growing_pauses()
    while True:
        try:
            return await call()
        except UnavailableError:
            if is_late():
                raise
        await asyncio.sleep(next(waits))


class ClosedError(InternalError):
    """These streams were closed."""

    default_code = "streams_closed"


@dataclass(slots=True)
class _Call:
    script: Script
    keys: tuple[str, ...]
    values: tuple[object, ...]
    reply: asyncio.Future[object]

    @property
    def command(self) -> tuple[object, ...]:
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.values)


class RedisConnection:
    """Runs scripts in the order in which they are asked for.

    What is asked for while an answer is under way is sent together when it is there, so a thousand calls at
    once cost a few round trips. Nothing is sent twice: whether a call whose answer was lost came through is
    for its caller to find out.
    """

    def __init__(self, url: str) -> None:
        address = _address(url)
        self.client = Redis(
            host=address.host,
            port=address.port,
            db=address.db,
            username=address.user,
            password=address.password,
            ssl=address.tls,
            ssl_ca_certs=address.ssl_ca_certs,
            ssl_cert_reqs=address.ssl_cert_reqs,
            socket_timeout=ANSWER_LIMIT_S,
            socket_connect_timeout=ANSWER_LIMIT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=_greet,
        )
        self.place = f"Redis at {address}"
        self._known: set[Script] = set()
        self._waiting: deque[_Call] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, script: Script, keys: tuple[str, ...], *values: object) -> object:
        """Run a script and give its reply.

        Raises:
            UnavailableError: Redis does not answer, or cannot do it now. SettingsError: it wants another
                password. ClosedError: ``close`` was called. InternalError: it answers with an error of ours.
        """
        if self._closed:
            raise ClosedError
        call = _Call(script, keys, values, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
        return await call.reply

    async def about(self) -> dict[str, object]:
        """What Redis says of itself. Raises what ``run`` does."""
        try:
            return dict(await self.client.info())
        except (RedisError, OSError) as error:
            raise self.explain(error) from error

    async def close(self) -> None:
        """Send what is waiting, and close. Twice is the same as once."""
        self._closed = True
        if self._sending is not None:
            # Not awaited itself: it would be cancelled with us, and those who wait for a reply never told.
            await asyncio.wait([self._sending])
        await self.client.aclose()

    def explain(self, error: Exception) -> OrchestratorError:
        """What to tell people about an error of the Redis library."""
        refused = self._refused(error)
        if refused is not None:
            return refused
        if isinstance(error, OutOfMemoryError):
            return UnavailableError(
                f"{self.place} is full (maxmemory is reached), and takes nothing more. Give it more memory, "
                "or trim, expire or delete streams.",
                retry_after=1.0,
            )
        if isinstance(error, ReadOnlyError):
            return UnavailableError(
                f"{self.place} is a replica that only reads. Name the primary in redis.url.", retry_after=1.0
            )
        if isinstance(error, (NotConnectedError, NoAnswerError, OSError)):
            return UnavailableError(
                f"{self.place} cannot be reached: {str(error).rstrip('.')}. Whether what was under way came "
                "through is not known.",
                retry_after=1.0,
            )
        if str(error).startswith(PASSING):
            return UnavailableError(f"{self.place} cannot do this now: {error}", retry_after=1.0)
        return InternalError(f"{self.place} refused a command of ours: {error}")

    def _refused(self, error: Exception) -> SettingsError | None:
        """What no other try mends, but another address."""
        if isinstance(error, (AuthenticationError, NoPermissionError)):
            return SettingsError(
                f"{self.place} refuses the user or password of redis.url: {str(error).rstrip('.')}. "
                "They go into the address: redis://user:password@host:6379/0."
            )
        if str(error).startswith("DB index is out of range"):
            return SettingsError(
                f"{self.place} has no database of the number in redis.url. Name one that it has, such as /0."
            )
        return None

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                taken = (self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE)))
                await self._send([call for call in taken if not call.reply.done()])
        finally:
            self._sending = None

    async def _send(self, calls: list[_Call]) -> None:
        try:
            await self._load({call.script for call in calls} - self._known)
            replies = await self._execute(call.command for call in calls)
            unknown = [call for call, reply in zip(calls, replies, strict=True) if _is_unknown(reply)]
            if unknown:
                self._known.clear()
                await self._load({call.script for call in unknown})
                again = iter(await self._execute(call.command for call in unknown))
                replies = [next(again) if _is_unknown(reply) else reply for reply in replies]
        except Exception as error:  # noqa: BLE001  # told to each who waits for a reply
            # Those who wait behind them would wait as long, for nothing.
            calls += self._waiting
            self._waiting.clear()
            replies = [error] * len(calls)
        for call, reply in zip(calls, replies, strict=True):
            if call.reply.done():
                continue
            if isinstance(reply, Exception):
                call.reply.set_exception(self.explain(reply))
            else:
                call.reply.set_result(reply)

    async def _load(self, scripts: set[Script]) -> None:
        """Let Redis know these scripts, so that no call is overtaken by one whose script it knew already."""
        if not scripts:
            return
        for reply in await self._execute(("SCRIPT", "LOAD", script.text) for script in scripts):
            if isinstance(reply, Exception):
                raise reply
        self._known |= scripts

    async def _execute(self, commands: Iterable[tuple[object, ...]]) -> list[object]:
        # If Redis closed the connection meanwhile, the loop finds out now, and a new one is made.
        await asyncio.sleep(0)
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))


async def _greet(connection: AbstractConnection) -> None:
    """Find out at once whether a new connection may ask for anything: what it asks first can be too much."""
    await connection.on_connect()
    await connection.send_command("PING", check_health=False)
    await connection.read_response()


def _is_unknown(reply: object) -> bool:
    """Whether Redis does not know the script: it is new, or was started anew."""
    return isinstance(reply, NoScriptError)


def _address(url: str) -> RedisAddress:
    try:
        address = RedisAddress.parse(url)
    except ValueError as error:
        raise SettingsError(
            f"The address of Redis is none: {error}. Give one such as redis://localhost:6379/0, or "
            "rediss://… for TLS."
        ) from None
    if address.ssl_ca_certs is not None and not Path(address.ssl_ca_certs).is_file():
        raise SettingsError(f"There is no file {address.ssl_ca_certs}, which ssl_ca_certs names.")
    return address
