"""Workflow functions as Temporal workflow types."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence  # noqa: TC003  # Temporal reads annotations
from typing import TYPE_CHECKING, Any, NoReturn

from temporalio import workflow as temporal
from temporalio.common import RawValue  # noqa: TC002  # Temporal reads annotations

from orchestrator.durable.context import Context
from orchestrator.durable.errors import ContinueAs, Failure, Misfit
from orchestrator.durable.guard import refuse_io_on
from orchestrator.durable.outcomes import is_cancelled
from orchestrator.durable.payloads import PayloadError, to_json
from orchestrator.durable.temporal.beginnings import PLAIN_BEGINNING, Beginning, arguments
from orchestrator.durable.temporal.failures import recorded_error
from orchestrator.durable.temporal.going_on import GoingOn
from orchestrator.durable.temporal.life import Life
from orchestrator.durable.temporal.machine import TemporalMachine
from orchestrator.durable.temporal.payloads import carried
from orchestrator.durable.temporal.signals import signal_of
from orchestrator.durable.temporal.terms import USUAL_TERMS
from orchestrator.durable.temporal.unreadable import check_readable, data_of, is_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from orchestrator.durable.temporal.terms import Terms
    from orchestrator.durable.workflows import Workflow

    Observer = Callable[[TemporalMachine], object]


def workflow_type(
    definition: Workflow[Any, Any],
    terms: Terms = USUAL_TERMS,
    observe: Observer = lambda _: None,
) -> type:
    """The Temporal workflow type that runs a workflow function; ``observe`` is shown each run's machine."""

    class Run:
        @temporal.init
        def __init__(self, data: RawValue, beginning: RawValue) -> None:  # noqa: ARG002  # as run takes
            # Where it cannot be read now, `run` says so: Temporal takes no error here.
            is_away = is_unreadable(beginning.payload)
            said = PLAIN_BEGINNING if is_away else Beginning.model_validate_json(data_of(beginning))
            self._life = Life(said)

        async def run(self, data: RawValue, beginning: RawValue) -> RawValue:
            check_readable(beginning.payload)
            return await _run(definition, terms, data_of(data), self._life, observe)

        @temporal.signal(dynamic=True)
        def signal(self, name: str, parts: Sequence[RawValue]) -> None:
            data, identity = signal_of([part.payload for part in parts])
            if identity is None:
                identity = to_json(str(temporal.uuid4()), "a signal's identity")
            self._life.signal(name, data.decode(), identity.decode())

    # Temporal refuses functions of local classes, since its sandbox imports them by name; we use none.
    Run.run.__qualname__ = Run.__qualname__ = "Run.run"
    Run.__qualname__ = "Run"
    temporal.run(Run.run)
    return temporal.defn(name=definition.type_name, sandboxed=False)(Run)


async def _run(
    definition: Workflow[Any, Any], terms: Terms, data: bytes, life: Life, observe: Observer
) -> RawValue:
    refuse_io_on(type(asyncio.get_running_loop()))
    await life.admission.wait(definition, data)
    machine = TemporalMachine(definition, life, terms)
    observe(machine)
    code = _begun(definition, machine, data)
    delivering = asyncio.create_task(life.deliveries.carry_out())
    resuming = asyncio.create_task(life.pausing.end_by_a_cancel())
    try:
        return carried(await GoingOn(life).outcome(code, data))
    except ContinueAs as end:
        await _stopped(delivering, life)
        _begin_anew(end.data, life)
    except Misfit as error:
        raise machine.misfit(f"a recorded result does not fit the code: {error}") from error
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        raise recorded_error(Failure.of(error, terms.rules.redactor)) from None
    finally:
        delivering.cancel()
        resuming.cancel()


def _begun(
    definition: Workflow[Any, Any], machine: TemporalMachine, data: bytes
) -> Coroutine[Any, Any, bytes]:
    """The run's code on its recorded input.

    Raises:
        MismatchError: which fails the workflow task alone, as the right code may come yet: it does not fit.
    """
    try:
        return definition.begin(Context(machine), data, machine.most_payload_bytes)
    except PayloadError as error:
        raise machine.misfit(f"the recorded input does not fit the code: {error.message}") from error


async def _stopped(delivering: asyncio.Task[NoReturn], life: Life) -> None:
    """Have what was not delivered yet kept, so that it is there for the next life."""
    life.mailbox.forget_readers()
    delivering.cancel()
    await asyncio.wait([delivering])


def _begin_anew(data: bytes, life: Life) -> NoReturn:
    """End this life and begin the next. The server ends what is open: steps, and children by their policy.

    Raises:
        asyncio.CancelledError: a cancel came when the code had ended; the next life would not hear of it.
    """
    if temporal.cancellation_reason() is not None and not is_cancelled():
        raise asyncio.CancelledError
    temporal.continue_as_new(args=arguments(data, life.next()))
