"""`orchestrator serve`: the service, until it is told to stop."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.options import AsJson, ConfigFile, DataDir, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.app.server import Server
    from orchestrator.app.wiring import Service
    from orchestrator.core.settings import Settings, TemporalSettings

EXAMPLES = examples(
    ("orchestrator serve", "on http://127.0.0.1:8080, keeping everything in ./orchestrator-data"),
    ("orchestrator serve --port 0 --json", "on any free port; the address comes as a JSON line"),
    (
        "OPENAI_BASE_URL=http://localhost:11434/v1 orchestrator serve",
        "with a local model, such as Ollama's",
    ),
    ("orchestrator serve --engine temporal", "its runs on the Temporal cluster of temporal.host_port"),
)


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="The address to listen on. \\[default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="The port; 0 takes any free one. \\[default: 8080]")
    ] = None,
    data_dir: DataDir = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE", help="What keeps the runs: embedded or temporal. \\[default: embedded]"
        ),
    ] = None,
    workers: Annotated[
        bool | None,
        typer.Option(
            "--workers/--no-workers",
            help="Whether it works on runs of a Temporal cluster, or leaves them to `orchestrator worker`. "
            "\\[default: workers]",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start the service and keep it running.

    Ctrl-C or SIGTERM stops it: requests in flight get 30 seconds, and steps as well on Temporal; runs go on
    at the next start.
    Even kill -9 loses nothing that was recorded.
    """
    overrides = {"server.host": host, "server.port": port, "engine": engine, "temporal.workers": workers}
    settings = settings_from(config, data_dir, overrides)
    raise typer.Exit(_run(settings, Screen(), as_json=as_json))


def _run(settings: "Settings", screen: Screen, *, as_json: bool) -> int:
    import structlog

    from orchestrator.app.data_dir import serving
    from orchestrator.app.server import Server, bound, run
    from orchestrator.app.wiring import built
    from orchestrator.core.redaction import secrets_in
    from orchestrator.core.telemetry import configure_logging

    configure_logging(settings.telemetry, secrets=secrets_in(settings))
    for notice in settings.notices:
        structlog.get_logger().warning(notice)

    if serving(settings.data_dir) is None:
        bound(settings.server).close()  # a taken port is told before anything is made on disk

    async def until_stopped() -> int:
        with built(settings) as service:
            server = Server(service.app, settings.server)
            announced = asyncio.create_task(_announce(server, service, settings, screen, as_json=as_json))
            try:
                return await server.serve()
            finally:
                announced.cancel()

    return run(until_stopped())


async def _announce(
    server: "Server", service: "Service", settings: "Settings", screen: Screen, *, as_json: bool
) -> None:
    """Once requests are answered, tell other processes, and people or scripts."""
    import structlog

    await server.listening()
    service.claim.announce(server.url)
    data_dir = settings.data_dir.resolve()
    if as_json:
        screen.record({"address": server.url, "pid": os.getpid(), "data_dir": str(data_dir)})
    elif settings.telemetry.log_format == "console":
        _welcome(screen, server, settings)
    if settings.telemetry.log_format == "json":
        structlog.get_logger().info("listening", url=server.url, sign_in=settings.auth.told)


def _welcome(screen: Screen, server: "Server", settings: "Settings") -> None:
    from rich.table import Table
    from rich.text import Text

    url, model = server.url, settings.model
    rows = {
        "Address": Text(url, "bold cyan"),
        "API": Text(f"described at {url}/docs"),
        "Sign-in": Text(settings.auth.told),
        "Metrics": Text(server.metrics_url or "not served"),
        **({"Runs": Text(_cluster(settings.temporal))} if settings.engine == "temporal" else {}),
        "Data": Text(str(settings.data_dir.resolve())),
        "Model": Text(f"{model.name} at {model.base_url or 'api.openai.com'}")
        if model.is_configured
        else Text(
            "none: lessons by the offline composer, plans by rules (set OPENAI_API_KEY or OPENAI_BASE_URL)"
        ),
        "Agents": Text(str(settings.days.edge_base_url or "our own, within the service")),
        "Stop": Text("Ctrl-C; what runs goes on at the next start"),
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    screen.err.print(table)
    screen.note('Try: orchestrator lesson "Photosynthesis"', style="dim")


def _cluster(temporal: "TemporalSettings") -> str:
    left = "" if temporal.workers else ", left to `orchestrator worker`"
    return f"on Temporal at {temporal.host_port}, namespace {temporal.namespace}{left}"
