"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support import services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    server = ExitStack()
    # Not at the fixture's own end: waiting for other workers there would count as the last test's time.
    pytestconfig.add_cleanup(server.close)
    return server.enter_context(services.shared_temporal_server(folder / "temporal"))
