"""The journal of the data directory or of one's own engine: where it is, and who works on it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.core.settings import Settings


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
            f"{settings.temporal.host_port}. `orchestrator runs list --status stuck --status pending` tells "
            "of those that stand still. Name a journal with --journal."
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
        where = "--journal" if journal else "--data-dir, and whether engine should be temporal"
        raise NotFoundError(f"There are no runs: there is no journal at {path}. Check {where}.")
    return path


def is_at_work(journal: Path) -> bool:
    """Whether some process, a service or another one, has the journal open and its runs go on."""
    from orchestrator.journal.lock import holder_of

    return holder_of(journal.with_name(f"{journal.name}.lock")) is not None
