"""`switchgear explain`: where a model's requests would go, why, and by which settings."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from controlplane import durations
from switchgear import client
from switchgear.cli_params import CONTEXT, Word, admin_option
from switchgear.render import Output, columns, document, milliseconds, span

if TYPE_CHECKING:
    from controlplane.table.schema import Provider, Table


@click.command(context_settings=CONTEXT)
@click.argument("model")
@click.option(
    "--manifests",
    type=click.Path(exists=True, path_type=Path),
    help="Explain by these manifests, without a running switchgear: all breakers are closed.",
)
@click.option(
    "--needs",
    default="",
    metavar="FEATURE,...",
    help="What the request needs, like tools,jsonSchema; targets that lack one are skipped.",
)
@click.option(
    "-o",
    "--output",
    type=Word(Output),
    default=Output.TABLE.value,
    help="wide adds each setting in force, defaults included; json and yaml are for programs.",
)
@admin_option
def explain(model: str, manifests: Path | None, needs: str, output: Output, admin: str) -> None:
    """Tell where requests for MODEL would go now: the targets in order, and why each is in or out.

    Exit code 1 if no route takes MODEL.
    """
    if manifests is None:
        answer, table = _online(model, needs, admin, wide=output is Output.WIDE)
    else:
        answer, table = _offline(model, needs, manifests)
    if output in {Output.JSON, Output.YAML}:
        click.echo(document(answer, output))
        return
    click.echo(plan(answer))
    if table is not None and output is Output.WIDE:
        names = dict.fromkeys(str(target["provider"]) for target in answer["targets"])
        click.echo()
        click.echo(settings([table.providers[name] for name in names if name in table.providers]))


def plan(answer: Mapping[str, Any]) -> str:
    """Write the admin API's explanation for people."""
    retry = answer.get("retry") or {}
    lines = [
        f'model "{answer["model"]}" is taken by route {answer["route"]} ({answer["matched"]} match)',
        f"strategy {answer['strategy']}"
        + (
            f", at most {retry['attempts']} attempts, {retry['attemptsPerTarget']} on one target, "
            f"{span(retry['deadlineSeconds'])} in all"
            if retry
            else ""
        ),
    ]
    if answer.get("needs"):
        lines.append(f"needs {', '.join(answer['needs'])}")
    lines.append("")
    rows = [
        [
            str(target["order"]),
            f"{target['provider']}/{target['model']}",
            "yes" if target["available"] else "no",
            str(target.get("state") or ""),
            milliseconds(target.get("latencyMs")),
            _why(target),
        ]
        for target in answer["targets"]
    ]
    head = ["ORDER", "TARGET", "AVAILABLE", "BREAKER", "LATENCY", "WHY NOT"]
    return "\n".join([*lines, columns(head, rows)])


def settings(providers: list[Provider]) -> str:
    """Write each setting in force of the providers, one column a provider."""
    described = [_described(provider) for provider in providers]
    if not described:
        return "no settings"
    names = dict.fromkeys(name for each in described for name in each)
    rows = [[name, *(each.get(name, "") for each in described)] for name in names]
    return columns(["SETTING", *(provider.name for provider in providers)], rows)


def _online(model: str, needs: str, admin: str, *, wide: bool) -> tuple[Any, Table | None]:
    origin = admin.rstrip("/")
    query = f"model={quote(model, safe='')}" + (f"&needs={quote(needs)}" if needs else "")
    answer = client.get_json(f"{origin}/explain?{query}")
    if not isinstance(answer, dict) or not isinstance(answer.get("targets"), list):
        raise client.ClientError(f"{origin} gave no explanation; is it switchgear's admin address?")
    if not wide:
        return answer, None
    from controlplane.table import snapshot

    with client.open_url(f"{origin}/table") as reply:
        body = reply.body.read()
    try:
        return answer, snapshot.decode(body)
    except snapshot.SnapshotError as error:
        raise client.ClientError(f"{origin}/table cannot be read: {error}") from error


def _offline(model: str, needs: str, path: Path) -> tuple[Any, Table]:
    from controlplane.problems import has_errors
    from controlplane.table.live import LiveTable
    from controlplane.validate import validate_paths
    from dataplane import registry, status
    from dataplane.provider import Feature

    words = {word.strip() for word in needs.split(",")} - {""}
    if unknown := words - set(Feature):
        raise client.ClientError(
            f"no such feature: {', '.join(sorted(unknown))}; there are {', '.join(Feature)}"
        )
    compiled, problems = validate_paths([path])
    for problem in problems:
        click.echo(str(problem), err=True)
    if has_errors(problems):
        click.echo("explained by what is right in them:", err=True)
    live = LiveTable(random=random.random)
    live.install(compiled.table, 0.0)
    judge = status.Judge(
        credential=lambda _: "none",
        capabilities=lambda provider, name: registry.build(provider).capabilities(name),
    )
    answer = status.explain(live, model, frozenset(map(Feature, words)), 0.0, judge)
    if answer is None:
        known = ", ".join(compiled.table.model_names()) or "none"
        raise client.ClientError(f'no route in {path} takes "{model}"; models: {known}')
    return answer, compiled.table


def _why(target: Mapping[str, Any]) -> str:
    if target["available"]:
        return ""
    text = str(target.get("reason") or "unknown")
    if target.get("detail"):
        text += f": {target['detail']}"
    again_s = target.get("reopenInSeconds")
    return text + (f", again in {span(again_s)}" if again_s is not None else "")


def _described(provider: Provider) -> dict[str, str]:
    from dataplane import status

    time, health, breaker = provider.timeouts, provider.health_check, provider.breaker
    return {
        "type": provider.type.value,
        "baseUrl": provider.base_url,
        # References are shown; whether the sidecar finds what they name is in its status.
        "credentials": str(provider.credential or status.credential_word(provider, lambda _: True)),
        "suspend": str(provider.suspend).lower(),
        "limits.maxInFlight": str(provider.max_in_flight),
        "timeouts.connect": durations.format_s(time.connect_s),
        "timeouts.firstEvent": durations.format_s(time.first_event_s),
        "timeouts.answer": durations.format_s(time.answer_s),
        "timeouts.idle": durations.format_s(time.idle_s),
        "timeouts.total": durations.format_s(time.total_s),
        "healthCheck.interval": durations.format_s(health.interval_s),
        "healthCheck.timeout": durations.format_s(health.timeout_s),
        "healthCheck.unhealthyThreshold": str(health.unhealthy_threshold),
        "healthCheck.healthyThreshold": str(health.healthy_threshold),
        "circuitBreaker.mode": breaker.mode.value,
        "circuitBreaker.consecutiveFailures": str(breaker.consecutive_failures),
        "circuitBreaker.failureRatio": str(breaker.failure_ratio),
        "circuitBreaker.window": durations.format_s(breaker.window_s),
        "circuitBreaker.minRequests": str(breaker.min_requests),
        "circuitBreaker.openFor": durations.format_s(breaker.open_s),
        "circuitBreaker.maxOpenFor": durations.format_s(breaker.max_open_s),
        "circuitBreaker.halfOpenRequests": str(breaker.half_open_requests),
        "circuitBreaker.rampUp": ",".join(map(str, breaker.ramp_up)) or "none",
        **{f"option {name}": value for name, value in sorted(provider.options.items())},
        **{f"label {name}": value for name, value in sorted(provider.labels.items())},
    }
