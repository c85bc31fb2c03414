"""The pytest plugin: fixtures for tests of workflows. pytest finds it where Orchestrator is installed.

All fixtures are plain functions, so tests may use pytest-asyncio, anyio (on asyncio), or ``asyncio.run``.
What they need is imported when a test asks for it, since every pytest run loads this module.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from orchestrator.testing import CrashReport, EngineFactory, ManualClock, ModelFactory

FIXTURES = frozenset(
    {"orchestrator_clock", "orchestrator_crash_everywhere", "orchestrator_engine", "orchestrator_model"}
)

NO_PLUGIN = (
    "nothing runs this async test. Install pytest-asyncio, and set asyncio_mode = auto in pytest's "
    "configuration or mark the test with @pytest.mark.asyncio. With anyio, mark it with @pytest.mark.anyio."
)
TRIO = (
    "the engine runs on asyncio, and this test on trio. Have anyio use asyncio alone: a fixture named "
    "anyio_backend that returns 'asyncio'."
)


@pytest.fixture
def orchestrator_clock() -> ManualClock:
    """A clock that the test owns; the engines of this test live by it."""
    from orchestrator.testing import ManualClock

    return ManualClock()


@pytest.fixture
def orchestrator_engine(
    request: pytest.FixtureRequest, tmp_path: Path, orchestrator_clock: ManualClock
) -> EngineFactory:
    """Makes engines on this test's own file, with its clock; see `EngineFactory`.

    Open it by ``async with orchestrator_engine(workflows=[…], steps=[…]) as engine:``. A second one, once the
    first is closed, goes on with the same file, as after a restart.
    """
    from orchestrator.testing import EngineFactory

    _check_backend(request)
    return EngineFactory(tmp_path, orchestrator_clock)


@pytest.fixture
def orchestrator_model() -> Iterator[ModelFactory]:
    """Makes scripted models; the test fails if one of them was asked for more than its script has.

    It fails also where the workflow put up with that and went on.
    """
    from orchestrator.testing import ModelFactory

    factory = ModelFactory()
    yield factory
    factory.check()


@pytest.fixture
def orchestrator_crash_everywhere(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., Awaitable[CrashReport[Any]]]:
    """`orchestrator.testing.crash_everywhere`, which leaves its journals in the test's own folder."""
    from orchestrator.testing import crash_everywhere

    _check_backend(request)
    return partial(crash_everywhere, folder=tmp_path)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Say what is missing where an async test of ours would otherwise not run."""
    if inspect.iscoroutinefunction(pyfuncitem.obj) and FIXTURES.intersection(pyfuncitem.fixturenames):
        pytest.fail(NO_PLUGIN, pytrace=False)


def _check_backend(request: pytest.FixtureRequest) -> None:
    if "anyio_backend" not in request.fixturenames:
        return
    backend = request.getfixturevalue("anyio_backend")
    if (backend if isinstance(backend, str) else backend[0]) != "asyncio":
        pytest.fail(TRIO, pytrace=False)
