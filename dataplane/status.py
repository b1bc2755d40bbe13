"""The status document: what an operator sees of providers, breakers and routes.

Pure: it turns views of the live table into JSON-shaped dicts, row by row where there may be many. What the control plane adds
(source, problems, objects) comes from the command, which knows both planes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.table.live import LiveTable
from controlplane.table.outcome import Refusal, SkipReason
from controlplane.table.schema import (
    CredentialRef,
    Provider,
    ProviderType,
    Route,
    Table,
    Target,
)
from controlplane.table.view import ProviderView, StateName, TargetView
from dataplane.provider import Feature
from dataplane.rows import Rows


class Seen(Protocol):
    """What shows providers and targets of a table; a live table is one."""

    @property
    def table(self) -> Table:
        """The table in force."""
        ...

    def provider_view(self, provider: Provider, now_s: float) -> ProviderView:
        """Show one provider, without its targets."""
        ...

    def target_views(self, provider: str, now_s: float) -> Iterator[TargetView]:
        """Show the targets of a provider, one by one."""
        ...


def providers(
    live: Seen,
    now_s: float,
    credential: Callable[[Provider], str],
    metrics: Callable[[str], Mapping[str, Any]],
) -> Rows:
    """Describe providers, in the order of their names.

    credential: what `credential_word` says of a provider. metrics: its numbers, by name.
    """
    table = live.table
    return Rows(
        _provider(live, table.providers[name], now_s, credential, metrics)
        for name in sorted(table.providers)
        if name in live.table.providers
    )


def credential_word(provider: Provider, is_there: Callable[[CredentialRef], bool]) -> str:
    """Tell how a provider is authorised, and whether what that takes is there.

    `present` or `missing` for a secret that a manifest refers to; `identity` for keys and tokens
    that are got when they are needed, from AWS' chain of sources or from Entra ID; else `none`.
    """
    if provider.credential is not None:
        return "present" if is_there(provider.credential) else "missing"
    signs = provider.type is ProviderType.AWS_BEDROCK or "azure.entra" in provider.options
    return "identity" if signs else "none"


def routes(table: Table) -> Rows:
    """Describe routes, in the order of their names."""
    return Rows(
        {
            "name": route.name,
            "models": list(route.models),
            "strategy": route.strategy.value,
            "targets": [
                {
                    "provider": target.provider,
                    "model": target.model,
                    "priority": target.priority,
                    "weight": target.weight,
                }
                for target in route.targets
            ],
        }
        for _, route in sorted(table.routes.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What is known of providers beside the live table.

    credential: what `credential_word` says. capabilities: what a provider's model can do.
    """

    credential: Callable[[Provider], str]
    capabilities: Callable[[Provider, str], frozenset[Feature]]


def explain(
    live: LiveTable, model: str, needs: frozenset[Feature], now_s: float, judge: Judge
) -> Mapping[str, Any] | None:
    """Tell in which order a model's targets would be tried now, and why each is in or out.

    `best` is the first that a request with these needs would be sent to, None if there is none.
    None if no route takes the model. Nothing is changed, but a round robin moves on.
    """
    table = live.table
    route = table.route_for(model)
    if route is None:
        return None
    rows = []
    for order, target in enumerate(live.order(route, table, now_s), start=1):
        refusal = live.refusal(target, table, now_s) or _unfit(table, target, needs, judge)
        reason = refusal.reason.value if refusal is not None else ""
        view = live.target_view(target, now_s)
        rows.append(
            {
                "order": order,
                "provider": target.provider,
                "model": target.model,
                "priority": target.priority,
                "weight": target.weight,
                "available": not reason,
                "reason": reason,
                "detail": refusal.detail if refusal is not None else "",
                "reopenInSeconds": _rounded(refusal.reopen_in_s) if refusal is not None else None,
                "state": view.state.value if view is not None else StateName.CLOSED.value,
                "latencyMs": _ms(view.latency_s) if view is not None else None,
            }
        )
    return {
        "model": model,
        "route": route.name,
        "strategy": route.strategy.value,
        "matched": _matched(table, route, model),
        "generation": table.generation,
        "needs": sorted(needs),
        "best": next((row for row in rows if row["available"]), None),
        "retry": {
            "attempts": route.retry.attempts,
            "attemptsPerTarget": route.retry.attempts_per_target,
            "deadlineSeconds": route.retry.deadline_s,
        },
        "targets": rows,
    }


def _provider(
    live: Seen,
    provider: Provider,
    now_s: float,
    credential: Callable[[Provider], str],
    metrics: Callable[[str], Mapping[str, Any]],
) -> Mapping[str, Any]:
    view = live.provider_view(provider, now_s)
    return {
        "name": view.name,
        "type": view.type.value,
        "baseUrl": view.base_url,
        "suspend": view.suspended,
        "healthy": view.healthy,
        "healthDetail": view.health_detail,
        "credential": credential(provider),
        "credentialOpenSeconds": _rounded(view.credential_open_in_s),
        "inFlight": view.in_flight,
        "maxInFlight": view.max_in_flight,
        "labels": dict(provider.labels),
        "targets": Rows(_target(target) for target in live.target_views(provider.name, now_s)),
        "metrics": metrics(view.name),
    }


def _unfit(table: Table, target: Target, needs: frozenset[Feature], judge: Judge) -> Refusal | None:
    """Return why a target that the breakers let through would be skipped all the same."""
    config = table.providers.get(target.provider)
    if config is None:
        return Refusal(reason=SkipReason.NOT_AVAILABLE)
    if judge.credential(config) == "missing":
        return Refusal(
            reason=SkipReason.CREDENTIAL_MISSING, detail=f"{config.credential} is missing"
        )
    if lacking := needs - judge.capabilities(config, target.model):
        return Refusal(reason=SkipReason.CAPABILITY, detail=f"lacks {', '.join(sorted(lacking))}")
    return None


def _matched(table: Table, route: Route, model: str) -> str:
    if table.exact.get(model) == route.name:
        return "exact"
    return "prefix" if table.prefix_owner(model) == route.name else "wildcard"


def _target(view: TargetView) -> Mapping[str, Any]:
    return {
        "model": view.model,
        "state": view.state.value,
        "reopenInSeconds": _rounded(view.reopen_in_s),
        "cooldownSeconds": _rounded(view.cooldown_in_s),
        "inFlight": view.in_flight,
        "latencyMs": _ms(view.latency_s),
        "consecutiveFailures": view.consecutive_failures,
        "trips": view.trips,
        "lastError": view.last_error,
        "lastErrorAgeSeconds": _rounded(view.last_error_age_s),
        "rampPercent": view.ramp_percent,
        "successes": view.successes,
        "failures": view.failures,
        "available": not view.refusal,
        "refusal": view.refusal,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
