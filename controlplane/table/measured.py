"""What was measured of the current table: a state for each target, credential and provider in use.

A state is made when it is first needed, so a table of ten thousand targets of which ten are called
costs ten states. What an install no longer names is forgotten.
"""

from __future__ import annotations

from controlplane.table.breaker import Breaker
from controlplane.table.health import ProbeHealth
from controlplane.table.layout import EMPTY_LAYOUT, Layout
from controlplane.table.schema import Provider, Table, Target
from controlplane.table.states import CredentialState, ProviderState, TargetState


class Measured:
    """The states, each by its identity; see the live table for what belongs to which.

    layout: the identities of the current table. targets, credentials: by key. providers: by name,
    those that are gone too, as long as calls to them are in flight.
    """

    def __init__(self) -> None:
        self.layout = EMPTY_LAYOUT
        self.targets: dict[str, TargetState] = {}
        self.credentials: dict[str, CredentialState] = {}
        self.providers: dict[str, ProviderState] = {}

    def install(self, layout: Layout) -> None:
        """Go over to another layout. Costs time in what was measured."""
        self.layout = layout
        self._install_credentials(layout)
        self._install_targets(layout)
        self._install_providers(layout)

    def find(self, target: Target, table: Table) -> tuple[Provider, TargetState] | None:
        """Find a target of a table, the current or an older one, None if it is not in it.

        A target of an older table that the current one has forgotten gets a state of its own.
        """
        provider = table.providers.get(target.provider)
        if provider is None:
            return None
        layout = self.layout
        if table is not layout.table and provider.target_key(target.model) != target.key:
            return None
        state = self.targets.get(target.key) or self.target(target.key)
        if state is None:
            if table is layout.table:
                return None
            state = self._forgotten(provider)
        return provider, state

    def target(self, key: str) -> TargetState | None:
        """Return the state of a target of the current table, None if it is not in it."""
        state = self.targets.get(key)
        place = self.layout.places.get(key)
        if state is None and place is not None:
            state = self.targets[key] = TargetState(
                breaker=Breaker(place.policy),
                mode=place.policy.mode,
                credential=self._credential(place.credential_key),
            )
        return state

    def credential(self, key: str) -> CredentialState | None:
        """Return the state of a credential of the current table, None if it is not in it."""
        return self._credential(key) if key in self.layout.owners else None

    def provider(self, provider: Provider) -> ProviderState:
        """Return the state of a provider, of the current table or of one before it."""
        state = self.providers.get(provider.name)
        if state is None:
            key = self.layout.credential_keys.get(provider.name) or provider.credential_key
            state = self.providers[provider.name] = ProviderState(credential_key=key)
        return state

    def glimpse(self, target: Target) -> tuple[Provider, TargetState] | None:
        """Look at a target of the current table, None if it is not in it; nothing is kept.

        To look at a table must not fill the memory, so the state may be one made to be looked at.
        """
        provider = self.layout.table.providers.get(target.provider)
        if provider is None or target.key not in self.layout.places:
            return None
        state = self.targets.get(target.key)
        if state is None:
            key = self.layout.credential_keys[provider.name]
            state = _blank(provider, self.credentials.get(key), key)
        return provider, state

    def credential_of(self, provider: str) -> CredentialState | None:
        """Return the state of a provider's credential, None if nothing was measured of it."""
        return self.credentials.get(self.layout.credential_keys.get(provider, ""))

    def _credential(self, key: str) -> CredentialState:
        """Return the state of a credential of the current table."""
        state = self.credentials.get(key)
        if state is None:
            state = CredentialState(key=key, provider=self.layout.owners[key])
            self.credentials[key] = state
        return state

    def _forgotten(self, provider: Provider) -> TargetState:
        """Make a state that nobody else sees; its credential may still be in use."""
        key = provider.credential_key
        return _blank(provider, self._credential(key) if key in self.layout.owners else None, key)

    def _install_credentials(self, layout: Layout) -> None:
        kept = {}
        for key, state in self.credentials.items():
            owner = layout.owners.get(key)
            if owner is not None:
                state.provider = owner
                kept[key] = state
        self.credentials = kept

    def _install_targets(self, layout: Layout) -> None:
        kept = {}
        for key, state in self.targets.items():
            place = layout.places.get(key)
            if place is not None:
                state.breaker.policy = place.policy
                state.mode = place.policy.mode
                kept[key] = state
        self.targets = kept

    def _install_providers(self, layout: Layout) -> None:
        kept = {}
        for name, state in self.providers.items():
            provider = layout.table.providers.get(name)
            if provider is None:
                state.health = ProbeHealth()
                if state.in_flight:
                    kept[name] = state
                continue
            key = layout.credential_keys[name]
            if state.credential_key != key or provider.health_check.interval_s <= 0:
                state.credential_key = key
                state.health = ProbeHealth()
            kept[name] = state
        self.providers = kept


def _blank(provider: Provider, credential: CredentialState | None, key: str) -> TargetState:
    return TargetState(
        breaker=Breaker(provider.breaker),
        mode=provider.breaker.mode,
        credential=credential or CredentialState(key=key, provider=provider.name),
    )
