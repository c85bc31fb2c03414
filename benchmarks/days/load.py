"""The load, as a process of its own: calls are due at moments fixed beforehand, whatever the service does.

Reads one order per line (`Order` as JSON) and answers each with one line (`Outcome` as JSON). Learners keep
what they know from one order to the next.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import uvloop
from pydantic import BaseModel

from benchmarks.days.learners import DAY_RUN, FLOW, Learner, Signals, WrongAnswerError
from benchmarks.days.wire import Connections
from benchmarks.figures import Spread, spread
from benchmarks.streams.limits import allow_many_sockets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PERIOD_S = 3.0  # each learner makes one call in it
AT_ONCE = 16  # where calls follow each other instead of a schedule
ANSWER_LIMIT_S = 20.0  # above the 12 s that a plan may take: a call that takes longer has failed
SHARE_S = 0.002  # below what a timer of the operating system is exact to


class Order(BaseModel):
    """What is to be done by the first `learners`: prepare, live for `seconds`, or repeat their last day."""

    kind: Literal["prepare", "live", "repeat"]
    learners: int
    warm_up_s: float = 0.0
    seconds: float = 0.0


class Outcome(BaseModel):
    """What came of it. Times in ms, by the name of the call, from the moment at which the call was due."""

    took_ms: dict[str, Spread]
    sent_late_ms: Spread | None
    calls: int
    failures: dict[str, int]
    hits: int
    misses: int
    missing: int
    degraded_plans: int
    seconds: float


class Load:
    """All learners and their connections to one service."""

    def __init__(self, port: int) -> None:
        self._connections = Connections(port)
        self._learners: list[Learner] = []
        self._prepared = 0
        self._forget()

    async def done(self, order: Order) -> Outcome:
        """Do what is ordered."""
        while len(self._learners) < order.learners:
            self._learners.append(Learner(len(self._learners)))
        self._forget()
        began = time.perf_counter()
        if order.kind == "live":
            await self._live(order)
        elif order.kind == "repeat":
            await self._in_turn(self._learners[: order.learners], self._repeated)
        else:
            await self._in_turn(self._learners[self._prepared : order.learners], self._made_ready)
            self._prepared = max(self._prepared, order.learners)
        return self._outcome(time.perf_counter() - began)

    def _forget(self) -> None:
        self._took_ms: dict[str, list[float]] = {name: [] for name in FLOW}
        self._late_ms: list[float] = []
        self._failures: Counter[str] = Counter()
        self._signals = Signals()
        self._calls = 0

    async def _live(self, order: Order) -> None:
        """Each learner calls once a period, at a moment of its own, through warm-up and measurement."""
        rng = random.Random(order.learners)  # noqa: S311 - the same moments in every run
        phases = sorted((rng.uniform(0, PERIOD_S), learner) for learner in range(order.learners))
        loop, calls = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        start, passed_s = loop.time() + 0.1, 0.0
        while passed_s < order.warm_up_s + order.seconds:
            is_counted = passed_s >= order.warm_up_s
            for phase, number in phases:
                due = start + passed_s + phase
                if (wait_s := due - loop.time()) > SHARE_S:
                    await asyncio.sleep(wait_s)
                call = asyncio.create_task(self._due_call(self._learners[number], due, is_counted=is_counted))
                calls.add(call)
                call.add_done_callback(calls.discard)
            passed_s += PERIOD_S
        await asyncio.gather(*calls)

    async def _due_call(self, learner: Learner, due: float, *, is_counted: bool) -> None:
        loop = asyncio.get_running_loop()
        late_ms = (loop.time() - due) * 1000
        signals = self._signals if is_counted else Signals()
        name = await self._tried(learner.go_on(self._connections, signals))
        if is_counted:
            self._late_ms.append(late_ms)
        if is_counted and name:
            self._took_ms[name].append((loop.time() - due) * 1000)

    async def _made_ready(self, learner: Learner) -> None:
        await self._tried(learner.prepare(self._connections))

    async def _repeated(self, learner: Learner) -> None:
        began = time.perf_counter()
        await self._tried(learner.repeat(self._connections, self._signals))
        self._took_ms[DAY_RUN].append((time.perf_counter() - began) * 1000)

    async def _in_turn(self, learners: list[Learner], act: Callable[[Learner], Awaitable[None]]) -> None:
        waiting = iter(learners)

        async def one_after_the_other() -> None:
            for learner in waiting:
                await act(learner)

        await asyncio.gather(*[one_after_the_other() for _ in range(AT_ONCE)])

    async def _tried(self, call: Awaitable[str | None]) -> str | None:
        """What the call gives; a failure is counted by what it says, in the warm-up too."""
        self._calls += 1
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return await call
        except TimeoutError:
            self._failures[f"no answer within {ANSWER_LIMIT_S:.0f} s"] += 1
        except (OSError, WrongAnswerError) as error:
            self._failures[str(error) or repr(error)] += 1
        return None

    def _outcome(self, seconds: float) -> Outcome:
        spreads = {name: spread(took_ms) for name, took_ms in self._took_ms.items()}
        return Outcome(
            took_ms={name: each for name, each in spreads.items() if each},
            sent_late_ms=spread(self._late_ms),
            calls=self._calls,
            failures=self._failures,
            seconds=seconds,
            **asdict(self._signals),
        )


async def obey(port: int) -> None:
    """Do one order after the other until there are no more."""
    load = Load(port)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print((await load.done(Order.model_validate_json(line))).model_dump_json(), flush=True)


def main() -> None:
    """Take orders for the service on the given port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    allow_many_sockets()
    uvloop.run(obey(parser.parse_args().port))


if __name__ == "__main__":
    main()
