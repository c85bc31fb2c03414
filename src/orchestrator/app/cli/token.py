"""`orchestrator token`: a token to develop with, as the issuer would give one."""

from typing import Annotated, Literal

import typer

from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, examples, settings_from
from orchestrator.app.cli.screen import Screen

EXAMPLES = examples(
    ("orchestrator token --user ada", "for an hour"),
    ('curl -H "Authorization: Bearer $(orchestrator token --user ada)" …', "as ada"),
    ("orchestrator token --role service --expires 30d", "one of our own services, for a month"),
)


def token(
    *,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="Whose it is.", show_default=False)] = "",
    role: Annotated[
        Literal["user", "admin", "service", "anon"], typer.Option("--role", help="What its bearer may do.")
    ] = "user",
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it is good: 30m, 1h, 2d.")
    ] = "1h",
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a token with the secret that the service checks tokens with (auth.jwt_secret).

    For development and tests. Who has the secret can be anybody, so production tokens come from whoever
    signs people in.
    """
    from orchestrator.app.cli.times import moment, seconds_of
    from orchestrator.core.clock import SystemClock, rfc3339, utc
    from orchestrator.web.auth.issuing import issued

    try:
        lasts_s = seconds_of(expires)
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--expires") from None
    now = SystemClock().time()
    made = issued(settings_from(config, data_dir).auth, role, user, now=now, lasts_s=lasts_s)
    end, screen = utc(now + lasts_s), Screen()
    if as_json:
        screen.record({"token": made, "role": role, "user": user or None, "expires_at": rfc3339(end)})
    else:
        screen.line(made)
        screen.note(f"It is good until {moment(end)}.", "dim")
