"""The live table: the current table, and everything that is measured of its targets.

It is the one piece of state that all requests share. Its methods neither wait nor do I/O, and run
on one thread, between awaits. Time is an argument, in monotonic seconds; chance comes from the
`random` it was made with.

What is configured (suspend, breaker mode, limits) is taken from the table that is passed in, for a
request keeps the table it started with. What is measured is shared and found by identity:

* breaker, cooldown and latency by target key, so they outlive every change of a manifest that
  leaves type, base URL, credential and model alone. Two providers of one identity share them, under
  the breaker policy of the first that a route names;
* the credential breaker by credential key;
* calls in flight (for `max_in_flight`), active health and time of last use by the provider's name.
  The count goes on while calls of a removed provider drain, so removing and adding it again never
  doubles the limit. Health begins anew with another base URL or credential, or without probes.

A target that an install forgets stays callable for requests of the older table, with a state that
nobody else sees, and what their calls prove goes nowhere.

A state is made when it is first needed: a target that was never called is closed and idle, and costs
nothing. So an install takes time in what was measured, if the rest was found before (`prepare`), and
`order`, `refusal`, `admit` and `record` in the targets of the route at most.

What is expensive to find out can be shared with live tables of other processes: see `news`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from controlplane.table import sharing
from controlplane.table.breaker import BreakerState
from controlplane.table.layout import Layout, Prepared, prepare
from controlplane.table.measured import Measured
from controlplane.table.news import News, NewsKind
from controlplane.table.outcome import Outcome, Refusal, SkipReason
from controlplane.table.permit import NO_EPOCH, VERDICTS, Permit, learn
from controlplane.table.schema import (
    BreakerMode,
    Provider,
    Route,
    StrategyName,
    Table,
    Target,
)
from controlplane.table.states import CredentialState, ProviderState, TargetState, state_name
from controlplane.table.strategies import STRATEGIES, Scene
from controlplane.table.view import (
    Circuit,
    ProviderView,
    StateName,
    TargetView,
    Transition,
    TransitionScope,
)

__all__ = [
    "LiveTable",
    "Permit",
    "ProviderView",
    "StateName",
    "TargetView",
    "Transition",
    "TransitionScope",
]


# A member by a name of its own: looking it up in its class costs more than comparing it.
_AUTO: Final = BreakerMode.AUTO
_IDLE: Final = ProviderState(credential_key="")
_PASSING: Final = frozenset({StateName.CLOSED, StateName.FORCED_CLOSED})
_NOT_AVAILABLE: Final = Refusal(reason=SkipReason.NOT_AVAILABLE, detail="not in the routing table")


class LiveTable:
    """See the module. random gives numbers in [0, 1)."""

    def __init__(self, *, random: Callable[[], float]) -> None:
        self._random = random
        self._measured = Measured()
        self._turns: dict[str, int] = {}
        self._listeners: list[Callable[[Transition], None]] = []
        self._tellers: list[Callable[[News], None]] = []

    @property
    def table(self) -> Table:
        """The current table; EMPTY_TABLE before the first install."""
        return self._measured.layout.table

    @property
    def layout(self) -> Layout:
        """The identities of the current table."""
        return self._measured.layout

    def subscribe(self, listener: Callable[[Transition], None]) -> None:
        """Call `listener` with each transition from now on, at once, after the state has changed."""
        self._listeners.append(listener)

    def tell(self, listener: Callable[[News], None]) -> None:
        """Call `listener` with what this live table finds out by itself, for others; see `news`."""
        self._tellers.append(listener)

    def news(self, now_s: float) -> Sequence[News]:
        """Tell all that is in force now, for one that knows nothing yet."""
        return tuple(sharing.in_force(self._measured, now_s))

    def follow(self, news: News, now_s: float) -> None:
        """Take over what another live table of the same table has found out."""
        transition = sharing.follow(news, self._measured, now_s)
        if transition is not None:
            self._announce(transition)

    def used_elsewhere(self, provider: str, at_s: float, *, served: bool) -> None:
        """Take note of calls of another process, so that a busy provider is not probed.

        at_s: when the latest was admitted. served: whether one was answered since the last note.
        """
        configured = self.table.providers.get(provider)
        if configured is None:
            return
        state = self._measured.provider(configured)
        if state.last_used_s is None or state.last_used_s < at_s:
            state.last_used_s = at_s
        if served:
            state.health.answered()

    def install(self, table: Table, now_s: float, prepared: Prepared | None = None) -> None:
        """Make `table` the current one; keep what was measured of all that is still in it.

        prepared: of this table, over the current layout; without it that is done here.
        """
        if prepared is None or prepared.before is not self.layout:
            prepared = prepare(table, self.layout)
        self._measured.install(prepared.after)
        self._turns = {name: turn for name, turn in self._turns.items() if name in table.routes}
        for move in prepared.moves:
            state = self._measured.targets.get(move.target.key)
            breaker = BreakerState.CLOSED if state is None else state.breaker.state
            self._announce(
                Transition(
                    key=move.target.key,
                    provider=move.target.provider,
                    model=move.target.model,
                    before=state_name(breaker, move.before),
                    after=state_name(breaker, move.after),
                    reason="its manifest was changed",
                    at_s=now_s,
                )
            )

    def order(self, route: Route, table: Table, now_s: float) -> Sequence[Target]:
        """List all targets of the route in the order to try them; see `strategies`."""
        if len(route.targets) == 1:
            return route.targets
        turn = 0
        if route.strategy is StrategyName.ROUND_ROBIN:
            turn = self._turns.get(route.name, 0)
            self._turns[route.name] = turn + 1
        scene = Scene(
            providers=table.providers,
            gauges=self._measured.targets,
            turn=turn,
            now_s=now_s,
            random=self._random,
        )
        return STRATEGIES[route.strategy](route.targets, scene)

    def refusal(self, target: Target, table: Table, now_s: float) -> Refusal | None:
        """Tell why a call would be refused now, None if it would be admitted. Takes nothing.

        Never RAMPING_UP: that is drawn by lot when a call is admitted.
        """
        found = self._measured.find(target, table)
        if found is None:
            return _NOT_AVAILABLE
        provider, state = found
        return self._refusal(provider, state, now_s)

    def admit(
        self, target: Target, table: Table, now_s: float, *, last_resort: bool = False
    ) -> Permit | Refusal:
        """Take a place for one call, or tell why there is none. Each permit must be recorded.

        last_resort: no other target is left, so a ramp-up does not draw lots and lets it through.
        """
        found = self._measured.find(target, table)
        if found is None:
            return _NOT_AVAILABLE
        provider, state = found
        automatic = provider.breaker.mode is _AUTO
        refusal = self._refusal(provider, state, now_s)
        if refusal is None and automatic and not last_resort:
            refusal = state.breaker.draw_lot(now_s, self._random)
        if refusal is not None:
            return refusal
        return self._take(target, provider, state, now_s)

    def record(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Give the place back and learn from the outcome. The first call wins, others do nothing.

        A mid-stream failure is a failure, whatever `first_event` said before.
        """
        if permit.recorded:
            return
        permit.recorded = True
        state, credential = permit.target_state, permit.target_state.credential
        before, credential_before = state.breaker.state, credential.breaker.state
        pause = state.cooldown.epoch
        self._leave(permit)
        credential.breaker.give_back(permit.credential_trial)
        state.breaker.give_back(
            epoch=permit.epoch,
            trial=permit.breaker_trial,
            verdict=VERDICTS[outcome.kind],
            error=outcome.error,
            now_s=now_s,
            random=self._random,
        )
        learn(permit, outcome, now_s)
        if state.cooldown.epoch != pause and self._measured.targets.get(permit.key) is state:
            self._tell(sharing.of_cooldown(permit.key, state.cooldown))
        if state.breaker.state is not before:
            self._announce_target(permit, before, now_s)
        if credential.breaker.state is not credential_before:
            self._announce_credential(credential, credential_before, now_s)

    def first_event(self, permit: Permit, latency_s: float, now_s: float) -> None:
        """Take the latency of a stream that begins to answer; its end is recorded later.

        Counts once for each permit, and not after its record.
        """
        if not permit.sampled and not permit.recorded:
            permit.sampled = True
            permit.target_state.latency.observe(latency_s, now_s)

    def record_probe(
        self,
        provider: str,
        reachable: bool,  # noqa: FBT001 - a probe says yes or no
        detail: str,
        now_s: float,
    ) -> None:
        """Take the result of an active probe; the provider's thresholds decide what it means.

        A provider that is not in the current table is left alone.
        """
        configured = self.table.providers.get(provider)
        if configured is None:
            return
        health = self._measured.provider(configured).health
        before = health.healthy
        health.probed(reachable=reachable, detail=detail, check=configured.health_check)
        if health.healthy is not before:
            kind = NewsKind.HEALTH
            self._tell(News(kind=kind, key=provider, detail=health.detail, healthy=health.healthy))

    def last_used_s(self, provider: str) -> float | None:
        """Return when a call to the provider was last admitted, None if never."""
        state = self._measured.providers.get(provider)
        return None if state is None else state.last_used_s

    def credential_changed(self, credential_key: str, now_s: float) -> None:
        """Close the credential's breaker: its secret is another. Unknown keys are left alone."""
        credential = self._measured.credentials.get(credential_key)
        if credential is not None:
            before = credential.breaker.state
            credential.breaker.changed()
            self._announce_credential(credential, before, now_s)

    def view(self, now_s: float) -> Sequence[ProviderView]:
        """Show all providers of the current table, in its order. Costs time in the whole table."""
        return [
            replace(
                self.provider_view(provider, now_s),
                targets=list(self.target_views(provider.name, now_s)),
            )
            for provider in self.table.providers.values()
        ]

    def calls(self) -> Mapping[str, int]:
        """Count the calls in flight by provider; those without any are left out."""
        providers = self._measured.providers
        return {name: state.in_flight for name, state in providers.items() if state.in_flight}

    def measured_view(self, now_s: float) -> Sequence[ProviderView]:
        """Show only what was measured of the current table: providers and targets with a state."""
        measured = self._measured
        return [
            replace(
                self.provider_view(provider, now_s),
                targets=[
                    view
                    for target in measured.layout.targets.get(name, ())
                    if target.key in measured.targets
                    and (view := self.target_view(target, now_s)) is not None
                ],
            )
            for name in measured.providers
            if (provider := self.table.providers.get(name)) is not None
        ]

    def provider_view(self, provider: Provider, now_s: float) -> ProviderView:
        """Show one provider of the current table, without its targets; see `target_views`."""
        state = self._measured.providers.get(provider.name) or _IDLE
        credential = self._measured.credential_of(provider.name)
        return ProviderView(
            name=provider.name,
            type=provider.type,
            base_url=provider.base_url,
            suspended=provider.suspend,
            healthy=state.health.healthy,
            health_detail=state.health.detail,
            in_flight=state.in_flight,
            max_in_flight=provider.max_in_flight,
            credential_open_in_s=credential.breaker.open_in_s(now_s) if credential else None,
            targets=(),
        )

    def target_views(self, provider: str, now_s: float) -> Iterator[TargetView]:
        """Show the targets of a provider, one by one, each as it is when it is its turn."""
        for target in self._measured.layout.targets.get(provider, ()):
            view = self.target_view(target, now_s)
            if view is not None:
                yield view

    def target_view(self, target: Target, now_s: float) -> TargetView | None:
        """Show one target, None if the current table has it not."""
        found = self._measured.glimpse(target)
        if found is None:
            return None
        provider, state = found
        refusal = self._refusal(provider, state, now_s)
        return state.view(target, provider.breaker.mode, refusal, now_s)

    def circuit(self, target: Target, now_s: float) -> Circuit | None:
        """Tell whether a target of the current table is used and closed, None if it is in no route.

        What `view` tells at length, for one target, of its provider's probes and credential, too.
        """
        found = self._measured.glimpse(target)
        if found is None:
            return None
        provider, state = found
        measured = self._measured.providers.get(provider.name)
        breaker = state_name(state.breaker.state_at(now_s), provider.breaker.mode)
        return Circuit(
            used=bool(state.successes or state.failures),
            closed=(
                breaker in _PASSING
                and (measured is None or measured.health.healthy is not False)
                and state.credential.breaker.open_in_s(now_s) is None
            ),
        )

    def _refusal(self, provider: Provider, state: TargetState, now_s: float) -> Refusal | None:
        # What lasts longest is told first: a suspended provider is not worth waiting for.
        if provider.suspend:
            return Refusal(reason=SkipReason.SUSPENDED, detail="suspended by its manifest")
        measured = self._measured.providers.get(provider.name)
        if measured is not None and measured.health.healthy is False:
            return Refusal(reason=SkipReason.UNHEALTHY, detail=measured.health.detail)
        refusal = state.refusal(provider.breaker.mode, now_s)
        if refusal is not None:
            return refusal
        if measured is not None and measured.in_flight >= provider.max_in_flight:
            return Refusal(
                reason=SkipReason.MAX_IN_FLIGHT, detail=f"{measured.in_flight} calls in flight"
            )
        return None

    def _take(self, target: Target, provider: Provider, state: TargetState, now_s: float) -> Permit:
        measured = self._measured.provider(provider)
        measured.in_flight += 1
        measured.last_used_s = now_s
        state.in_flight += 1
        automatic = provider.breaker.mode is _AUTO
        breaker, credential = state.breaker, state.credential.breaker
        before, credential_before = breaker.state, credential.state
        breaker_trial = breaker.take(now_s) if automatic else 0
        credential_trial = credential.take(now_s)
        permit = Permit(
            target,
            now_s,
            epoch=breaker.epoch if automatic else NO_EPOCH,
            breaker_trial=breaker_trial,
            credential_trial=credential_trial,
            target_state=state,
            provider_state=measured,
        )
        if breaker.state is not before:
            self._announce_target(permit, before, now_s)
        if credential.state is not credential_before:
            self._announce_credential(state.credential, credential_before, now_s)
        return permit

    def _leave(self, permit: Permit) -> None:
        permit.target_state.in_flight -= 1
        measured = permit.provider_state
        measured.in_flight -= 1
        if not measured.in_flight and permit.provider not in self.table.providers:
            del self._measured.providers[permit.provider]

    def _announce_target(self, permit: Permit, before: BreakerState, now_s: float) -> None:
        state = permit.target_state
        if state.breaker.state is before or self._measured.targets.get(permit.key) is not state:
            return
        self._tell(sharing.of_breaker(permit.key, state.breaker))
        before_name = state_name(before, state.mode)
        after_name = state_name(state.breaker.state, state.mode)
        if before_name is not after_name:
            self._announce(
                Transition(
                    key=permit.key,
                    provider=permit.provider,
                    model=permit.model,
                    before=before_name,
                    after=after_name,
                    reason=state.breaker.reason,
                    at_s=now_s,
                )
            )

    def _announce_credential(
        self, credential: CredentialState, before: BreakerState, now_s: float
    ) -> None:
        breaker = credential.breaker
        if (
            breaker.state is before
            or self._measured.credentials.get(credential.key) is not credential
        ):
            return
        self._tell(sharing.of_credential(credential))
        self._announce(
            Transition(
                key=credential.key,
                provider=credential.provider,
                model="",
                before=state_name(before, BreakerMode.AUTO),
                after=state_name(breaker.state, BreakerMode.AUTO),
                reason=breaker.reason,
                at_s=now_s,
                scope=TransitionScope.CREDENTIAL,
            )
        )

    def _tell(self, news: News | None) -> None:
        if news is not None:
            for listener in self._tellers:
                listener(news)

    def _announce(self, transition: Transition) -> None:
        for listener in self._listeners:
            listener(transition)
