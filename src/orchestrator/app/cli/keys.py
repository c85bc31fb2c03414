"""`orchestrator keys`: API keys, through the service that runs, or on its tables while none does."""

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, ServiceUrl, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.core.settings import Settings
    from orchestrator.web.auth.keys.schemas import NewApiKey
    from orchestrator.web.auth.keys.service import KeyStore

KEYS = "/api/v1/keys"

group = typer.Typer(
    cls=Group,
    help="Make, list and revoke API keys, for programs that call the service.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples(
        ("orchestrator keys create backup --user ada --scope lessons", "a key that acts as ada in lessons"),
        ("orchestrator keys list", "which keys there are, and when they were used"),
        ("orchestrator keys revoke ID", "let one open nothing from now on"),
    ),
)


@group.command(
    "create",
    cls=Command,
    epilog=examples(
        ("orchestrator keys create backup --user ada --scope lessons", "acts as ada, in lessons alone"),
        ("orchestrator keys create billing --scope service", "one of our own services"),
        ("orchestrator keys create ops --scope admin --expires-in-days 90", "an admin, for three months"),
    ),
)
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for, as people will read it.")],
    *,
    scope: Annotated[
        list[str],
        typer.Option("--scope", metavar="SCOPE", help="A room that it opens; or `service`, or `admin`."),
    ],
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="The user whom it acts as; needed for rooms.")
    ] = None,
    expires_in_days: Annotated[
        int | None,
        typer.Option(min=1, max=3_650, metavar="DAYS", help="How long it is good. \\[default: for ever]"),
    ] = None,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key.

    It is printed now and never again: only its hash is kept. Programs send it as `X-API-Key`.
    """
    from orchestrator.web.auth.caller import OPERATOR

    wanted = _wanted(name=name, scopes=scope, user=user, expires_in_days=expires_in_days)
    body = wanted.model_dump()

    async def directly(keys: "KeyStore") -> dict[str, object]:
        return (await keys.create(wanted, OPERATOR)).model_dump(mode="json")

    made = asyncio.run(_asked(settings_from(config, data_dir, url=url), "POST", KEYS, body, directly))
    screen = Screen()
    if as_json:
        screen.record(made)
    else:
        screen.line(str(made["key"]))
        screen.note(f"Its id is {made['id']}. Keep the key: it cannot be shown again.", "dim")


@group.command(
    "list",
    cls=Command,
    epilog=examples(
        ("orchestrator keys list", "all keys, revoked ones included"),
        ("orchestrator keys list --json | jq -r 'select(.last_used_at == null).id'", "those nobody used"),
    ),
)
def list_keys(
    *, url: ServiceUrl = None, data_dir: DataDir = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """List all API keys, newest first. What opens the service is not kept, and not shown."""
    from orchestrator.app.cli.keys_view import table_of_keys

    async def directly(keys: "KeyStore") -> dict[str, object]:
        return {"items": [key.model_dump(mode="json") for key in await keys.all()]}

    found = asyncio.run(_asked(settings_from(config, data_dir, url=url), "GET", KEYS, None, directly))[
        "items"
    ]
    screen = Screen()
    if as_json:
        for key in found:
            screen.record(key)
    elif found:
        screen.result(table_of_keys(found, screen.out.width))
    else:
        screen.note("No API keys yet.", "dim")


@group.command("revoke", cls=Command, epilog=examples(("orchestrator keys revoke ID", "it opens nothing")))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id as `keys list` shows it.")],
    *,
    url: ServiceUrl = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an API key: from the next request on it opens nothing, in any process."""
    from orchestrator.core.errors import NotFoundError
    from orchestrator.web.auth.caller import OPERATOR

    if re.fullmatch("[0-9a-f]{12}", key_id) is None:
        raise NotFoundError(
            "There is no such API key. An id is the 12 signs between 'ork_' and the next '_' of a key; "
            "`orchestrator keys list` shows it."
        )

    async def directly(keys: "KeyStore") -> dict[str, object]:
        return (await keys.revoke(key_id, OPERATOR)).model_dump(mode="json")

    answer = asyncio.run(
        _asked(settings_from(config, data_dir, url=url), "DELETE", f"{KEYS}/{key_id}", None, directly)
    )
    screen = Screen()
    if as_json:
        screen.record(answer)
    else:
        screen.line(f"Key {answer['id']} ({answer['name']}) is revoked.")


def _wanted(**given: object) -> "NewApiKey":
    from pydantic import ValidationError

    from orchestrator.web.auth.keys.schemas import NewApiKey

    try:
        return NewApiKey.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        raise typer.BadParameter(problem["msg"], param_hint=str(problem["loc"][0]).upper()) from None


async def _asked(
    settings: "Settings",
    method: str,
    path: str,
    body: object,
    directly: "Callable[[KeyStore], Awaitable[dict[str, object]]]",
) -> dict[str, Any]:
    """What the service that runs answers, or what there is to answer without one."""
    from orchestrator.app.cli.at_hand import tables_at_hand
    from orchestrator.app.cli.connection import connected, is_served
    from orchestrator.app.wiring import code_of, key_scopes
    from orchestrator.core.clock import SystemClock
    from orchestrator.web.audit import Audit
    from orchestrator.web.auth.keys.service import KeyStore

    if is_served(settings):
        async with connected(settings) as connection:
            answer: dict[str, Any] = await connection.request(method, path, body)
            return answer
    async with tables_at_hand(settings) as database:
        clock = SystemClock()
        audit = Audit(database, clock, retention=settings.audit.retention)
        return await directly(KeyStore(database, clock, key_scopes(code_of(settings)), audit))
