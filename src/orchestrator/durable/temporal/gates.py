"""Gates: workflows that let so many runs begin at once as the limits of their workflows say."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from base64 import b64decode, b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json
from temporalio import workflow as temporal
from temporalio.common import RawValue  # noqa: TC002  # Temporal reads annotations
from temporalio.exceptions import FailureError

from orchestrator.durable.names import RESERVED
from orchestrator.durable.payloads import to_json
from orchestrator.durable.slots import Slots
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.places import GATE, Place
from orchestrator.durable.temporal.reserved import ERRAND_RETRY
from orchestrator.durable.temporal.unreadable import data_of

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.limits import Slot

# What a gate is told and asked, and what it tells a run.
ASK: Final = f"{RESERVED}ask"
REASON: Final = f"{RESERVED}reason"
ADMITTED: Final = f"{RESERVED}admitted"
# The activity that waits for the ends of runs.
WATCH: Final = f"{RESERVED}watch"

# One watch lasts no longer than this, as it takes room among all that a worker does.
LONGEST_WATCH: Final = timedelta(minutes=10)
WATCHER_LOST: Final = timedelta(seconds=5)
# Where nobody waits, it is enough to know now and then who has ended: at first, and in the end.
FIRST_LOOK: Final = timedelta(minutes=1)
LAST_LOOK: Final = timedelta(hours=1)
# Of those who wait a gate tells so many to its next history, as a server takes no more; others ask again.
MOST_REMEMBERED: Final = 20_000
# A look takes no longer than this.
LOOK: Final = timedelta(seconds=1)


class Request(BaseModel):
    """A run that needs places: its id, the server's id of its first history, and its priority."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    history: str
    priority: int
    takes: tuple[Place, ...]


class Register(BaseModel):
    """Who holds places and who waits, each in the order of arrival: what a gate's history tells the next."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holding: tuple[Request, ...] = ()
    waiting: tuple[Request, ...] = ()

    @classmethod
    def of(cls, value: RawValue) -> Self:
        """What was carried."""
        packed: str = from_json(data_of(value))
        return cls.model_validate_json(zlib.decompress(b64decode(packed)))

    @property
    def data(self) -> RawValue:
        """To be carried; packed, since there may be many."""
        packed = zlib.compress(self.model_dump_json().encode())
        return carried(to_json(b64encode(packed).decode(), "the register of a gate"))


NOBODY: Final = Register()


async def ask(client: Client, gate: str, task_queue: str, request: Request) -> None:
    """Have a gate, which may begin with this, know that a run needs places; asking again changes nothing."""
    await client.start_workflow(
        GATE,
        NOBODY.data,
        id=gate,
        task_queue=task_queue,
        start_signal=ASK,
        start_signal_args=[carried(request.model_dump_json().encode())],
    )


@temporal.defn(name=GATE, sandboxed=False)
class Gate:
    """Counts the runs that hold places of some limits, and admits others in their turn as those end.

    It sees by itself which have ended, however they did: while others wait, at once, otherwise now and then.
    It ends when there is nobody.
    """

    @temporal.init
    def __init__(self, register: RawValue) -> None:
        self._at_once: dict[str, int] = {}
        self._slots = Slots(self._at_once)
        self._requests: dict[int, Request] = {}
        self._numbers: dict[str, int] = {}
        self._last = 0
        self._admitting: set[asyncio.Task[None]] = set()
        before = Register.of(register)
        for request in before.holding:
            self._slots.hold(self._number(request), _slots(request))
        for request in before.waiting:
            self._slots.enqueue(self._number(request), request.priority, _slots(request))

    @temporal.run
    async def run(self, _register: RawValue) -> None:
        """Admit and watch, until there is nobody."""
        pause = FIRST_LOOK
        while self._requests:
            if self._is_long():
                await self._begin_anew()
            if self._slots.are_wanted:
                pause = FIRST_LOOK
                await self._watch(LONGEST_WATCH)
            elif await self._is_quiet(pause):
                pause = min(2 * pause, LAST_LOOK)
                await self._watch(LOOK)

    @temporal.signal(name=ASK)
    def ask(self, data: RawValue) -> None:
        """Give a run its places, now or in its turn."""
        request = Request.model_validate_json(data_of(data))
        if request.history in self._numbers:
            return
        number = self._number(request)
        if self._slots.take(number, _slots(request)):
            self._admit(number, waited=False)
        else:
            self._slots.enqueue(number, request.priority, _slots(request))

    @temporal.query(name=REASON)
    def reason(self, history: str) -> str | None:
        """What a run waits for, in words; empty if it has its places, None if it is not known here."""
        number = self._numbers.get(history)
        if number is None:
            return None
        return self._slots.reason(_slots(self._requests[number])) if self._slots.waits(number) else ""

    def _number(self, request: Request) -> int:
        self._last += 1
        self._requests[self._last] = request
        self._numbers[request.history] = self._last
        self._at_once.update({place.limit: place.at_once for place in request.takes})
        return self._last

    def _admit(self, number: int, *, waited: bool) -> None:
        admitting = asyncio.create_task(self._tell(number, waited=waited))
        self._admitting.add(admitting)
        admitting.add_done_callback(self._admitting.discard)

    async def _tell(self, number: int, *, waited: bool) -> None:
        request = self._requests[number]
        run = temporal.get_external_workflow_handle(request.run_id, run_id=request.history)
        try:
            await run.signal(ADMITTED, args=[waited, request.history])
        except FailureError:  # it has ended
            self._release(number)

    def _release(self, number: int) -> None:
        """Take back what an ended run holds, and admit those who fit now."""
        request = self._requests.pop(number, None)
        if request is None:
            return
        del self._numbers[request.history]
        self._slots.release(number)
        while (admitted := self._slots.next()) is not None:
            self._admit(admitted, waited=True)

    async def _watch(self, longest: timedelta) -> None:
        """Until a run that is in the way has ended, others are, or time is up."""
        watched = self._in_the_way()
        runs = [[self._requests[number].run_id, self._requests[number].history] for number in watched]
        watching = temporal.start_activity(
            WATCH,
            args=[runs, longest.total_seconds()],
            result_type=list[str],
            start_to_close_timeout=2 * longest + WATCHER_LOST,
            heartbeat_timeout=WATCHER_LOST,
            retry_policy=ERRAND_RETRY,
        )
        await temporal.wait_condition(
            lambda: watching.done() or self._in_the_way() != watched or self._is_long()
        )
        if not watching.done():
            watching.cancel()
        with contextlib.suppress(FailureError):  # it was cancelled
            for history in await watching:
                self._release(self._numbers.get(history, 0))

    def _in_the_way(self) -> list[int]:
        """Those whose end is to be seen: whom others may wait for, or where nobody waits, all."""
        return sorted(self._slots.in_the_way() if self._slots.are_wanted else self._requests)

    async def _is_quiet(self, pause: timedelta) -> bool:
        """Whether so much time passes without somebody who waits."""
        try:
            await temporal.wait_condition(
                lambda: self._slots.are_wanted or not self._requests or self._is_long(), timeout=pause
            )
        except TimeoutError:
            return True
        return False

    def _is_long(self) -> bool:
        return temporal.info().is_continue_as_new_suggested()

    async def _begin_anew(self) -> None:
        """Go on with a history that is short again."""
        await temporal.wait_condition(lambda: not self._admitting)
        holding = [request for number, request in self._requests.items() if not self._slots.waits(number)]
        waiting = [request for number, request in self._requests.items() if self._slots.waits(number)]
        register = Register(holding=tuple(holding), waiting=tuple(waiting[:MOST_REMEMBERED]))
        temporal.continue_as_new(register.data)


def _slots(request: Request) -> tuple[Slot, ...]:
    return tuple(place.slot for place in request.takes)
