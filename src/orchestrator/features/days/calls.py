"""One log line per call of the room's functions, as the document shows it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.web.requests import line_stands_for_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.clock import Clock

log = structlog.get_logger()


@dataclass(slots=True)
class Call:
    """What is told of a call besides who called what: how its agents did, where it asked any."""

    cache_hits: int = 0
    cache_misses: int = 0
    degraded_mode: bool = False


@contextmanager
def told(clock: Clock, function: str, user: str) -> Iterator[Call]:
    """Write the line when the call ends; of one that failed, with the code that says why."""
    call, began = Call(), clock.time()
    failure: dict[str, str] = {}
    try:
        yield call
    except OrchestratorError as error:
        failure = {"code": error.code}
        raise
    except BaseException as error:
        failure = {"code": type(error).__name__}
        raise
    finally:
        write = log.warning if failure else log.info
        write(
            "function called",
            function=function,
            user_id=user,
            execution_time_ms=round((clock.time() - began) * 1_000),
            cache_hits=call.cache_hits,
            cache_misses=call.cache_misses,
            degraded_mode=call.degraded_mode,
            **failure,
        )
        line_stands_for_request()
