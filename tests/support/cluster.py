"""The whole topology as real processes: API, workers, Temporal, Redis, PostgreSQL and a model to ask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.lesson_provider import LessonProvider, lesson_provider
from support.postgres_server import PostgresServer, own_postgres_server
from support.redis_server import RedisServer, own_redis_server
from support.services import ServiceProcess, WorkerProcess
from support.temporal_server import TemporalServerProcess, lasting_temporal_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path


# Many processes start at once, on a machine that does much else.
READY_LIMIT_S = 120.0


@dataclass(slots=True)
class Cluster:
    """The servers, and the processes of ours that stand on them."""

    folder: Path
    temporal: TemporalServerProcess
    redis: RedisServer
    postgres: PostgresServer
    provider: LessonProvider
    changes: Mapping[str, str] = field(default_factory=dict)  # to the settings
    apis: list[ServiceProcess] = field(default_factory=list)
    workers: list[ServiceProcess] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """What every process of it is told, as environment variables."""
        return {
            "ORCHESTRATOR_ENGINE": "temporal",
            "ORCHESTRATOR_TEMPORAL_WORKERS": "false",
            "ORCHESTRATOR_TEMPORAL_HOST_PORT": self.temporal.address,
            "ORCHESTRATOR_REDIS_URL": self.redis.url,
            "ORCHESTRATOR_DATABASE_URL": self.postgres.databases.url(),
            "ORCHESTRATOR_PAYLOADS_STORE_DIR": str(self.folder / "store"),
            "ORCHESTRATOR_MODEL_BASE_URL": self.provider.base_url,
            # Lessons of a hundred sessions a test; what they may spend is proven elsewhere.
            "ORCHESTRATOR_LESSONS_DAILY_CAP_TOKENS": str(10**12),
            **self.changes,
        }

    @property
    def addresses(self) -> list[str]:
        """Where the API processes answer."""
        return [api.base_url for api in self.apis]

    def addresses_from(self, number: int) -> list[str]:
        """The same, as a load balancer that begins with the one of that number goes round them."""
        first = number % len(self.apis)
        return [*self.addresses[first:], *self.addresses[:first]]

    @property
    def processes(self) -> list[ServiceProcess]:
        """Those of ours."""
        return [*self.apis, *self.workers]

    def api(self, name: str, changes: Mapping[str, str] | None = None) -> ServiceProcess:
        """Another API process, with these ``changes`` to the settings; not started."""
        return ServiceProcess(self._home_of(name), {**self.settings, **(changes or {})})

    def worker(self, name: str, changes: Mapping[str, str] | None = None) -> ServiceProcess:
        """Another worker, likewise."""
        return WorkerProcess(self._home_of(name), {**self.settings, **(changes or {})})

    def mend(self) -> None:
        """Start what does not run, and wait until everything works."""
        self.provider.let_go()
        at_once([server.start for server in self._servers if not server.is_running])
        for process in self.processes:
            if not process.is_running:
                process.kill()
                process.launch()
        for process in self.processes:
            process.wait_until_ready(READY_LIMIT_S)

    @property
    def _servers(self) -> list[TemporalServerProcess | RedisServer | PostgresServer]:
        return [self.temporal, self.redis, self.postgres]

    def _home_of(self, name: str) -> Path:
        home = self.folder / name
        home.mkdir()
        return home


@contextmanager
def running_cluster(
    folder: Path, *, apis: int = 2, workers: int = 2, changes: Mapping[str, str] | None = None
) -> Generator[Cluster]:
    """A topology of its own, at work; all of it ends at the end. ``changes`` are to the settings."""
    with ExitStack() as parts:
        (folder / "store").mkdir(parents=True)
        cluster = Cluster(
            folder,
            parts.enter_context(lasting_temporal_server(folder / "temporal")),
            parts.enter_context(own_redis_server(folder / "redis")),
            parts.enter_context(own_postgres_server(folder / "postgres")),
            parts.enter_context(lesson_provider()),
            changes or {},
        )
        cluster.apis += [cluster.api(f"api-{number}") for number in range(1, apis + 1)]
        cluster.workers += [cluster.worker(f"worker-{number}") for number in range(1, workers + 1)]
        for process in cluster.processes:
            parts.callback(process.kill)
        cluster.mend()
        yield cluster


def at_once(calls: list[Callable[[], None]]) -> None:
    """Make all of these calls side by side, and wait for them; what one raises is raised."""
    with ThreadPoolExecutor(max_workers=len(calls) or 1) as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()
