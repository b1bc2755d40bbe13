"""The live table against a model: everything may happen in any order, and both must agree.

The model is written for plainness, not speed: it keeps what happened, and has one rule a line. Two
targets share a provider and a credential, a third stands alone and comes and goes with installs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controlplane.table.live import LiveTable, Permit
from controlplane.table.outcome import Outcome, OutcomeKind, SkipReason
from controlplane.table.schema import Table, Target
from controlplane.table.view import Circuit, StateName
from tests.controlplane.table.tables import POLICY, provider, route, table, target

FAILURES, OPEN_S, MAX_OPEN_S, TRIALS, LIMIT = 2, 16.0, 50.0, 2, 5
RAMP_PERCENT, RAMP_S = 50, 4.0
PATIENCE_S = 60.0
HEALTH = (OutcomeKind.SUCCESS, OutcomeKind.FAILURE)

PAIR = provider(
    "pair",
    max_in_flight=LIMIT,
    breaker=replace(
        POLICY,
        consecutive_failures=FAILURES,
        min_requests=10**9,
        open_s=OPEN_S,
        max_open_s=MAX_OPEN_S,
        half_open_requests=TRIALS,
        ramp_up=(RAMP_PERCENT,),
    ),
)
GUEST = replace(PAIR, name="guest", base_url="https://guest.example/v1")
ONE, TWO, THREE = target(PAIR, "one"), target(PAIR, "two"), target(GUEST, "three")
TARGETS = (ONE, TWO, THREE)

FULL = table([PAIR, GUEST], [route(TARGETS)])
HALF = table([PAIR], [route([ONE, TWO])], generation=2)


@dataclass(eq=False)
class ModelCall:
    """A call in flight, with what was true when it left."""

    target: ModelTarget
    credential: ModelCredential
    owner: str
    epoch: int
    pause: int
    key_epoch: int
    trial_until_s: float | None
    key_trial: bool


@dataclass(eq=False)
class ModelCredential:
    until_s: float | None = None
    row: int = 0
    epoch: int = 0
    trial: ModelCall | None = None
    trial_until_s: float = 0.0

    def refuses(self, now_s: float) -> bool:
        if self.until_s is None:
            return False
        taken = self.trial is not None and now_s < self.trial_until_s
        return now_s < self.until_s or taken

    def open(self, seconds: float, now_s: float) -> None:
        self.until_s, self.trial = now_s + seconds, None
        self.row, self.epoch = self.row + 1, self.epoch + 1


@dataclass(eq=False)
class ModelTarget:
    state: str = "closed"
    epoch: int = 0
    row: int = 0
    trips: int = 0
    until_s: float = 0.0
    ramp_since_s: float | None = None
    won: int = 0
    trials: list[ModelCall] = field(default_factory=list)
    pause_until_s: float = 0.0
    pauses: int = 0
    limits_in_row: int = 0

    def ramps(self, now_s: float) -> bool:
        since_s = self.ramp_since_s
        return self.state == "closed" and since_s is not None and now_s - since_s < RAMP_S

    def running(self, now_s: float) -> int:
        return sum(1 for call in self.trials if (call.trial_until_s or 0.0) > now_s)

    def refuses(self, now_s: float) -> bool:
        if self.state == "open":
            return now_s < self.until_s
        return self.state == "half_open" and self.running(now_s) >= TRIALS

    def enter(self, state: str) -> None:
        self.state, self.epoch, self.ramp_since_s = state, self.epoch + 1, None
        self.trials, self.won = [], 0

    def trip(self, first_s: float, now_s: float, draw: float) -> None:
        if self.state == "closed" and not self.ramps(now_s):
            self.trips = 0
        seconds = min(first_s * 2**self.trips, MAX_OPEN_S)
        self.until_s, self.trips = now_s + seconds * (1 + draw / 10), self.trips + 1
        self.enter("open")

    def pause(self, call: ModelCall, seconds: float, now_s: float) -> None:
        self.pauses += call.pause == self.pauses
        self.pause_until_s = max(self.pause_until_s, now_s + seconds)


class LiveTableAgainstModel(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s, self.draw = 0.0, 0.0
        self.live = LiveTable(random=lambda: self.draw)
        self.calls: list[tuple[Permit, ModelCall]] = []
        self.ended: list[Permit] = []

    @initialize()
    def begin(self) -> None:
        self.model = {item.key: ModelTarget() for item in TARGETS}
        self.keys = {owner.name: ModelCredential() for owner in (PAIR, GUEST)}
        self.install(FULL)

    @rule(made=st.sampled_from([FULL, HALF]))
    def install(self, made: Table) -> None:
        self.table = made
        self.live.install(made, self.now_s)
        if made is HALF:
            self.model[THREE.key], self.keys[GUEST.name] = ModelTarget(), ModelCredential()

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 16.0, 17.7, 33.0, 60.0, 600.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(draw=st.sampled_from([0.0, 0.4, 0.6, 0.9]))
    def throw_dice(self, draw: float) -> None:
        self.draw = draw

    @rule(place=st.sampled_from(TARGETS))
    def wait_until_it_may_be_tried(self, place: Target) -> None:
        """Go to the very moment: that is where mistakes are."""
        ends = [self.model[place.key].until_s, self.keys[place.provider].until_s or 0.0]
        self.now_s = max(self.now_s, *ends, self.model[place.key].pause_until_s)

    @rule(place=st.sampled_from(TARGETS))
    def wait_for_the_end_of_the_ramp(self, place: Target) -> None:
        since_s = self.model[place.key].ramp_since_s
        self.now_s = max(self.now_s, (since_s or 0.0) + RAMP_S)

    @rule(place=st.sampled_from(TARGETS))
    def wait_for_patience_to_end(self, place: Target) -> None:
        ends = [call.trial_until_s or 0.0 for call in self.model[place.key].trials]
        self.now_s = max([self.now_s, self.keys[place.provider].trial_until_s, *ends])

    @rule(
        place=st.sampled_from(TARGETS),
        kinds=st.lists(st.sampled_from(HEALTH), min_size=1, max_size=4),
    )
    def call(self, place: Target, kinds: list[OutcomeKind]) -> None:
        """Make whole calls, one after the other."""
        for kind in kinds:
            before = len(self.calls)
            self.admit(place, last_resort=True)
            if len(self.calls) > before:
                self.record(before, kind, None)

    @rule(place=st.sampled_from(TARGETS), last_resort=st.booleans())
    def admit(self, place: Target, last_resort: bool) -> None:
        answer = self.live.admit(place, self.table, self.now_s, last_resort=last_resort)
        model = self.model[place.key]
        reason = self.reason(place)
        lost = model.ramps(self.now_s) and self.draw * 100 >= RAMP_PERCENT
        if reason is None and lost and not last_resort:
            reason = SkipReason.RAMPING_UP

        if reason is not None:
            assert not isinstance(answer, Permit)
            assert reason is answer.reason
            return
        assert isinstance(answer, Permit), answer
        call = self.take(place, model)
        assert (call.trial_until_s is not None or call.key_trial) == answer.trial
        self.calls.append((answer, call))

    @precondition(lambda self: self.calls)
    @rule(
        index=st.integers(0, 9),
        kind=st.sampled_from(OutcomeKind) | st.sampled_from(HEALTH),
        hint_s=st.none() | st.sampled_from([3.0, 90.0]),
    )
    def record(self, index: int, kind: OutcomeKind, hint_s: float | None) -> None:
        permit, call = self.calls.pop(index % len(self.calls))
        self.live.record(permit, Outcome(kind=kind, retry_after_s=hint_s), self.now_s)
        self.ended.append(permit)
        self.end(call, kind, hint_s)

    @precondition(lambda self: self.ended)
    @rule(index=st.integers(0, 9), kind=st.sampled_from(OutcomeKind))
    def record_again(self, index: int, kind: OutcomeKind) -> None:
        permit = self.ended[index % len(self.ended)]
        self.live.record(permit, Outcome(kind=kind), self.now_s)

    @rule()
    def rotate(self) -> None:
        self.live.credential_changed(PAIR.credential_key, self.now_s)
        key = self.keys[PAIR.name]
        key.until_s, key.row, key.trial, key.epoch = None, 0, None, key.epoch + 1

    @invariant()
    def circuits_are_views_in_short(self) -> None:
        told = {
            (target.provider, target.model): Circuit(
                used=bool(target.successes or target.failures),
                closed=target.state is StateName.CLOSED
                and view.credential_open_in_s is None
                and view.healthy is not False,
            )
            for view in self.live.view(self.now_s)
            for target in view.targets
        }

        assert [told.get((place.provider, place.model)) for place in TARGETS] == [
            self.live.circuit(place, self.now_s) for place in TARGETS
        ]

    @invariant()
    def refusals_agree(self) -> None:
        for place in TARGETS:
            refusal = self.live.refusal(place, self.table, self.now_s)
            assert self.reason(place) is (None if refusal is None else refusal.reason)

    @invariant()
    def views_agree(self) -> None:
        for owner in self.live.view(self.now_s):
            assert owner.in_flight == sum(1 for _, call in self.calls if call.owner == owner.name)
            for view in owner.targets:
                model = self.model[view.key]
                over = model.state == "open" and self.now_s >= model.until_s
                assert ("half_open" if over else model.state) == view.state.value
                assert model.row == view.consecutive_failures
                settled = model.state == "closed" and not model.ramps(self.now_s)
                assert (0 if settled else model.trips) == view.trips
                assert (RAMP_PERCENT if model.ramps(self.now_s) else 100) == view.ramp_percent
                flying = sum(1 for _, call in self.calls if call.target is model)
                assert flying == view.in_flight

    def reason(self, place: Target) -> SkipReason | None:
        model, now_s = self.model[place.key], self.now_s
        if place is THREE and self.table is HALF:
            return SkipReason.NOT_AVAILABLE
        if self.keys[place.provider].refuses(now_s):
            return SkipReason.CREDENTIAL_OPEN
        if model.refuses(now_s):
            return SkipReason.CIRCUIT_OPEN
        if now_s < model.pause_until_s:
            return SkipReason.COOLDOWN
        if sum(1 for _, call in self.calls if call.owner == place.provider) >= LIMIT:
            return SkipReason.MAX_IN_FLIGHT
        return None

    def take(self, place: Target, model: ModelTarget) -> ModelCall:
        key = self.keys[place.provider]
        if model.state == "open":
            model.enter("half_open")
        call = ModelCall(
            target=model,
            credential=key,
            owner=place.provider,
            epoch=model.epoch,
            pause=model.pauses,
            key_epoch=key.epoch,
            trial_until_s=self.now_s + PATIENCE_S if model.state == "half_open" else None,
            key_trial=key.until_s is not None,
        )
        if call.trial_until_s is not None:
            model.trials.append(call)
        if call.key_trial:
            key.trial, key.trial_until_s = call, self.now_s + PATIENCE_S
        return call

    def end(self, call: ModelCall, kind: OutcomeKind, hint_s: float | None) -> None:
        self.end_at_breaker(call.target, call, kind)
        self.end_at_credential(call.credential, call, kind, hint_s)
        if kind is OutcomeKind.RATE_LIMITED:
            call.target.limits_in_row += call.pause == call.target.pauses
            own_s = min(2.0 ** max(call.target.limits_in_row - 1, 0), 60.0)
            call.target.pause(call, hint_s or own_s, self.now_s)
        if kind is OutcomeKind.NOT_READY:
            call.target.pause(call, hint_s or 2.0, self.now_s)
        if kind is OutcomeKind.SUCCESS and call.pause == call.target.pauses:
            call.target.limits_in_row = 0

    def end_at_breaker(self, model: ModelTarget, call: ModelCall, kind: OutcomeKind) -> None:
        if call in model.trials:
            model.trials.remove(call)
        if call.epoch != model.epoch:
            return
        trial = model.state == "half_open"
        if kind is OutcomeKind.TARGET_BROKEN:
            model.row += 1
            model.trip(MAX_OPEN_S, self.now_s, self.draw)
        if kind is OutcomeKind.FAILURE:
            model.row += 1
            if trial or model.row >= FAILURES:
                model.trip(OPEN_S, self.now_s, self.draw)
        if kind is OutcomeKind.SUCCESS:
            model.won += trial
            if model.won >= TRIALS:
                model.enter("closed")
                model.ramp_since_s = self.now_s
            if model.state == "closed":
                model.row = 0

    def end_at_credential(
        self, key: ModelCredential, call: ModelCall, kind: OutcomeKind, hint_s: float | None
    ) -> None:
        if key.trial is call:
            key.trial = None
        if call.key_epoch != key.epoch:
            return
        if kind is OutcomeKind.CREDENTIAL_REFUSED:
            key.open(min(60.0 * 2**key.row, 600.0), self.now_s)
        if kind is OutcomeKind.QUOTA_EXHAUSTED:
            key.open(max(hint_s or 0.0, 600.0), self.now_s)
        if kind is OutcomeKind.SUCCESS:
            key.row = 0
            if key.until_s is not None:
                key.until_s, key.trial, key.epoch = None, None, key.epoch + 1


TestLiveTableAgainstModel = LiveTableAgainstModel.TestCase
TestLiveTableAgainstModel.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None
)
