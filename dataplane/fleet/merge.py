"""What several workers see, as one: sums, and the state that they share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from controlplane.table.outcome import SkipReason
from controlplane.table.schema import Provider, Table
from controlplane.table.view import ProviderView, TargetView
from dataplane.status import Seen

Counts = tuple[int, int]


class Merged:
    """What the workers see of each provider of the table, as if they were one.

    shared: the supervisor's own live table; breakers, pauses, credentials and health are as it has
    them, since it follows every worker. seen: what each worker has measured. departed: successes
    and failures of workers that are gone, by target key.

    Calls in flight, successes and failures are sums. The latency is the mean, by successes. Failures
    in a row are those of the worker that has most, the last error is the latest. A target is full
    if it is full for every worker.
    """

    def __init__(
        self,
        shared: Seen,
        seen: Sequence[Sequence[ProviderView]],
        departed: Mapping[str, Counts],
    ) -> None:
        """Sort what the workers have seen by names and keys."""
        self._shared = shared
        self._departed = departed
        self._workers = len(seen)
        self._providers: dict[str, list[ProviderView]] = {}
        self._targets: dict[tuple[str, str], list[TargetView]] = {}
        for provider in (view for views in seen for view in views):
            self._providers.setdefault(provider.name, []).append(provider)
            for target in provider.targets:
                self._targets.setdefault((provider.name, target.key), []).append(target)

    @property
    def table(self) -> Table:
        """The table in force."""
        return self._shared.table

    def provider_view(self, provider: Provider, now_s: float) -> ProviderView:
        """Show one provider, without its targets."""
        seen = self._providers.get(provider.name, ())
        view = self._shared.provider_view(provider, now_s)
        return replace(view, in_flight=sum(each.in_flight for each in seen))

    def target_views(self, provider: str, now_s: float) -> Iterator[TargetView]:
        """Show the targets of a provider, one by one."""
        for view in self._shared.target_views(provider, now_s):
            seen = self._targets.get((provider, view.key), ())
            yield _target(view, seen, self._departed.get(view.key, (0, 0)), self._workers)


def counts(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    sums: dict[str, int] = {}
    for item in each:
        for name, count in item.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _target(
    shared: TargetView, seen: Sequence[TargetView], departed: Counts, workers: int
) -> TargetView:
    failed = [view for view in seen if view.last_error_age_s is not None]
    last = min(failed, key=lambda view: view.last_error_age_s or 0.0, default=shared)
    full = SkipReason.MAX_IN_FLIGHT.value
    # A worker that has measured nothing of a target has room for it.
    is_full = 0 < workers == sum(view.refusal == full for view in seen)
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
