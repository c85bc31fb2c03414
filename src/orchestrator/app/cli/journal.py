"""The journal of the data directory, read by commands that need no service, and its runs by name."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.app.cli.options import settings_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.durable.embedded import JournalReader
    from orchestrator.durable.runs import RunInfo


def journal_path(config: Path | None, data_dir: Path | None) -> Path:
    """Where the journal is, or would be."""
    from orchestrator.app.data_dir import JOURNAL_FILE

    return settings_from(config, data_dir).data_dir / JOURNAL_FILE


@contextmanager
def reading(config: Path | None, data_dir: Path | None) -> "Iterator[JournalReader]":
    """The journal, opened for reading, with the keys of the settings.

    Raises:
        NotFoundError: there is none. JournalError: it is no journal, or damaged.
        SettingsError: the keys are not right.
    """
    from orchestrator.app.encryption import encryption_of
    from orchestrator.core.errors import NotFoundError
    from orchestrator.core.redaction import secrets_in
    from orchestrator.durable.embedded import JournalReader

    journal = journal_path(config, data_dir)
    if not journal.exists():
        raise NotFoundError(f"There are no runs yet: there is no journal at {journal}. Check --data-dir.")
    settings = settings_from(config, data_dir)
    secrets = secrets_in(settings)
    with JournalReader(journal, encryption=encryption_of(settings), secrets=secrets) as reader:
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
