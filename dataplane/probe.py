"""Active health: asks providers that traffic does not ask.

A provider is probed if none of its targets was used for one interval, or if one of them is out of
use. Traffic says more than a probe, so a busy healthy provider is left alone. Probes cost no
tokens; a bad one can take a provider out of rotation, a good one brings it back, but only real
calls close a breaker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from controlplane.table.live import LiveTable
from controlplane.table.schema import Provider, Table, Target
from dataplane.pool import ProviderPool
from dataplane.provider import Health, HealthVerdict

TICK_S = 1.0
"""How often it is looked for providers that are due."""

_JITTER = 0.1
_MAX_AT_ONCE = 8

log = logging.getLogger("switchgear.probe")


class Prober:
    """Probes the providers of the current table, each in its own rhythm.

    clock: monotonic seconds. random: numbers in [0, 1). sleep: waits for seconds.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        pool: ProviderPool,
        clock: Callable[[], float],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Probe nothing yet."""
        self._live = live
        self._pool = pool
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._due_s: dict[str, float] = {}
        self._last: dict[str, HealthVerdict] = {}
        self._indexed: Table | None = None
        self._targets: dict[str, list[Target]] = {}

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self.round()
            await self._sleep(TICK_S)

    async def round(self) -> None:
        """Probe the providers that are due now, a few at once."""
        due = [
            provider for provider in self._live.table.providers.values() if self._is_due(provider)
        ]
        for start in range(0, len(due), _MAX_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for provider in due[start : start + _MAX_AT_ONCE]:
                    group.create_task(self._probe(provider))
        gone = self._due_s.keys() - self._live.table.providers.keys()
        for name in gone:
            del self._due_s[name]
            self._last.pop(name, None)

    def _is_due(self, provider: Provider) -> bool:
        interval_s = provider.health_check.interval_s
        if interval_s <= 0 or provider.suspend:
            return False
        now = self._clock()
        due_s = self._due_s.get(provider.name)
        if due_s is None:
            # Spread the first probes of many sidecars that start together.
            self._due_s[provider.name] = now + interval_s * self._random()
            return False
        if now < due_s:
            return False
        self._due_s[provider.name] = now + interval_s * (1 + _JITTER * (2 * self._random() - 1))
        used_s = self._live.last_used_s(provider.name)
        idle = used_s is None or now - used_s >= interval_s
        return idle or self._is_impaired(provider, now)

    def _is_impaired(self, provider: Provider, now_s: float) -> bool:
        """Tell whether one of the provider's targets is out of use."""
        table = self._live.table
        if self._indexed is not table:
            self._indexed = table
            self._targets = {}
            for route in table.routes.values():
                for target in route.targets:
                    self._targets.setdefault(target.provider, []).append(target)
        return any(
            self._live.refusal(target, table, now_s) is not None
            for target in self._targets.get(provider.name, ())
        )

    async def _probe(self, provider: Provider) -> None:
        try:
            health = await self._pool.get(provider).is_healthy()
        except Exception:
            # A bug in one adapter must not end the probing of all.
            log.exception("probing %s failed unexpectedly", provider.name)
            return
        self._note(provider, health)

    def _note(self, provider: Provider, health: Health) -> None:
        # An upstream that answers is reachable, whatever it refuses: real calls will find that out.
        reachable = health.verdict is not HealthVerdict.UNREACHABLE
        detail = health.verdict.value + (f": {health.detail}" if health.detail else "")
        self._live.record_probe(provider.name, reachable, detail, self._clock())
        if self._last.get(provider.name) is not health.verdict:
            self._last[provider.name] = health.verdict
            log.info("provider %s is %s", provider.name, detail)
