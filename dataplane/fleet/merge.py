"""What several workers see, as one: sums, and the state that they share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from controlplane.table.outcome import SkipReason
from controlplane.table.view import ProviderView, TargetView

Counts = tuple[int, int]


def providers(
    shared: Sequence[ProviderView],
    seen: Sequence[Sequence[ProviderView]],
    departed: Mapping[str, Counts],
) -> Sequence[ProviderView]:
    """Give what the workers see of each provider of the table, as if they were one.

    shared: the supervisor's own view; breakers, pauses, credentials and health are as it has them,
    since it follows every worker. seen: each worker's view. departed: successes and failures of
    workers that are gone, by target key.

    Calls in flight, successes and failures are sums. The latency is the mean, by successes. Failures
    in a row are those of the worker that has most, the last error is the latest. A target is full
    if it is full for every worker.
    """
    by_name: dict[str, list[ProviderView]] = {}
    for views in seen:
        for view in views:
            by_name.setdefault(view.name, []).append(view)
    return [_provider(view, by_name.get(view.name, ()), departed) for view in shared]


def counts(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    sums: dict[str, int] = {}
    for item in each:
        for name, count in item.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _provider(
    shared: ProviderView, seen: Sequence[ProviderView], departed: Mapping[str, Counts]
) -> ProviderView:
    targets: dict[str, list[TargetView]] = {}
    for view in seen:
        for target in view.targets:
            targets.setdefault(target.key, []).append(target)
    return replace(
        shared,
        in_flight=sum(view.in_flight for view in seen),
        targets=[
            _target(target, targets.get(target.key, ()), departed.get(target.key, (0, 0)))
            for target in shared.targets
        ],
    )


def _target(shared: TargetView, seen: Sequence[TargetView], departed: Counts) -> TargetView:
    failed = [view for view in seen if view.last_error_age_s is not None]
    last = min(failed, key=lambda view: view.last_error_age_s or 0.0, default=shared)
    full = SkipReason.MAX_IN_FLIGHT.value
    is_full = bool(seen) and all(view.refusal == full for view in seen)
    return replace(
        shared,
        in_flight=sum(view.in_flight for view in seen),
        latency_s=_latency_s(seen),
        consecutive_failures=max((view.consecutive_failures for view in seen), default=0),
        last_error=last.last_error,
        last_error_age_s=last.last_error_age_s,
        successes=departed[0] + sum(view.successes for view in seen),
        failures=departed[1] + sum(view.failures for view in seen),
        refusal=shared.refusal or (full if is_full else ""),
    )


def _latency_s(seen: Sequence[TargetView]) -> float | None:
    """Weigh each worker's mean by its successes; one that has only failed counts once."""
    known = [
        (view.latency_s, max(view.successes, 1)) for view in seen if view.latency_s is not None
    ]
    if not known:
        return None
    return sum(latency_s * weight for latency_s, weight in known) / sum(w for _, w in known)
