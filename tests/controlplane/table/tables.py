"""Small tables for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from controlplane.table.outcome import Outcome, OutcomeKind, Refusal
from controlplane.table.permit import Permit
from controlplane.table.schema import (
    BreakerMode,
    BreakerPolicy,
    CredentialKind,
    CredentialRef,
    HealthCheck,
    Model,
    Price,
    Provider,
    ProviderType,
    RetryPolicy,
    Route,
    StrategyName,
    Table,
    Target,
    Timeouts,
    index_models,
)

POLICY = BreakerPolicy(
    mode=BreakerMode.AUTO,
    consecutive_failures=3,
    failure_ratio=0.5,
    window_s=30.0,
    min_requests=20,
    open_s=16.0,
    max_open_s=300.0,
    half_open_requests=1,
    ramp_up=(),
)
TIMEOUTS = Timeouts(connect_s=2.0, first_event_s=30.0, answer_s=300.0, idle_s=60.0, total_s=600.0)
HEALTH_CHECK = HealthCheck(
    interval_s=30.0, timeout_s=5.0, unhealthy_threshold=3, healthy_threshold=1
)
RETRY = RetryPolicy(
    attempts=4, attempts_per_target=2, backoff_s=0.2, max_backoff_s=5.0, deadline_s=120.0
)

SUCCESS = Outcome(kind=OutcomeKind.SUCCESS, latency_s=1.0)
FAILURE = Outcome(kind=OutcomeKind.FAILURE, error="upstream_error 500")
IGNORED = Outcome(kind=OutcomeKind.IGNORED)


def zero() -> float:
    """The lowest random number: no jitter, the first of all, wins each lot."""
    return 0.0


def cycle(*numbers: float) -> Callable[[], float]:
    """Give these numbers in turn, over and over."""
    state = {"next": 0}

    def draw() -> float:
        number = numbers[state["next"] % len(numbers)]
        state["next"] += 1
        return number

    return draw


def provider(
    name: str = "a",
    *,
    base_url: str | None = None,
    credential: str | None = "KEY",
    breaker: BreakerPolicy = POLICY,
    max_in_flight: int = 100,
    prices: dict[str, float] | None = None,
    health_check: HealthCheck = HEALTH_CHECK,
    suspend: bool = False,
) -> Provider:
    """Make a provider; its host is its name, its credential the environment variable."""
    return Provider(
        name=name,
        type=ProviderType.OPENAI,
        base_url=base_url or f"https://{name}.example/v1",
        credential=None
        if credential is None
        else CredentialRef(kind=CredentialKind.ENV, name=credential),
        models={
            model: Model(name=model, price=Price(input=cost / 4, output=cost * 3 / 4))
            for model, cost in (prices or {}).items()
        },
        timeouts=TIMEOUTS,
        health_check=health_check,
        breaker=breaker,
        max_in_flight=max_in_flight,
        suspend=suspend,
    )


def target(owner: Provider, model: str = "m", *, priority: int = 1, weight: int = 1) -> Target:
    """Make a target of a provider."""
    return Target(
        provider=owner.name,
        model=model,
        priority=priority,
        weight=weight,
        key=owner.target_key(model),
    )


def route(
    targets: Sequence[Target],
    *,
    name: str = "chat",
    strategy: StrategyName = StrategyName.PRIORITY_WITH_FALLBACK,
) -> Route:
    """Make a route whose model has the route's name."""
    return Route(name=name, models=(name,), strategy=strategy, targets=tuple(targets), retry=RETRY)


def table(
    providers: Sequence[Provider], routes: Sequence[Route] | None = None, *, generation: int = 1
) -> Table:
    """Make a table; without routes, one route leads to the model `m` of each provider."""
    if routes is None:
        routes = [route([target(owner) for owner in providers])] if providers else []
    by_name = {item.name: item for item in routes}
    exact, prefixes, wildcard = index_models(by_name)
    return Table(
        generation=generation,
        version=f"v{generation}",
        providers={item.name: item for item in providers},
        routes=by_name,
        exact=exact,
        prefixes=prefixes,
        wildcard=wildcard,
    )


def permitted(given: Permit | Refusal) -> Permit:
    """Narrow to a permit."""
    assert isinstance(given, Permit), given
    return given


def refused(given: Permit | Refusal | None) -> Refusal:
    """Narrow to a refusal."""
    assert isinstance(given, Refusal), given
    return given


def with_mode(policy: BreakerPolicy, mode: BreakerMode) -> BreakerPolicy:
    """Return the policy in another mode."""
    return replace(policy, mode=mode)
