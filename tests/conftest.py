"""Fixtures that every test may ask for."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import pytest
import structlog

from support import emitted, postgres_server, redis_server, services
from support.emitted import pytest_runtest_makereport
from support.tables import Tables, postgres_tables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.postgres_server import Databases

__all__ = ["pytest_runtest_makereport"]  # a hook, by which pytest finds it here

Server = TypeVar("Server")

# As the service itself logs. structlog's own way draws all variables of all frames, which takes seconds.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

emitted.watch()
# As the service writes them; structlog's own way, with every variable drawn in a box, takes seconds.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep garbage collections from going through thousands of tests and all modules again and again."""
    gc.disable()
    collected = yield
    gc.collect()
    gc.freeze()
    gc.enable()
    return collected


@pytest.fixture
def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    return services.free_port()


@pytest.fixture
def service_process(tmp_path: Path) -> Iterator[services.ServiceProcess]:
    """The service as a process of its own, ready, on fresh data."""
    with services.ServiceProcess(tmp_path) as service:
        yield service


@pytest.fixture(scope="session")
def temporal_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> services.TemporalServer:
    """The Temporal dev server, one for the whole session, however many workers it has."""
    folder = _folder_of_all_workers(tmp_path_factory) / "temporal"
    return _for_the_session(pytestconfig, services.shared_temporal_server(folder))


@pytest.fixture(scope="session")
def redis_url(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a Redis server in memory, one for the whole session: keep to a key prefix of your own."""
    folder = _folder_of_all_workers(tmp_path_factory) / "redis"
    return _for_the_session(pytestconfig, redis_server.shared_redis_server(folder))


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """A PostgreSQL server that syncs nothing, one for the session: ask it for a ``fresh`` database."""
    folder = _folder_of_all_workers(tmp_path_factory) / "postgres"
    return _for_the_session(pytestconfig, postgres_server.shared_postgres_server(folder))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tables]:
    """A place for tables, empty at first: a SQLite file, and once more a PostgreSQL database."""
    if request.param == "sqlite":
        yield Tables(tmp_path / "tables.db")
        return
    async with postgres_tables(request.getfixturevalue("postgres"), tmp_path) as place:
        yield place


def _folder_of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def _for_the_session(pytestconfig: pytest.Config, starting: AbstractContextManager[Server]) -> Server:
    server = ExitStack()
    # Not at the fixture's own end: waiting for other workers there would count as the last test's time.
    pytestconfig.add_cleanup(server.close)
    return server.enter_context(starting)
