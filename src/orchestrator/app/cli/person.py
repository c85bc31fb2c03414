"""`orchestrator person`: everything that is held about one person, in a file or gone."""

import asyncio
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, ServiceUrl, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from orchestrator.core.settings import Settings

DEFAULT_FILE = Path("person.zip")
CALLED = "A user is called as the tokens' `sub` says it."
User = Annotated[str, typer.Argument(metavar="USER", help="The user, as the tokens' `sub` says it.")]

group = typer.Typer(
    cls=Group,
    help="Hand over or erase everything that is held about one person.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        ("orchestrator person export ada --out ada.zip", "all that is held about ada"),
        ("orchestrator person erase ada", "remove it, after a question"),
    ),
)


@group.command(
    "export",
    cls=Command,
    epilog=examples(("orchestrator person export ada --out ada.zip", "JSON lines by kind, and pictures")),
)
def export(
    user: User,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The zip to write; it must not exist yet.")
    ] = DEFAULT_FILE,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write everything that is held about a person into a zip, for your eyes alone.

    It uses the service that runs on the data directory, or is that service itself for the while. The path of
    the file is printed. Secrets, such as the hashes of API keys, are left out.
    """
    if out.exists():
        from orchestrator.core.errors import ConflictError

        raise ConflictError(f"{out} is there already. Give another --out.")
    asyncio.run(_exported(settings_from(config, data_dir, url=url), user, out))
    screen = Screen()
    if _holds_nothing(out):
        screen.note(f"Nothing is held about {user}. {CALLED}")
    if as_json:
        screen.record({"user": user, "path": str(out)})
    else:
        screen.line(str(out))


@group.command(
    "erase",
    cls=Command,
    epilog=examples(
        ("orchestrator person erase ada", "asks first"),
        ("orchestrator person erase ada --yes --json", "for a script; once more does no harm"),
    ),
)
def erase(
    user: User,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove everything that is held about a person, and say what is beyond reach.

    Open runs are stopped first. Where no service runs, one is started for the while, and the files of the
    data directory are written anew afterwards. Interrupted anywhere, it goes on when it is run again.
    """
    screen = Screen()
    if not yes and not _agreed(user):
        screen.note("Nothing was erased.")
        return
    erased = asyncio.run(_erased(settings_from(config, data_dir, url=url), user))
    if as_json:
        screen.record(erased)
        return
    if not (counts := _counts(erased)):
        screen.note(f"Nothing was found of {user}, so nothing was erased. {CALLED}")
        return
    for what, count in counts:
        screen.line(f"{count:>7,}  {what}")
    screen.note(f"Everything of {user} within reach is gone. What remains, or may:")
    for kept in erased["kept"]:
        screen.note(f"- {kept['what']}: {kept['why']}")


def _holds_nothing(out: Path) -> bool:
    from zipfile import ZipFile

    with ZipFile(out) as file:
        return file.namelist() == ["about.json"]


def _agreed(user: str) -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("it cannot be undone; say that you mean it.", param_hint="--yes")
    return typer.confirm(f"Erase everything of {user}? It cannot be undone.", err=True)


def _counts(erased: dict[str, Any]) -> list[tuple[str, int]]:
    several = {**erased["rooms"], **{f"rows of {table}": rows for table, rows in erased["tables"].items()}}
    single = {kind: erased[kind] for kind in ("runs", "schedules", "events") if erased[kind]}
    blanked = {"entries of the audit trail without the name": erased["blanked"]} if erased["blanked"] else {}
    return [*several.items(), *single.items(), *blanked.items()]


async def _exported(settings: "Settings", user: str, out: Path) -> None:
    """Write the file, which only its owner may read; a part of it is removed again.

    Raises:
        ConflictError: it is there already, or cannot be made.
        UnavailableError: the service cannot be reached, or stopped in the midst of it.
    """
    import httpx2

    from orchestrator.app.cli.connection import ANSWER_TIMEOUT_S, connected, error_of, unreachable
    from orchestrator.core.errors import UnavailableError

    async with connected(settings) as connection:
        # How long nothing may come is the service's to say: much fits into a part of the file.
        timeout = httpx2.Timeout(ANSWER_TIMEOUT_S, read=None)
        asked = connection.http.stream("POST", "/api/v1/persons/export", json={"user": user}, timeout=timeout)
        try:
            async with asked as response:
                if not response.is_success:
                    await response.aread()
                    raise error_of(response)
                with _new_file(out) as file:
                    async for part in response.aiter_bytes():
                        file.write(part)
        except httpx2.RemoteProtocolError as error:
            raise UnavailableError(
                "The service stopped in the midst of the export; its log says why. Nothing was written."
            ) from error
        except httpx2.TransportError as error:
            raise unreachable(connection.address) from error


@contextmanager
def _new_file(out: Path) -> "Iterator[BinaryIO]":
    """A file to write while inside; it is gone where that fails."""
    import os

    from orchestrator.core.errors import ConflictError
    from orchestrator.core.private_files import PRIVATE_FILE

    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    except OSError as error:
        raise ConflictError(f"{out} cannot be written: {error.strerror}. Give another --out.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        out.unlink()
        raise


async def _erased(settings: "Settings", user: str) -> dict[str, Any]:
    from orchestrator.app.cli.connection import connected
    from orchestrator.app.compaction import compact
    from orchestrator.app.persons.kept import FREE_ROOM

    async with connected(settings) as connection:
        answer = await connection.request("POST", "/api/v1/persons/erase", {"user": user})
        erased, own = cast("dict[str, Any]", answer), connection.own
    if own:
        compact(settings.data_dir)
        erased["kept"] = [kept for kept in erased["kept"] if kept["what"] != FREE_ROOM]
    return erased
