"""Workflows made of data, so that hypothesis can write them, and the world in which their steps act.

A program is a list of operations, each a list of a word and its arguments. Its outcome does not depend on the
order in which steps that run side by side happen to end: a crash may change that order and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from orchestrator import Context, Retry, progress, step, step_info, workflow
from orchestrator.core.errors import RetryableError, TerminalError
from orchestrator.durable.errors import ChildError, StepError
from orchestrator.durable.runs import EventType

if TYPE_CHECKING:
    from collections.abc import Callable

Program = list[list[Any]]

# A crash may use up an attempt, so there are more of them than any program needs.
RETRY = Retry(attempts=20, backoff=(1.0,))
SIGNALS = ("red", "blue")
OUTCOMES = frozenset({EventType.STEP_COMPLETED, EventType.STEP_FAILED, EventType.STEP_CANCELLED})


class World:
    """What lies outside the engine and survives its crashes. It has the steps.

    ``history`` counts what is durable of an operation of a run, by event type.
    """

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.keys: defaultdict[str, set[str]] = defaultdict(set)
        self.repeated: list[str] = []
        self.hanging = 0
        self.history: Callable[[str, str], Counter[str]] = lambda _run_id, _place: Counter()

    @step
    async def give(self, value: int) -> int:
        """Succeed at once."""
        self._begin()
        return value

    @step
    async def fail(self, value: int) -> int:
        """Fail for good."""
        self._begin()
        raise TerminalError(f"no {value}")

    @step(retry=RETRY)
    async def flicker(self, failures: int, value: int) -> int:
        """Fail until that many failures are known to be recorded, then succeed."""
        if self._begin()[EventType.STEP_RETRYING] < failures:
            raise RetryableError("not yet")
        return value

    @step
    async def hang(self) -> None:
        """Never end by itself."""
        self._begin()
        self.hanging += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1

    @step
    async def tell(self, count: int) -> int:
        """Report progress that often, and succeed."""
        self._begin()
        for number in range(count):
            progress(number)
            await asyncio.sleep(0)
        return count

    def _begin(self) -> Counter[str]:
        info = step_info()
        place = f"{info.run_id} {info.operation}"
        recorded = self.history(info.run_id, info.operation)
        if not OUTCOMES.isdisjoint(recorded):
            self.repeated.append(place)
        self.begun[place] += 1
        self.keys[place].add(info.idempotency_key)
        return recorded


@workflow
async def interpret(ctx: Context, program: Program) -> list[Any]:
    """Do what the program says, and give what came of each operation."""
    return [await _operation(ctx, *operation) for operation in program]


async def _operation(ctx: Context, word: str, *arguments: object) -> object:
    return await _WORDS[word](ctx, *arguments)


async def _give(ctx: Context, value: int) -> object:
    return await ctx.run(World.give, value)


async def _fail(ctx: Context, value: int) -> object:
    try:
        return await ctx.run(World.fail, value)
    except StepError as error:
        return f"{error.type}: {error.message}"


async def _flicker(ctx: Context, failures: int, value: int) -> object:
    return await ctx.run(World.flicker, failures, value)


async def _tell(ctx: Context, count: int) -> object:
    return await ctx.run(World.tell, count)


async def _limit(ctx: Context, seconds: float, failures: int) -> object:
    """A step that needs ``failures`` seconds under a limit."""
    try:
        async with asyncio.timeout(seconds + 0.5):
            return await ctx.run(World.flicker, failures, 0)
    except TimeoutError:
        return "late"


async def _hang(ctx: Context, seconds: float) -> object:
    try:
        async with asyncio.timeout(seconds):
            await ctx.run(World.hang)
    except TimeoutError:
        return "hung"
    return "never"


async def _sleep(ctx: Context, seconds: float) -> object:
    await ctx.sleep(seconds)
    return ctx.now().isoformat()


async def _plain_sleep(ctx: Context, seconds: float) -> object:
    await asyncio.sleep(seconds)
    return ctx.now().isoformat()


async def _receive(ctx: Context, name: str, seconds: float | None) -> object:
    try:
        return await ctx.receive(name, int, timeout=seconds)
    except TimeoutError:
        return "no signal"


async def _publish(ctx: Context, value: int) -> None:
    ctx.publish("said", value)


async def _look(ctx: Context) -> object:
    return [ctx.now().isoformat(), ctx.random.random(), str(ctx.uuid())]


async def _gather(ctx: Context, *branches: Program) -> object:
    return await ctx.gather(*[_sequence(ctx, branch) for branch in branches])


async def _map(ctx: Context, at_once: int, values: list[int]) -> object:
    return await ctx.map(World.give, values, at_once=at_once)


async def _plain_gather(ctx: Context, values: list[int]) -> object:
    return await asyncio.gather(*[ctx.run(World.give, value) for value in values])


async def _group(ctx: Context, values: list[int]) -> object:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ctx.run(World.give, value)) for value in values]
    return [task.result() for task in tasks]


async def _race(ctx: Context, value: int) -> object:
    """The failure of one branch stops the other, which would never end."""

    async def failing() -> None:
        await ctx.run(World.give, value)
        await ctx.run(World.fail, value)

    async def hanging() -> None:
        try:
            await ctx.run(World.hang)
        finally:
            await ctx.run(World.give, value)

    try:
        await ctx.gather(failing(), hanging())
    except StepError as error:
        return error.message
    return "no failure"


async def _tidy(ctx: Context, program: Program, value: int) -> object:
    """Clean up behind a program, whatever becomes of it."""
    try:
        return await _sequence(ctx, program)
    finally:
        await ctx.run(World.give, value)


async def _early(ctx: Context, value: int, seconds: float) -> object:
    """Begin a step, and ask for its outcome only later."""
    step_begun = ctx.run(World.give, value)
    await ctx.sleep(seconds)
    return await step_begun


async def _compensate(ctx: Context, *undo: Any) -> None:  # noqa: ANN401  # a word and its arguments
    """Register a step that succeeds, fails for good, or fails at first."""
    word, *arguments = undo
    ctx.compensate(_UNDOS[word], *arguments)


async def _break(ctx: Context, value: int) -> None:
    """Fail, and the run with it."""
    await ctx.run(World.fail, value)


async def _leave(ctx: Context, value: int) -> None:
    """Leave a step running that nobody waits for, and fail."""
    left = ctx.run(World.hang)
    await ctx.run(World.give, value)
    raise TerminalError(f"left behind {type(left).__name__}")


async def _child(ctx: Context, program: Program) -> object:
    """Have another run do a program."""
    try:
        return await ctx.child(interpret, program)
    except ChildError as error:
        return f"{error.type}: {error.message}"


async def _impatient(ctx: Context, seconds: float) -> object:
    """Begin a child that never ends, and cancel it."""
    try:
        async with asyncio.timeout(seconds):
            return await ctx.child(interpret, [["hang", 864_000.0]])
    except TimeoutError:
        return "no child"


async def _sequence(ctx: Context, program: Program) -> list[Any]:
    return [await _operation(ctx, *operation) for operation in program]


_WORDS: dict[str, Any] = {
    "give": _give,
    "fail": _fail,
    "flicker": _flicker,
    "tell": _tell,
    "limit": _limit,
    "hang": _hang,
    "sleep": _sleep,
    "plain sleep": _plain_sleep,
    "receive": _receive,
    "publish": _publish,
    "look": _look,
    "gather": _gather,
    "map": _map,
    "plain gather": _plain_gather,
    "group": _group,
    "race": _race,
    "tidy": _tidy,
    "early": _early,
    "compensate": _compensate,
    "break": _break,
    "leave": _leave,
    "child": _child,
    "impatient": _impatient,
}
_UNDOS: dict[str, Any] = {"give": World.give, "fail": World.fail, "flicker": World.flicker}

_values = st.integers(0, 9)
_several = st.lists(_values, min_size=1, max_size=3)
_seconds = st.sampled_from([0.0, 0.25, 1.25, 3.0, 86_400.0])

_in_branches = st.one_of(
    st.tuples(st.just("give"), _values),
    st.tuples(st.just("fail"), _values),
    st.tuples(st.just("flicker"), st.integers(0, 2), _values),
    st.tuples(st.just("tell"), st.integers(0, 3)),
    st.tuples(st.just("limit"), st.integers(0, 2), st.integers(0, 3)),
    st.tuples(st.just("hang"), _seconds),
    st.tuples(st.just("sleep"), _seconds),
    st.tuples(st.just("plain sleep"), _seconds),
    st.tuples(st.just("publish"), _values),
    st.tuples(st.just("look")),
    st.tuples(st.just("early"), _values, _seconds),
    st.tuples(st.just("map"), st.integers(1, 2), _several),
)
_child_programs = st.lists(_in_branches.map(list), min_size=1, max_size=2)
_in_branches = st.one_of(
    _in_branches,
    st.tuples(st.just("child"), _child_programs),
    st.tuples(st.just("child"), _child_programs.map(lambda program: [*program, ["break", 1]])),
    st.tuples(st.just("impatient"), _seconds),
)
_branch = st.lists(_in_branches.map(list), min_size=1, max_size=3)
_compensation = st.one_of(
    st.tuples(st.just("compensate"), st.just("give"), _values),
    st.tuples(st.just("compensate"), st.just("fail"), _values),
    st.tuples(st.just("compensate"), st.just("flicker"), st.integers(0, 2), _values),
)
# What branches register after a wait is in the order of their outcomes, which a crash may change.
_registering = st.builds(lambda undo, branch: [list(undo), *branch], _compensation, _branch)
_outside = st.one_of(
    _in_branches,
    _compensation,
    st.tuples(st.just("gather"), _registering, _registering),
    st.tuples(st.just("receive"), st.sampled_from(SIGNALS), st.none() | st.just(7.0)),
    st.tuples(st.just("gather"), _branch, _branch),
    st.tuples(st.just("plain gather"), _several),
    st.tuples(st.just("group"), _several),
    st.tuples(st.just("race"), _values),
    st.tuples(st.just("tidy"), _branch, _values),
).map(list)

_ends: list[Program] = [[], [], [["break", 1]], [["leave", 2]]]
programs = st.builds(
    lambda operations, end: [*operations, *end],
    st.lists(_outside, min_size=1, max_size=5),
    st.sampled_from(_ends),
)
"""Programs of up to five operations, some of them with branches; some fail in the end."""

_inputs = st.one_of(
    st.just(["tick"]), st.tuples(st.just("signal"), st.sampled_from(SIGNALS), _values).map(list)
)
scripts = st.builds(
    lambda before, end: [*before, *end],
    st.lists(_inputs, max_size=4),
    st.sampled_from([[], [], [["cancel"]], [["force", 0.0]], [["force", 2.1]]]),
)
"""What happens to a run from outside, one thing whenever it waits: time passes, signals, perhaps a cancel.

A force is a cancel that ends the run so many seconds later.
"""
