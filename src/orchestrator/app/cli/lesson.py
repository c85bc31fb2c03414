"""`orchestrator lesson`: a topic in, an illustrated lesson out, watched live."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, ServiceUrl, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.app.cli.lesson_files import Material
    from orchestrator.app.cli.lesson_view import View
    from orchestrator.app.cli.sessions import Event, Session, Sessions
    from orchestrator.core.settings import Settings

EXAMPLES = examples(
    ('orchestrator lesson "Photosynthesis"', "into ./photosynthesis/lesson.md"),
    ('orchestrator lesson "The French Revolution" -m notes.md -m book.txt', "from your own texts"),
    ("orchestrator lesson --resume ID", "go on after Ctrl-C, a crash or an error; nothing is paid twice"),
    ('orchestrator lesson "Tides" --json | jq -r .type', "every event as a JSON line, for a script"),
)
MODEL_TROUBLE = ("model_", "unavailable", "rate_limited")  # how the codes of a failing model begin


@dataclass(slots=True)
class Wish:
    """What was asked for on the command line, and how far it has come.

    ``session_id`` is there as soon as it is known, ``seen`` is the id of the last event that was shown.
    """

    topic: str
    materials: list[Path]
    out: Path | None
    session_id: str
    anew: bool
    overwrite: bool
    own_service: bool = True
    seen: str = ""


def lesson(  # noqa: PLR0913  # one parameter per option
    topic: Annotated[
        str | None,
        typer.Argument(metavar="TOPIC", help="What to learn about, on one line.", show_default=False),
    ] = None,
    *,
    materials: Annotated[
        list[Path] | None,
        typer.Option(
            "--materials",
            "-m",
            metavar="FILE",
            help="A text or Markdown to build the lesson from; may be given several times.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Where to write it. \\[default: ./TOPIC]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a lesson that is there already.")] = False,
    resume: Annotated[
        str, typer.Option("--resume", metavar="ID", help="Go on with this session.", show_default=False)
    ] = "",
    anew: Annotated[
        bool, typer.Option("--new", help="Begin anew even if the same lesson was left unfinished.")
    ] = False,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write an illustrated lesson on a topic and watch it being written.

    It uses the service that runs on the data directory, or runs one itself for the while. If the same lesson
    was begun before and not finished, it goes on where it stopped. With neither key nor address of a model
    the offline composer writes, from your materials alone.
    """
    if topic is not None and not topic.strip():
        raise typer.BadParameter("it is empty; say what the lesson is to be about.", param_hint="TOPIC")
    if bool(topic) == bool(resume):
        raise typer.BadParameter("give either a TOPIC or --resume ID.", param_hint="TOPIC")
    if resume and materials:
        raise typer.BadParameter("a session has its materials already; leave them out.", param_hint="-m")
    settings = settings_from(config, data_dir, url=url)
    wish = Wish(topic or "", materials or [], out, resume, anew, force)
    raise typer.Exit(_make(wish, settings, Screen(), as_json=as_json))


def _make(wish: Wish, settings: "Settings", screen: Screen, *, as_json: bool) -> int:
    from orchestrator.app.cli.lesson_view import view_for

    try:
        return asyncio.run(_lesson(wish, settings, screen, view_for(screen, as_json=as_json)))
    except KeyboardInterrupt:
        if wish.session_id:
            screen.note(_how_to_go_on(wish), "yellow")
        return ExitCode.INTERRUPTED


async def _lesson(wish: Wish, settings: "Settings", screen: Screen, view: "View") -> int:
    from orchestrator.app.cli.lesson_files import folder_for, read_materials
    from orchestrator.app.data_dir import serving
    from orchestrator.core.errors import UnavailableError

    texts = read_materials(wish.materials)
    folder_for(wish.topic, wish.out, overwrite=wish.overwrite)  # refused before anything is spent
    view.note("Opening the service …")  # its libraries take a second to load
    try:
        return await _made(wish, texts, settings, screen, view)
    except UnavailableError:
        is_elsewhere = settings.client.url is not None
        if not wish.session_id or wish.own_service or is_elsewhere or serving(settings.data_dir) is not None:
            raise
        view.note("The service does not come back; going on without it.")
        return await _made(wish, texts, settings, screen, view)


async def _made(
    wish: Wish, texts: "list[Material]", settings: "Settings", screen: Screen, view: "View"
) -> int:
    """Have the lesson made by the service that there is, and write it down."""
    from orchestrator.app.cli.connection import connected
    from orchestrator.app.cli.sessions import Sessions

    async with connected(settings) as connection:
        wish.own_service = connection.own
        sessions = Sessions(connection)
        session = await _session(wish, texts, sessions, view)
        wish.session_id, wish.topic = session["id"], session["topic"]
        last = await _watched(wish, sessions, session, view)
        if last["type"] == "error":
            screen.error(last["data"]["message"])
            screen.note(_how_to_mend(last["data"]["code"], wish, settings), "yellow")
            screen.note(_how_to_try_again(wish), "yellow")
            return ExitCode.FAILED
        result = await sessions.result(wish.session_id)
        path = await _written(wish, result, sessions)
    view.finished(path, result)
    return ExitCode.OK


async def _session(wish: Wish, texts: "list[Material]", sessions: "Sessions", view: "View") -> "Session":
    """The session that was asked for, the one that was left unfinished, or a new one."""
    from orchestrator.app.cli.times import short_moment
    from orchestrator.core.errors import NotFoundError

    if wish.session_id:
        try:
            return await sessions.get(wish.session_id)
        except NotFoundError:
            raise NotFoundError(
                f"There is no session {wish.session_id!r} here; `orchestrator runs list` shows what there is."
            ) from None
    left = None if wish.anew else await sessions.unfinished(wish.topic, texts)
    if left is not None:
        began = short_moment(datetime.fromisoformat(left["created_at"]))
        view.note(f"Going on with what was begun at {began} (--new begins another lesson).")
        return left
    return await sessions.get(await sessions.create(wish.topic, texts))


async def _watched(wish: Wish, sessions: "Sessions", session: "Session", view: "View") -> "Event":
    """Show the session's events from where we were; gives the last one."""
    last: Event = {}
    if not wish.seen:
        view.note(f"Session {session['id']}")
    events = sessions.watch(
        session, wish.seen, lambda: view.note("The connection to the service was lost; trying again …")
    )
    with view:
        async for seen, last in events:
            view.event(last)
            wish.seen = seen
    return last


async def _written(wish: Wish, result: dict[str, Any], sessions: "Sessions") -> Path:
    from orchestrator.app.cli.lesson_files import folder_for, write_lesson

    folder = folder_for(wish.topic, wish.out, overwrite=wish.overwrite)
    return write_lesson(folder, result["lesson"], await sessions.pictures(result))


def _how_to_go_on(wish: Wish) -> str:
    resume = f"  orchestrator lesson --resume {wish.session_id}"
    if wish.own_service:
        return f"What is done is kept. To go on:\n{resume}"
    cancel = f"  orchestrator runs cancel {wish.session_id}"
    return f"The service goes on by itself. To watch it again, or to stop it:\n{resume}\n{cancel}"


def _how_to_mend(code: str, wish: Wish, settings: "Settings") -> str:
    """Where to look. Of a service that is not ours we do not know which model it asks."""
    look = "Try `orchestrator doctor`: it says what is wrong and how to mend it."
    model = settings.model
    if wish.own_service and model.is_configured and code.startswith(MODEL_TROUBLE):
        asked = f"{model.name} at {model.base_url or 'api.openai.com'}"
        return f"The model that was asked is {asked} (model.name and model.base_url). {look}"
    return look


def _how_to_try_again(wish: Wish) -> str:
    return f"What is done is kept. To try again from there:\n  orchestrator lesson --resume {wish.session_id}"
