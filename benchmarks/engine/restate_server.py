"""Restate: five durable steps in a handler, called over HTTP."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import ClassVar

import aiohttp

from benchmarks.processes import LOOPBACK, Server, free_ports

MODULES = Path(__file__).parents[1] / "node_modules" / "@restatedev"
SYSTEM = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
BINARY = MODULES / f"restate-server-{SYSTEM}-{MACHINE}" / "bin" / "restate-server"


class RestateServer:
    """The server as it comes, and the handler served by Hypercorn in a process of its own."""

    name: ClassVar[str] = "Restate"
    packages: ClassVar[tuple[str, ...]] = ("restate-sdk",)

    async def prepare(self, directory: Path) -> None:
        """Start the server and the service, and register one with the other."""
        fabric, ingress, admin, endpoint = free_ports(4)
        self._service = Server(
            [
                *(sys.executable, "-m", "hypercorn", "benchmarks.engine.restate_service:app"),
                *("--bind", f"{LOOPBACK}:{endpoint}", "--worker-class", "uvloop"),
            ],
            log=directory / "service.log",
            environment={},
        )
        self._settings = {
            "RESTATE_BASE_DIR": str(directory / "restate"),
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_BIND_ADDRESS": f"{LOOPBACK}:{fabric}",
            "RESTATE_INGRESS__BIND_ADDRESS": f"{LOOPBACK}:{ingress}",
            "RESTATE_ADMIN__BIND_ADDRESS": f"{LOOPBACK}:{admin}",
            "RESTATE_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
        }
        self._server = Server(
            [str(BINARY), "--no-logo"], log=directory / "restate.log", environment=self._settings
        )
        for server, port in ((self._service, endpoint), (self._server, admin), (self._server, ingress)):
            server.wait_until_listening(port)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=60),
            raise_for_status=True,
        )
        self._address = f"http://{LOOPBACK}:{ingress}/benchmark/five_steps"
        await self._session.post(
            f"http://{LOOPBACK}:{admin}/deployments", json={"uri": f"http://{LOOPBACK}:{endpoint}"}
        )

    async def run_one(self, number: int) -> int:
        """Call the handler with an idempotency key made of `number`, and wait for its answer."""
        async with self._session.post(
            self._address, json=number, headers={"idempotency-key": f"run-{number}"}
        ) as answer:
            return int(json.loads(await answer.read()))

    async def durability(self) -> str:
        """What the server's own dump of its configuration says."""
        unsynced = self._configuration()["log-server"]["rocksdb-disable-wal-fsync"]
        release = json.loads((BINARY.parents[1] / "package.json").read_text())["version"]
        return f"server {release}: RocksDB log, fsync {'off' if unsynced else 'on'}"

    def _configuration(self) -> dict[str, dict[str, object]]:
        dump = subprocess.run(
            [BINARY, "--dump-config"],
            env=os.environ | self._settings,
            capture_output=True,
            text=True,
            check=True,
        )
        return tomllib.loads(dump.stdout)

    async def close(self) -> int:
        """Stop the server, then the service."""
        await self._session.close()
        return self._server.stop() + self._service.stop()
