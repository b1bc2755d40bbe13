"""What tells series of requests and attempts apart, as labels; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from controlplane.table.schema import Provider
from dataplane import metric_instruments as instruments
from dataplane import telemetry_names as names
from dataplane.flight import Decision, RequestOutcome
from dataplane.metric_points import Label, Labels
from dataplane.provider import Operation
from dataplane.telemetry_attributes import clean_text, server_of

OVERFLOW: Labels = {"otel.metric.overflow": "true"}

AttemptKey: TypeAlias = tuple[str, str, Operation, str, str]
"""Provider, model, operation, the upstream's name of the model, error."""

RequestKey: TypeAlias = tuple[Operation, str, RequestOutcome | None, int | None, str]
"""Operation, route, outcome, status, error."""

EndedKey: TypeAlias = tuple[str, Decision, str]
"""Provider, decision, error."""

_ROUTES: Mapping[Operation, str] = {
    Operation.CHAT: "/v1/chat/completions",
    Operation.COMPLETION: "/v1/completions",
    Operation.EMBEDDINGS: "/v1/embeddings",
}


def call_labels(provider: Provider | None, key: AttemptKey) -> Labels:
    """Give the labels of attempts. provider: None if the table no longer has it."""
    _, model, operation, response_model, error = key
    labels: dict[str, Label] = {
        names.OPERATION: operation.value,
        names.REQUEST_MODEL: clean_text(model),
    }
    if provider is not None:
        labels[names.PROVIDER] = names.PROVIDER_NAMES[provider.type]
        labels[names.SERVER_ADDRESS], labels[names.SERVER_PORT] = server_of(provider.base_url)
    if response_model:
        labels[names.RESPONSE_MODEL] = clean_text(response_model)
    if error:
        labels[names.ERROR_TYPE] = error
    return labels


def request_labels(key: RequestKey) -> Labels:
    """Give the labels of requests."""
    operation, route, outcome, status, error = key
    labels: dict[str, Label] = {
        instruments.METHOD: "POST",
        names.URL_SCHEME: "http",
        names.HTTP_ROUTE: _ROUTES[operation],
        names.OUTCOME: outcome.value if outcome is not None else "",
    }
    if status is not None:
        labels[names.HTTP_STATUS] = status
    if error:
        labels[names.ERROR_TYPE] = error
    if route:
        labels[names.ROUTE] = route
    return labels


def ended_labels(key: EndedKey) -> Labels:
    """Give the labels of attempts by how they ended."""
    provider, decision, error = key
    labels = {names.ENDPOINT: provider, names.DECISION: decision.value}
    return {**labels, names.ERROR_TYPE: error} if error else labels
