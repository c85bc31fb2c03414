"""Where the runs and schedules are that a command tells of: in a journal, or on a Temporal cluster."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from orchestrator.app.cli.journal import is_at_work, journal_at, journal_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.app.cli.code import Code
    from orchestrator.core.settings import Settings
    from orchestrator.durable.checking import RunCheck
    from orchestrator.durable.runs import Event, RunInfo, Status, StepView
    from orchestrator.durable.schedules import ScheduleInfo


class Reader(Protocol):
    """What a journal or a cluster says of its runs and schedules.

    Whatever asks for one run by its id raises NotFoundError where there is none.
    """

    def list(
        self,
        *,
        status: Sequence[Status] = (),
        workflow: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 100,
    ) -> list[RunInfo]:
        """Runs, newest first."""

    def describe(self, run_id: str) -> RunInfo:
        """Where a run stands."""

    def events(self, run_id: str, after: int = 0) -> Sequence[Event]:
        """What was recorded of a run after that offset."""

    def steps(self, run_id: str) -> Sequence[StepView]:
        """A run's steps."""

    def children(self, run_id: str) -> Sequence[RunInfo]:
        """The child runs that a run began."""

    def schedules(self) -> Sequence[ScheduleInfo]:
        """All schedules, by id."""


def is_on_cluster(settings: Settings, journal: Path | None = None) -> bool:
    """Whether what is asked for is on a Temporal cluster, and in no journal."""
    return journal is None and settings.engine == "temporal"


def missing_journal(settings: Settings, journal: Path | None = None) -> Path | None:
    """The journal that is asked for, where it is not there yet."""
    if is_on_cluster(settings, journal):
        return None
    path = journal_path(settings, journal)
    return None if path.exists() else path


@contextmanager
def reading(settings: Settings, journal: Path | None = None) -> Iterator[Reader]:
    """What is asked for, opened for reading, with the keys of the settings.

    Raises:
        NotFoundError: there is no journal. JournalError: it is no journal, or damaged.
        UnavailableError: the cluster does not answer. SettingsError: keys or certificates are not right.
    """
    from orchestrator.app.cli.cluster import ClusterReader
    from orchestrator.app.cli.code import code_at_hand
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import JournalReader

    if is_on_cluster(settings, journal):
        with ClusterReader(settings, code_at_hand(settings, ())) as cluster:
            yield cluster
        return
    path = journal_at(settings, journal)
    secrets = secrets_in(settings)
    with JournalReader(path, encryption=encryption_of(settings), secrets=secrets) as reader:
        yield reader


def checked_runs(settings: Settings, journal: Path | None, code: Code) -> Iterator[RunCheck]:
    """Every open run, replayed against ``code``. Raises what ``reading`` does."""
    from orchestrator.app.cli.cluster import ClusterReader
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import check_runs

    if is_on_cluster(settings, journal):
        with ClusterReader(settings, code) as cluster:
            yield from cluster.check()
        return
    yield from check_runs(
        journal_at(settings, journal),
        code.workflows,
        code.steps,
        encryption=encryption_of(settings),
        secrets=secrets_in(settings),
        most_payload_bytes=settings.payloads.max_bytes,
    )


def is_moving(settings: Settings, journal: Path | None, reader: Reader) -> bool:
    """Whether some process works on what is asked for, so that its runs go on."""
    from orchestrator.app.cli.cluster import ClusterReader

    if isinstance(reader, ClusterReader):
        return reader.is_at_work
    return is_at_work(journal_path(settings, journal))


def run_named(reader: Reader, name: str) -> RunInfo:
    """The run of that id, or the newest one of the session of that id.

    Raises:
        NotFoundError: there is none.
    """
    from orchestrator.core.errors import NotFoundError

    of_session = reader.list(tags={"session": name}, limit=1)
    if of_session:
        return of_session[0]
    try:
        return reader.describe(name)
    except NotFoundError:
        raise NotFoundError(
            f"There is no run or session {name!r} here; `orchestrator runs list` shows what there is."
        ) from None
