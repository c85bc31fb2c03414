"""Crashing everywhere: sound workflows pass, and each kind of mistake is found and shown."""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Never

import pytest

from orchestrator import Context, Retry, StepError, progress, step, step_info, workflow
from orchestrator.agents.model import Prompt
from orchestrator.core.errors import RateLimitedError, RetryableError, TerminalError
from orchestrator.durable.attempt import StepInfo
from orchestrator.durable.embedded.mailbox import Mailbox
from orchestrator.durable.embedded.replay import Replay
from orchestrator.durable.runs import EventType, Status
from orchestrator.testing import ScriptedModel, Signal, crash_everywhere, forever

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.agents.model import Model


class Bank:
    """The world outside: it survives crashes, and knows each transfer by its key."""

    def __init__(self) -> None:
        self.transfers: dict[str, int] = {}
        self.notes: list[str] = []

    def transfer(self, amount: int, key: str) -> int:
        """Move money, once for each key; give the number of the transfer."""
        self.transfers.setdefault(key, amount)
        return list(self.transfers).index(key) + 1


class Payments:
    """Steps with a bank."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    @step
    async def pay(self, amount: int) -> int:
        """Pay once, whatever happens."""
        return self._bank.transfer(amount, step_info().idempotency_key)

    @step
    async def pay_carelessly(self, amount: int) -> str:
        """Pay as often as called."""
        self._bank.notes.append(f"paid {amount}")
        return "paid"

    @step
    def count(self, amount: int) -> int:
        """Pay as often as called, and tell how often that was; in a thread."""
        self._bank.notes.append(f"paid {amount}")
        return len(self._bank.notes)

    @step(retry=Retry(attempts=5, backoff=(60.0,)))
    async def flaky(self, amount: int) -> int:
        """Fail twice."""
        if step_info().attempt < 3:
            raise RetryableError("not yet")
        return amount

    @step
    async def refuse(self, amount: int) -> int:
        """Never pay."""
        raise TerminalError(f"no {amount} today", code="poor")

    @step
    async def hang(self) -> Never:
        """Never answer."""
        await forever()

    @step
    async def tell(self, words: str) -> str:
        """Stream words."""
        for word in words.split():
            progress(word)
            await asyncio.sleep(0)
        return words


def payments(bank: Bank) -> list[object]:
    """What a process makes."""
    return [Payments(bank)]


@workflow
async def everything(ctx: Context, amount: int) -> list[Any]:
    """One of each kind of operation."""
    ctx.publish("begun", amount)
    first = await ctx.run(Payments.pay, amount)
    await ctx.sleep(timedelta(days=30))
    both = await ctx.gather(_branch(ctx, 2), _branch(ctx, 3))
    each = await ctx.map(Payments.pay, [4, 5, 6], at_once=2)
    flaky = await ctx.run(Payments.flaky, 7)
    said = await ctx.run(Payments.tell, "once upon a time")
    approved = await ctx.receive("approve", bool)
    try:
        async with asyncio.timeout(60):
            await ctx.run(Payments.hang)
    except TimeoutError:
        ctx.publish("gave up")
    try:
        await ctx.run(Payments.refuse, 8)
    except StepError as error:
        ctx.publish("refused", error.message)
    comment = await ctx.receive("comment", str)
    return [first, both, sorted(each), flaky, said, approved, comment, ctx.random.random(), str(ctx.uuid())]


async def _branch(ctx: Context, amount: int) -> int:
    ctx.publish("branch", amount)
    paid = await ctx.run(Payments.refuse, amount) if amount > 10 else await ctx.run(Payments.flaky, amount)
    ctx.publish("branch paid", paid)
    return paid


async def test_a_sound_workflow_of_everything_passes() -> None:
    """Sleeps, branches, retries, signals, timeouts, failures, events: no crash makes a difference."""
    report = await crash_everywhere(
        everything,
        1,
        world=Bank,
        steps=payments,
        effects=lambda bank: sorted(bank.transfers.values()),
        signals=[Signal("comment", "fine", after=timedelta(days=40)), Signal("approve", data=True)],
    )
    assert report.status is Status.COMPLETED
    assert report.result is not None
    assert report.result[:7] == [1, [2, 3], [2, 3, 4], 7, "once upon a time", True, "fine"]
    assert report.points > 60
    assert report.crashes > 0.9 * min(report.points, 200)


@workflow
async def shop(ctx: Context, amount: int) -> str:
    """Pay, and say so."""
    receipt = await ctx.run(Payments.pay, amount)
    ctx.publish("paid", receipt)
    return f"receipt {receipt}"


@step
async def shout(words: str) -> str:
    """A step that needs nothing."""
    return words.upper()


@workflow
async def shouting(ctx: Context) -> str:
    """A workflow without input."""
    return await ctx.run(shout, "tides")


async def test_functions_and_workflows_without_input() -> None:
    """The smallest test there is; the report has the workflow's result."""
    report = await crash_everywhere(shouting, steps=[shout])
    assert report.result == "TIDES"
    assert report.crashes == report.points > 4


async def test_no_more_crashes_than_asked_for(tmp_path: Path) -> None:
    """A limit bounds the time that a test takes; each life leaves its journal where the test wants it."""
    report = await crash_everywhere(
        everything,
        1,
        world=Bank,
        steps=payments,
        signals=[Signal("approve", data=True), Signal("comment", "fine")],
        at_most=5,
        folder=tmp_path,
    )
    assert report.crashes <= 5 < report.points
    assert len(list(tmp_path.glob("crashes-*/crash-*.db"))) == 5


@workflow
async def refused(ctx: Context, amount: int) -> int:
    """Fail with what the step failed with."""
    await ctx.run(Payments.pay, amount)
    return await ctx.run(Payments.refuse, amount)


async def test_a_workflow_may_fail_as_long_as_it_always_does() -> None:
    """The same failure after each crash is what is asked for."""
    report = await crash_everywhere(refused, 3, world=Bank, steps=payments, fails=True)
    assert (report.status, report.result) == (Status.FAILED, None)


async def test_a_failure_is_a_mistake_unless_it_was_announced() -> None:
    """A test does not pass because its workflow fails early, nor where a failure that it is about is gone."""
    with pytest.raises(AssertionError, match=r"failed \(TerminalError: no 3 today\).*fails=True"):
        await crash_everywhere(refused, 3, world=Bank, steps=payments)
    with pytest.raises(AssertionError, match=r"completed, and should fail"):
        await crash_everywhere(shop, 3, world=Bank, steps=payments, fails=True)


@workflow
async def rent(ctx: Context) -> None:
    """Clean up after a cancel."""
    await ctx.run(Payments.pay, 1)
    try:
        await ctx.sleep(timedelta(days=365))
    finally:
        await ctx.run(Payments.pay, 2)


async def test_a_cancel_comes_when_it_is_due() -> None:
    """A workflow that cleans up does so through every crash."""
    report = await crash_everywhere(
        rent,
        world=Bank,
        steps=payments,
        cancel_after=timedelta(days=7),
        effects=lambda bank: list(bank.transfers.values()),
    )
    assert report.status is Status.CANCELLED


@workflow
async def child(ctx: Context, amount: int) -> int:
    """Pay, and wait."""
    paid = await ctx.run(Payments.pay, amount)
    await ctx.sleep(60)
    ctx.publish("paid", paid)
    return paid


@workflow
async def parent(ctx: Context) -> tuple[int, int]:
    """Have two others pay."""
    return await ctx.gather(ctx.child(child, 1, id="one"), ctx.child(child, 2, id="two"))


async def test_workflows_that_start_others() -> None:
    """Children are run and compared with their parent."""
    report = await crash_everywhere(parent, workflows=[child], world=Bank, steps=payments, at_most=40)
    assert report.result == (1, 2)


@workflow
async def rounds(ctx: Context, number: int) -> int:
    """Pay three times, each in a history of its own."""
    await ctx.run(Payments.pay, number)
    if number < 3:
        ctx.continue_as(number + 1)
    return number


async def test_workflows_that_begin_anew() -> None:
    """A run that goes on under the same id, with another input, is found again after each crash."""
    report = await crash_everywhere(
        rounds, 1, world=Bank, steps=payments, effects=lambda bank: list(bank.transfers.values())
    )
    assert report.result == 3


@workflow
async def trip(ctx: Context) -> None:
    """Pay, find that it was in vain, and pay back."""
    ctx.compensate(Payments.pay, -1)
    await ctx.run(Payments.pay, 1)
    await ctx.run(Payments.refuse, 2)


async def test_what_is_undone_is_undone_once() -> None:
    """Compensations are steps like any other."""
    report = await crash_everywhere(
        trip, world=Bank, steps=payments, fails=True, effects=lambda bank: list(bank.transfers.values())
    )
    assert report.crashes > 10


@step
async def fill(size: int) -> str:
    """Give much."""
    return "x" * size


@workflow
async def filling(ctx: Context) -> int:
    """Handle values that are too large for a row."""
    text = await ctx.run(fill, 300_000)
    shouted = await ctx.run(shout, text)
    return len(shouted)


async def test_large_values_survive_too() -> None:
    """What is kept beside the journal is compared like everything else."""
    report = await crash_everywhere(filling, steps=[fill, shout])
    assert report.result == 300_000


@workflow
async def overfilling(ctx: Context) -> str:
    """Hand on a large value that a replay finds changed."""
    Process.turns += 1
    return await ctx.run(shout, "x" * 300_000 + str(Process.turns))


async def test_a_large_difference_stays_readable() -> None:
    """A message shows the beginning of a large value, and its digest to tell it from another one."""
    with pytest.raises(AssertionError, match=r"characters, sha256 \w+…\)") as caught:
        await crash_everywhere(overfilling, world=fresh, steps=lambda _: [shout])
    assert len(str(caught.value)) < 5_000


class Writer:
    """A step that asks a model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @step(retry=Retry(attempts=5))
    async def write(self, topic: str) -> str:
        """One question, with the step's key."""
        prompt = Prompt("You write lessons.", topic, step_info().idempotency_key)
        return (await self._model.stream(prompt, progress)).value


@workflow
async def lesson(ctx: Context) -> list[str]:
    """Three questions, one after the other."""
    return [await ctx.run(Writer.write, topic) for topic in ("moon", "sea", "tide")]


async def test_a_scripted_model_lives_through_crashes() -> None:
    """It answers the same to a question that is asked again, so its script is the same for every life."""
    report = await crash_everywhere(
        lesson,
        world=lambda: ScriptedModel("The moon.", RateLimitedError(retry_after=60), "The sea.", "The tide."),
        steps=lambda model: [Writer(model)],
    )
    assert report.result == ["The moon.", "The sea.", "The tide."]


# What is wrong in workflows and steps, and how it is told.


@workflow
async def careless(ctx: Context, amount: int) -> str:
    """Use a step that is not idempotent."""
    return await ctx.run(Payments.pay_carelessly, amount)


async def test_a_step_that_is_not_idempotent_is_found_by_its_effects() -> None:
    """Something was done twice outside; the message has the place of the crash and a diff."""
    with pytest.raises(AssertionError) as caught:
        await crash_everywhere(careless, 5, world=Bank, steps=payments, effects=lambda bank: bank.notes)
    message = str(caught.value)
    assert "makes a difference to <workflow careless>" in message
    assert "The power was cut before write 2 began; last on the disk was: run-started." in message
    assert "--- undisturbed\n+++ after the crash\n" in message
    assert '-effects: ["paid 5"]\n+effects: ["paid 5", "paid 5"]' in message


@workflow
async def counted(ctx: Context, amount: int) -> int:
    """Use a step whose result tells that it is not idempotent."""
    return await ctx.run(Payments.count, amount)


async def test_a_step_that_is_not_idempotent_is_found_by_its_result() -> None:
    """Its result is another one, and with it that of the run."""
    with pytest.raises(AssertionError) as caught:
        await crash_everywhere(counted, 5, world=Bank, steps=payments)
    message = str(caught.value)
    assert "-run crashed: completed: 1" in message
    assert "+run crashed: completed: 2" in message
    assert '-step 1 Payments.count {"amount":5} completed: 1' in message


class Forgetful:
    """A process that keeps what it should hand on."""

    def __init__(self) -> None:
        self.page = "nothing"

    @step
    async def fetch(self) -> None:
        """Keep a page."""
        self.page = "tides"

    @step
    async def show(self) -> str:
        """Give the page that was kept."""
        return self.page


@workflow
async def forgetting(ctx: Context) -> str:
    """Rely on what one step left to the other."""
    await ctx.run(Forgetful.fetch)
    return await ctx.run(Forgetful.show)


async def test_what_steps_keep_in_their_process_is_lost() -> None:
    """A step that relies on what another one left in memory finds nothing after a crash between them."""
    with pytest.raises(AssertionError, match=r'\+run crashed: completed: "nothing"') as caught:
        await crash_everywhere(forgetting, steps=lambda: [Forgetful()])
    assert "step-completed 1 Forgetful.fetch" in str(caught.value)


COUNTER = itertools.count()


@workflow
async def globally(ctx: Context) -> int:
    """Use a global counter."""
    await ctx.run(shout, "once")
    return next(COUNTER)


async def test_a_global_counter_is_found_without_any_crash() -> None:
    """Two runs in peace are not the same, so there is nothing to compare with; the diff shows why."""
    with pytest.raises(AssertionError, match=r"two undisturbed runs of <workflow globally> differ") as caught:
        await crash_everywhere(globally, steps=[shout])
    assert "-run crashed: completed: 0\n+run crashed: completed: 1" in str(caught.value)


# Real randomness, which nobody who reads the workflow's code would find.
DICE = iter(random.SystemRandom().random, None)


@workflow
async def dicing(ctx: Context) -> int:
    """Use real randomness."""
    await ctx.run(shout, str(next(DICE)))
    return 0


async def test_real_randomness_is_found_without_any_crash() -> None:
    """Also where it only shows in what a step is called with."""
    with pytest.raises(AssertionError, match="two undisturbed runs of <workflow dicing> differ") as caught:
        await crash_everywhere(dicing, steps=[shout])
    assert '-step 1 shout {"words":"' in str(caught.value)


class Process:
    """Memory that workflow code must not use; each life begins with it empty."""

    turns = 0


def fresh() -> Bank:
    """A bank, in a world where no code has run."""
    Process.turns = 0
    return Bank()


@step
async def touch(number: int) -> int:
    """Change what the workflow should not look at."""
    Process.turns += 1
    return 0


@workflow
async def remembering(ctx: Context) -> int:
    """Call a step with memory that a replay finds changed."""
    return await ctx.run(touch, Process.turns)


async def test_other_arguments_after_a_crash_are_found() -> None:
    """A step that begins again has the arguments it had, or one idempotency key stands for two calls."""
    with pytest.raises(AssertionError) as caught:
        await crash_everywhere(remembering, world=fresh, steps=lambda _: [touch])
    assert (
        '- step touch (1 of run crashed) was called with {"number":0} before the crash and with '
        '{"number":1} after it'
    ) in str(caught.value)


@workflow
async def branching(ctx: Context) -> str:
    """Ask for another step once memory has changed."""
    if Process.turns:
        return await ctx.run(shout, "1")
    number = await ctx.run(touch, 0)
    return f"touched {number}"


async def test_another_step_after_a_crash_is_found() -> None:
    """What began in one place must not turn into something else."""
    with pytest.raises(
        AssertionError, match=r"step touch \(1 of .*\) began before the crash, and step shout"
    ):
        await crash_everywhere(branching, world=fresh, steps=lambda _: [touch, shout])


@workflow
async def changing(ctx: Context) -> str:
    """Ask for another first step once the second has run."""
    words = "1" if Process.turns == 0 else await ctx.run(Payments.tell, "1")
    await ctx.run(shout, words)
    number = await ctx.run(touch, 0)
    return f"touched {number}"


async def test_a_workflow_that_does_not_replay_is_found() -> None:
    """It becomes stuck, and the message says over what."""
    with pytest.raises(AssertionError, match=r"\+run crashed: stuck \(.*1:shout.*asks for 1:Payments.tell"):
        await crash_everywhere(changing, world=fresh, steps=lambda bank: [touch, shout, Payments(bank)])


@workflow
async def chatty(ctx: Context) -> None:
    """Publish what a replay does not know."""
    Process.turns += 1
    await ctx.run(Payments.pay, 1)
    ctx.publish("turns", Process.turns)


async def test_other_events_after_a_crash_are_found() -> None:
    """Watchers would see something else."""
    with pytest.raises(AssertionError, match=r"-published 2 turns: 1\n\+published 2 turns: 2"):
        await crash_everywhere(chatty, world=fresh, steps=payments)


@workflow
async def failing(ctx: Context) -> None:
    """Fail with what a replay does not know."""
    Process.turns += 1
    await ctx.run(Payments.pay, 1)
    raise TerminalError(f"failed in turn {Process.turns}")


async def test_another_failure_after_a_crash_is_found() -> None:
    """A failed run has failed with the same error."""
    with pytest.raises(AssertionError, match=r"\+run crashed: failed \(TerminalError: failed in turn 2\)"):
        await crash_everywhere(failing, world=fresh, steps=payments, fails=True)


async def test_an_idempotency_key_that_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that breaks this promise does not pass, here not even in peace."""

    def changing_key(**facts: Any) -> StepInfo:  # noqa: ANN401  # as StepInfo takes them
        return StepInfo(**{**facts, "idempotency_key": f"{facts['idempotency_key']}/{facts['attempt']}"})

    monkeypatch.setattr("orchestrator.durable.embedded.runner.StepInfo", changing_key)
    with pytest.raises(AssertionError, match=r"had the idempotency key '.*/1' first and '.*/2' in attempt 2"):
        await crash_everywhere(patient, world=Bank, steps=payments)


@workflow
async def patient(ctx: Context) -> int:
    """Use a step that needs three attempts."""
    return await ctx.run(Payments.flaky, 1)


async def test_an_engine_that_forgets_an_outcome_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that runs a step again whose outcome was recorded."""
    deliver = Replay.deliver

    def forgetful(self: Replay) -> None:
        ends = {EventType.STEP_COMPLETED}
        self._recorded = [entry for entry in self._recorded if entry.type not in ends]
        deliver(self)

    monkeypatch.setattr(Replay, "deliver", forgetful)
    with pytest.raises(AssertionError, match="ran again after its outcome was recorded"):
        await crash_everywhere(lesson_of_two, steps=[shout])


@workflow
async def lesson_of_two(ctx: Context) -> str:
    """Two steps, so that a crash can come between them."""
    return await ctx.run(shout, "a") + await ctx.run(shout, "b")


@workflow
async def asking_twice(ctx: Context) -> list[str]:
    """Take two answers."""
    ctx.publish("asked")
    first = await ctx.receive("answer", str)
    return [first, await ctx.receive("answer", str)]


async def test_an_engine_that_takes_a_signal_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that never heard back sends again, and must be known by the signal's id."""
    signals = [Signal("answer", "yes"), Signal("answer", "no")]
    assert (await crash_everywhere(asking_twice, signals=signals)).result == ["yes", "no"]
    monkeypatch.setattr(Mailbox, "knows", lambda _self, _signal_id: False)
    with pytest.raises(AssertionError, match=r'\+signal answer: "yes"\n'):
        await crash_everywhere(asking_twice, signals=signals)


async def test_an_engine_that_publishes_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published before the crash is not published again by the replay."""
    publish = Replay.publish

    def forgetful(self: Replay, key: str, data: bytes) -> None:
        publish(self, key, data)
        self.unsaid[key] = data

    monkeypatch.setattr(Replay, "publish", forgetful)
    with pytest.raises(AssertionError, match=r"\n\+published 1 asked\n published 1 asked\n"):
        await crash_everywhere(asking_twice, signals=[Signal("answer", "yes"), Signal("answer", "no")])


# What is wrong in the test itself.


@workflow
async def asking(ctx: Context) -> str:
    """Wait for a signal."""
    return await ctx.receive("answer", str)


async def test_a_signal_that_is_missing_is_asked_for() -> None:
    """A run that waits for ever says what the test should have given it."""
    with pytest.raises(
        AssertionError, match=r"<workflow asking> waits for a signal that nobody sends.*signals="
    ):
        await crash_everywhere(asking)


async def test_a_signal_that_comes_too_late_is_named() -> None:
    """A test that scripts what never happens is told so."""
    signals = [Signal("answer", "yes"), Signal("thanks", after=60)]
    too_late = r"ended \(completed\) before the signal 'thanks' was due, which comes 0:01:00 after the start"
    with pytest.raises(AssertionError, match=too_late):
        await crash_everywhere(asking, signals=signals)


@workflow
async def endless(ctx: Context) -> None:
    """Never end."""
    while True:
        await ctx.sleep(1)


async def test_a_workflow_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """After very many waits the message says how to test it."""
    monkeypatch.setattr("orchestrator.testing.life.MOST_WAITS", 20)
    with pytest.raises(AssertionError, match=r"has waited 20 times and not ended.*cancel_after"):
        await crash_everywhere(endless)


async def test_what_is_no_step_is_refused() -> None:
    """The engine's own words say what may be given."""
    with pytest.raises(TypeError, match="give step functions"):
        await crash_everywhere(shouting, steps=[object()])


async def test_a_step_that_was_not_given_is_named() -> None:
    """The undisturbed run fails already, and says which step is missing."""
    with pytest.raises(AssertionError, match="no step 'shout' was given"):
        await crash_everywhere(shouting)
