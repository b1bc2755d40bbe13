"""The provider objects in use, one for each configured provider.

A provider object is made when a request first needs it, and again when its configuration has
changed. A request that started with an older table may get the older object.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.table import schema
from dataplane import registry
from dataplane.credentials import Credentials
from dataplane.provider import Provider
from dataplane.transport import Transport


class ProviderPool:
    """Makes providers, and keeps the newest of each name.

    clock: monotonic seconds. adapters: which types there are.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float],
        adapters: registry.Adapters = registry.ADAPTERS,
    ) -> None:
        """Keep what every provider needs."""
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._adapters = adapters
        self._made: dict[str, tuple[schema.Provider, Provider]] = {}

    def get(self, config: schema.Provider) -> Provider:
        """Return the provider object for this configuration."""
        made = self._made.get(config.name)
        if made is not None and (made[0] is config or made[0] == config):
            return made[1]
        provider = registry.connect(
            config, self._transport, self._credentials, self._clock, self._adapters
        )
        self._made[config.name] = (config, provider)
        return provider

    def follow(self, table: schema.Table) -> None:
        """Get ready for a new table, and forget the providers that it no longer has."""
        registry.preload((each.type for each in table.providers.values()), self._adapters)
        for name in self._made.keys() - table.providers.keys():
            del self._made[name]
