"""The whole data plane in this process, on free loopback ports, with a table given by the test."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from controlplane.table.live import LiveTable
from controlplane.table.schema import Table
from dataplane import registry
from dataplane.credentials import Credentials
from dataplane.handlers import Limits
from dataplane.sidecar import Ports, Sidecar
from dataplane.telemetry import NO_TELEMETRY, Telemetry

FREE = ("127.0.0.1", 0)


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A running sidecar, and a plain HTTP client for it."""

    sidecar: Sidecar
    live: LiveTable
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        host, port = self.sidecar.ports.data
        return f"http://{host}:{port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def admin_url(self) -> str:
        host, port = self.sidecar.ports.admin
        return f"http://{host}:{port}"

    def install(self, table: Table) -> None:
        self.live.install(table, time.monotonic())
        self.sidecar.installed(table)


@asynccontextmanager
async def running(
    table: Table,
    *,
    telemetry: Telemetry = NO_TELEMETRY,
    environ: Mapping[str, str] | None = None,
    max_body_bytes: int = 32 * 2**20,
    max_in_flight: int = 512,
    max_connections: int = 1024,
    probe: bool = False,
    adapters: registry.Adapters = registry.ADAPTERS,
) -> AsyncIterator[Rig]:
    """Run a sidecar over the table, and end it with the block."""
    live = LiveTable(random=random.random)
    live.install(table, time.monotonic())
    sidecar = Sidecar(
        live=live,
        credentials=Credentials(
            environ=environ or {}, secrets_root=Path("/nowhere"), clock=time.monotonic
        ),
        telemetry=telemetry,
        ports=Ports(data=FREE, admin=FREE, probe=FREE if probe else None),
        limits=Limits(max_body_bytes=max_body_bytes, max_in_flight=max_in_flight),
        max_connections=max_connections,
        more_status=dict,
        clock=time.monotonic,
        adapters=adapters,
    )
    async with (
        sidecar,
        aiohttp.ClientSession() as http,
    ):
        yield Rig(sidecar=sidecar, live=live, http=http)


async def until(condition: object, *, timeout_s: float = 10.0) -> None:
    """Wait for a condition, a function without arguments; the deadline is only for failing tests."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
