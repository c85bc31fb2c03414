"""`orchestrator worker`: works on the runs of a Temporal cluster, until it is told to stop."""

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.app.cli.options import AsJson, ConfigFile, examples, settings_from
from orchestrator.app.cli.screen import Screen

if TYPE_CHECKING:
    from orchestrator.app.server import Server
    from orchestrator.core.settings import Settings

EXAMPLES = examples(
    (
        "orchestrator worker",
        "beside `orchestrator serve --engine temporal --no-workers`, as many as you like",
    ),
    ("orchestrator worker --port 0 --json", "on any free port; the address comes as a JSON line"),
    ("curl http://127.0.0.1:8081/ready", "does it work? What is missing?"),
)


def worker(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="The port for /health and /ready; 0 takes any free one. \\[default: 8081]",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Work on the runs of a Temporal cluster.

    It answers no requests but probes and, on their own port, metrics. It shares Redis, PostgreSQL and a
    directory or bucket with the service, and waits for whichever of them is not there yet. Ctrl-C or
    SIGTERM stops it: steps get 30 seconds, what is left then is begun again by another worker.
    """
    settings = settings_from(config, None, {"engine": "temporal", "worker.port": port})
    raise typer.Exit(_run(settings, Screen(), as_json=as_json))


def _run(settings: "Settings", screen: Screen, *, as_json: bool) -> int:
    import structlog

    from orchestrator.app import wiring
    from orchestrator.app.server import Server, run
    from orchestrator.core.redaction import secrets_in
    from orchestrator.core.telemetry import configure_logging

    configure_logging(settings.telemetry, secrets=secrets_in(settings))
    for notice in settings.notices:
        structlog.get_logger().warning(notice)
    listening = settings.server.model_copy(update={"port": settings.worker.port})

    async def until_stopped() -> int:
        server = Server(wiring.worker(settings), listening, port_setting="worker.port")
        announced = asyncio.create_task(_announce(server, settings, screen, as_json=as_json))
        try:
            return await server.serve()
        finally:
            announced.cancel()

    return run(until_stopped())


async def _announce(server: "Server", settings: "Settings", screen: Screen, *, as_json: bool) -> None:
    """Once probes are answered, tell people or scripts."""
    import structlog

    await server.listening()
    cluster = settings.temporal
    if as_json:
        screen.record({"address": server.url, "pid": os.getpid(), "task_queue": cluster.task_queue})
    structlog.get_logger().info(
        "worker listening", url=server.url, temporal=cluster.host_port, task_queue=cluster.task_queue
    )
