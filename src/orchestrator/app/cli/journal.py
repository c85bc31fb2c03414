"""The journal of the data directory or of one's own engine, read without a service; its runs by name."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.cli.options import settings_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.settings import Settings
    from orchestrator.durable.embedded import JournalReader
    from orchestrator.durable.runs import RunInfo


def journal_path(settings: "Settings", journal: Path | None = None) -> Path:
    """Where the journal that is asked for is, or would be.

    Raises:
        InvalidInputError: none is asked for, and the runs are on a Temporal cluster.
    """
    from orchestrator.app.data_dir import JOURNAL_FILE
    from orchestrator.core.errors import InvalidInputError

    if journal is None and settings.engine == "temporal":
        raise InvalidInputError(
            "This command reads a journal, and engine is temporal: the runs are on the cluster at "
            f"{settings.temporal.host_port}. `temporal workflow list`, `show` and the cluster's web page "
            "tell of them; pause, resume, cancel and fork work here, through the service. Name a journal "
            "with --journal."
        )
    return journal or settings.data_dir / JOURNAL_FILE


def journal_at(settings: "Settings", journal: Path | None) -> Path:
    """Where the journal that is asked for is.

    Raises:
        NotFoundError: it is not there.
    """
    from orchestrator.core.errors import NotFoundError

    path = journal_path(settings, journal)
    if not path.exists():
        where = "--journal" if journal else "--data-dir"
        raise NotFoundError(f"There are no runs: there is no journal at {path}. Check {where}.")
    return path


def is_at_work(journal: Path) -> bool:
    """Whether some process, a service or another one, has the journal open and its runs go on."""
    from orchestrator.journal.lock import holder_of

    return holder_of(journal.with_name(f"{journal.name}.lock")) is not None


@contextmanager
def reading(
    config: Path | None, data_dir: Path | None, journal: Path | None = None
) -> "Iterator[JournalReader]":
    """The journal, opened for reading, with the keys of the settings.

    Raises:
        NotFoundError: there is none. JournalError: it is no journal, or damaged.
        SettingsError: the keys are not right.
    """
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import JournalReader

    settings = settings_from(config, data_dir)
    path = journal_at(settings, journal)
    secrets = secrets_in(settings)
    with JournalReader(path, encryption=encryption_of(settings), secrets=secrets) as reader:
        yield reader


def run_named(reader: "JournalReader", name: str) -> "RunInfo":
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
