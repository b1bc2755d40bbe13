"""The tables of `switchgear get`, from the JSON of the admin API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from switchgear.render import columns, milliseconds, span

_Json = Mapping[str, Any]

# Worst first: the state that a provider's line shows when its targets differ.
_SEVERITY: Final = ("forced_open", "open", "half_open", "forced_closed", "closed")


def providers(status: _Json, *, wide: bool) -> str:
    """Write one line for each provider: breaker, health, latency; wide adds where and how much."""
    head = ["NAME", "TYPE", "BREAKER", "HEALTH", "LATENCY", "IN FLIGHT", "CREDENTIAL"]
    if wide:
        head += ["SERVED", "FAILED", "SUCCESS", "P50", "P95", "TOKENS IN/OUT", "COST"]
        head += ["BASE URL", "LAST ERROR"]
    rows = []
    for provider in status["providers"]:
        found: Sequence[_Json] = provider.get("targets") or []
        latencies = [t["latencyMs"] for t in found if t.get("latencyMs") is not None]
        row = [
            str(provider["name"]),
            str(provider["type"]),
            _breakers(found),
            _health(provider),
            milliseconds(min(latencies, default=None)),
            f"{provider.get('inFlight', 0)}/{provider.get('maxInFlight', '?')}",
            _credential(provider),
        ]
        if wide:
            errors = [t for t in found if t.get("lastError")]
            last = min(errors, key=lambda t: t.get("lastErrorAgeSeconds") or 0.0, default=None)
            row += [
                str(sum(t.get("successes", 0) for t in found)),
                str(sum(t.get("failures", 0) for t in found)),
                *_numbers(provider.get("metrics") or {}),
                str(provider.get("baseUrl", "")),
                _last_error(last) if last else "",
            ]
        rows.append(row)
    return columns(head, rows) if rows else _nothing(status, "providers")


def targets(status: _Json, *, wide: bool) -> str:
    """Write one line for each model of each provider, with its breaker's details."""
    head = ["PROVIDER", "MODEL", "BREAKER", "AVAILABLE", "LATENCY", "IN FLIGHT"]
    if wide:
        head += ["SERVED", "FAILED", "IN A ROW", "TRIPS", "RAMP", "COOLDOWN", "LAST ERROR"]
    rows = []
    for provider in status["providers"]:
        for target in provider.get("targets") or []:
            row = [
                str(provider["name"]),
                str(target["model"]),
                _breaker(target),
                "yes" if target.get("available") else f"no: {target.get('refusal') or 'unknown'}",
                milliseconds(target.get("latencyMs")),
                str(target.get("inFlight", 0)),
            ]
            if wide:
                ramp = target.get("rampPercent")
                row += [
                    str(target.get("successes", 0)),
                    str(target.get("failures", 0)),
                    str(target.get("consecutiveFailures", 0)),
                    str(target.get("trips", 0)),
                    "" if ramp is None else f"{ramp}%",
                    span(target.get("cooldownSeconds")),
                    _last_error(target),
                ]
            rows.append(row)
    return columns(head, rows) if rows else _nothing(status, "targets")


def routes(status: _Json, *, wide: bool) -> str:
    """Write one line for each route; wide lists each target with its priority and weight."""
    available = {
        (provider["name"], target["model"]): bool(target.get("available"))
        for provider in status.get("providers") or []
        for target in provider.get("targets") or []
    }
    rows = []
    for route in status["routes"]:
        places: Sequence[_Json] = route.get("targets") or []
        alive = sum(available.get((p["provider"], p["model"]), False) for p in places)
        rows.append(
            [
                str(route["name"]),
                ",".join(route.get("models") or []),
                str(route["strategy"]),
                f"{alive}/{len(places)}",
                ", ".join(_place(place, wide=wide) for place in places),
            ]
        )
    head = ["NAME", "MODELS", "STRATEGY", "AVAILABLE", "TARGETS"]
    return columns(head, rows) if rows else _nothing(status, "routes")


def capabilities(status: _Json, *, wide: bool) -> str:
    """Write one line for each feature of a route: which of its targets have it, or all."""
    rows = []
    for route in status["data"]:
        names = ",".join(route.get("models") or [])
        everywhere = set(route.get("everywhere") or [])
        if everywhere:
            rows.append([str(route["id"]), names, ", ".join(sorted(everywhere)), "all"])
        for feature in sorted(set(route.get("somewhere") or []) - everywhere):
            places = [
                f"{target['provider']}/{target['model']}" if wide else str(target["provider"])
                for target in route["targets"]
                if feature in target["capabilities"]
            ]
            rows.append([str(route["id"]), names, feature, ", ".join(dict.fromkeys(places))])
    head = ["ROUTE", "MODELS", "CAPABILITIES", "TARGETS"]
    return columns(head, rows) if rows else "no routes"


def requests(status: _Json, *, wide: bool) -> str:
    """Write one line for each finished request, newest last: where it went, and how it ended."""
    head = ["TIME", "MODEL", "OUTCOME", "PATH", "TOOK"]
    if wide:
        head += ["STATUS", "STREAM", "ROUTE", "ID"]
    rows = []
    for request in sorted(status["requests"], key=lambda entry: float(entry.get("at", 0))):
        at = dt.datetime.fromtimestamp(float(request["at"]), tz=dt.UTC).astimezone()
        row = [
            at.strftime("%H:%M:%S"),
            str(request.get("model", "")),
            str(request.get("outcome", "")),
            flight(request.get("path") or []),
            milliseconds(request.get("durationMs")),
        ]
        if wide:
            row += [
                str(request.get("status", "")),
                "yes" if request.get("stream") else "no",
                str(request.get("route", "")),
                str(request.get("id", "")),
            ]
        rows.append(row)
    return columns(head, rows) if rows else "no requests yet"


def workers(status: _Json, *, wide: bool) -> str:
    """Write one line for each worker; wide adds its process, and how often one was started there."""
    head = ["WORKER", "STATE", "GENERATION", "IN FLIGHT", "CONNECTIONS"]
    names = ["worker", "state", "generation", "inFlight", "connections"]
    if wide:
        head += ["PROCESS", "STARTS"]
        names += ["pid", "starts"]
    rows = [[str(worker.get(name, "")) for name in names] for worker in status["workers"]]
    return columns(head, rows) if rows else "one process serves all"


def flight(path: Sequence[str]) -> str:
    """Write the path of a request: `local-a circuit_open > local-b served`."""
    return " > ".join(str(step).replace(":", " ", 1) for step in path)


def _nothing(status: _Json, kind: str) -> str:
    source = status.get("source") or {}
    where = source.get("path") or source.get("kind") or "the manifests"
    return f"no {kind} in {where}"


def _breaker(target: _Json) -> str:
    state = str(target["state"])
    reopen = target.get("reopenInSeconds")
    return f"{state} ({span(reopen)})" if state == "open" and reopen is not None else state


def _breakers(found: Sequence[_Json]) -> str:
    """Write the state of all, or the worst and how many share it."""
    if not found:
        return ""
    worst = min(found, key=lambda target: _severity(str(target["state"])))
    alike = sum(target["state"] == worst["state"] for target in found)
    share = "" if alike == len(found) else f" {alike}/{len(found)}"
    return _breaker(worst) + share


def _severity(state: str) -> int:
    return _SEVERITY.index(state) if state in _SEVERITY else -1


def _health(provider: _Json) -> str:
    if provider.get("suspend"):
        return "suspended"
    match provider.get("healthy"):
        case True:
            return "healthy"
        case False:
            detail = provider.get("healthDetail")
            return f"unhealthy: {detail}" if detail else "unhealthy"
        case _:
            return "unknown"


def _credential(provider: _Json) -> str:
    refused_s = provider.get("credentialOpenSeconds")
    if refused_s is not None:
        return f"refused ({span(refused_s)})"
    return str(provider.get("credential") or "")


def _numbers(metrics: _Json) -> list[str]:
    rate = metrics.get("successRate")
    first: _Json = metrics.get("firstEventMs") or {}
    cost = metrics.get("costUsd") or 0.0
    return [
        "" if rate is None else f"{rate:.1%}",
        milliseconds(first.get("p50")),
        milliseconds(first.get("p95")),
        f"{metrics.get('inputTokens', 0)}/{metrics.get('outputTokens', 0)}",
        f"${cost:.4f}" if cost else "",
    ]


def _last_error(target: _Json) -> str:
    error = str(target.get("lastError") or "")
    age_s = target.get("lastErrorAgeSeconds")
    return f"{error} ({span(age_s)} ago)" if error and age_s is not None else error


def _place(place: _Json, *, wide: bool) -> str:
    name = f"{place['provider']}/{place['model']}"
    return f"{name} (priority {place['priority']}, weight {place['weight']})" if wide else name
