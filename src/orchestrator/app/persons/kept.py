"""What an erasure cannot reach, said in words: where else a trace of a person may be, and what ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.core.settings import Settings


FREE_ROOM: Final = "free room in the files of the data directory"


class Kept(BaseModel):
    """Something that remains."""

    what: str = Field(description="What remains, or may.")
    why: str = Field(description="Why, and what ends it.")


def kept_by(settings: Settings) -> tuple[Kept, ...]:
    """What remains of a person in a service with these settings."""
    return tuple(_kept(settings))


def _kept(settings: Settings) -> Iterator[Kept]:
    if settings.database.postgres is None or settings.engine == "embedded":
        yield Kept(
            what=FREE_ROOM,
            why="SQLite writes over what was removed when it needs the room. Erase once more while no "
            "service runs: the command then writes these files anew.",
        )
    if settings.database.postgres is not None:
        yield Kept(
            what="dead rows and the log of PostgreSQL",
            why="VACUUM and the next checkpoints end them; replicas and archives of the log have their own "
            "times.",
        )
    if settings.engine == "temporal":
        yield Kept(
            what="the archive of the Temporal cluster",
            why="the cluster deletes runs soon after it is asked to; what it archived, it keeps.",
        )
    yield Kept(
        what="entries of the audit trail, without the name",
        why="until their time is over they say that something was done, and no longer by whom.",
    )
    for copy in sorted(settings.data_dir.glob("*.backup")):
        yield Kept(what=str(copy), why="a copy from before an upgrade, which is yours to delete.")
    if settings.model.is_configured:
        yield Kept(what="what the model's provider was sent", why="the provider's own rules hold there.")
    yield Kept(what="backups that you made", why="nobody but you knows where they are.")
