"""A service of the project's own parts that also runs workflows all the time."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scale.programs import Steps, count, engine_on
from orchestrator.app.server import Server, run
from orchestrator.core.settings import load_settings
from orchestrator.core.telemetry import configure_logging
from orchestrator.web.application import House, create_app
from orchestrator.web.parts import Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    arguments = parser.parse_args()

    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        async with engine_on(arguments.path, Steps()) as engine:

            async def one_after_the_other() -> None:
                while True:
                    await (await engine.start(count, 0)).result()

            busy = asyncio.gather(*[one_after_the_other() for _ in range(arguments.runs)])
            try:
                yield
            finally:
                busy.cancel()
                with suppress(asyncio.CancelledError):
                    await busy

    settings = load_settings(overrides={"server.port": arguments.port})
    configure_logging(settings.telemetry)
    app = create_app(House(settings), [], parts=[Part("busy", opened)])
    sys.exit(run(Server(app, settings.server).serve()))


if __name__ == "__main__":
    main()
