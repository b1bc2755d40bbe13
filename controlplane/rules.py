"""What the fields of one manifest must say together.

Each rule yields findings: the field, the message, how bad it is. Rules only see manifests whose
fields are right one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from controlplane import durations, urls
from controlplane.document import FieldPath
from controlplane.manifest import (
    DEFAULT_BASE_URLS,
    LLMProvider,
    LLMRoute,
    ProviderSpec,
    RouteSpec,
)
from controlplane.problems import Severity
from controlplane.table.schema import ProviderType
from controlplane.words import AzureSurface, EntraFlow

Finding: TypeAlias = tuple[FieldPath, str, Severity]

_NEED_CREDENTIALS = frozenset(
    {
        ProviderType.OPENAI,
        ProviderType.ANTHROPIC,
        ProviderType.AZURE_OPENAI,
        ProviderType.MISTRAL,
        ProviderType.SCALEWAY,
    }
)
_HOW_TO_REFER = "write credentials: {apiKey: {env: NAME}}, or file, or secretKeyRef"


def provider_findings(manifest: LLMProvider) -> Iterator[Finding]:
    """Yield all that is wrong with, or odd about, a provider."""
    spec = manifest.spec
    yield from _base_url(spec)
    yield from _credentials(spec)
    yield from _only_for_types(spec)
    yield from _breaker(spec)
    yield from _timeouts(spec)
    yield from _twice([model.name for model in spec.models], ("spec", "models"), ("name",), "model")
    seen: dict[str, str] = {}
    for name in spec.headers:
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield _error(("spec", "headers", name), f'is the same header as "{first}"')


def route_findings(manifest: LLMRoute) -> Iterator[Finding]:
    """Yield all that is wrong with, or odd about, a route by itself."""
    spec = manifest.spec
    yield from _twice(spec.models, ("spec", "models"), (), "model name")
    yield from _targets(spec)
    retry = spec.retry
    if retry.max_backoff is not None and retry.max_backoff < retry.backoff:
        yield _error(
            ("spec", "retry", "maxBackoff"),
            f"must not be shorter than backoff, which is {durations.format_s(retry.backoff)}",
        )


def effective_base_url(spec: ProviderSpec) -> str:
    """Return the base URL in its normal form; the type's default if none is written."""
    if spec.base_url is None and spec.type is ProviderType.AWS_BEDROCK:
        return urls.bedrock_runtime(spec.region or "")
    return urls.normal(spec.type, spec.base_url or DEFAULT_BASE_URLS.get(spec.type, ""))


def _base_url(spec: ProviderSpec) -> Iterator[Finding]:
    path: FieldPath = ("spec", "baseUrl")
    if spec.base_url is None:
        if spec.type is ProviderType.AZURE_OPENAI:
            yield _error(path, f"is required for {spec.type}: the endpoint of the resource")
        return
    url = spec.base_url
    if (
        url.lower().startswith("http:")
        and not urls.is_loopback(url)
        and not urls.is_cluster_local(url)
    ):
        what = "prompts and the key travel" if spec.credentials else "prompts travel"
        yield _warning(path, f"is http, not https: {what} in the clear")


def _credentials(spec: ProviderSpec) -> Iterator[Finding]:
    path: FieldPath = ("spec", "credentials")
    entra = spec.azure.entra if spec.azure is not None else None
    if spec.credentials is not None:
        key = spec.credentials.api_key
        written = [
            name
            for name, value in (
                ("env", key.env),
                ("file", key.file),
                ("secretKeyRef", key.secret_key_ref),
            )
            if value is not None
        ]
        if len(written) != 1:
            got = f"got {' and '.join(written)}" if written else "got none"
            yield _error(
                (*path, "apiKey"), f"must hold exactly one of env, file and secretKeyRef, {got}"
            )
        if spec.anonymous:
            yield _error(("spec", "anonymous"), "must not be true where credentials are given")
        if entra is not None and entra.flow is not EntraFlow.CLIENT_SECRET:
            yield _error(path, f"must not be given with azure.entra.flow {entra.flow}")
        return
    if entra is not None:
        if entra.flow is EntraFlow.CLIENT_SECRET:
            yield _error(path, f"is required for the flow clientSecret; {_HOW_TO_REFER}")
        return
    if spec.type is ProviderType.OVHCLOUD and not spec.anonymous and not _on_loopback(spec):
        yield _error(path, f"is required for {spec.type}, or anonymous: true; {_HOW_TO_REFER}")
    if spec.type in _NEED_CREDENTIALS and not _on_loopback(spec):
        yield _error(path, f"is required for {spec.type}; {_HOW_TO_REFER}")


def _on_loopback(spec: ProviderSpec) -> bool:
    return spec.base_url is not None and urls.is_loopback(spec.base_url)


def _only_for_types(spec: ProviderSpec) -> Iterator[Finding]:
    if spec.azure is not None:
        if spec.type is not ProviderType.AZURE_OPENAI:
            yield _error(("spec", "azure"), f"is for AzureOpenAI only, not for {spec.type}")
        elif spec.azure.surface is AzureSurface.CLASSIC and spec.azure.api_version is None:
            yield _error(
                ("spec", "azure", "apiVersion"),
                'is required for the classic surface, like "2024-10-21"',
            )
    if spec.type is ProviderType.AWS_BEDROCK:
        if spec.region is None:
            yield _error(("spec", "region"), "is required for AWSBedrock, like eu-west-3")
        if spec.credentials and spec.bedrock and (spec.bedrock.role_arn or spec.bedrock.profile):
            yield _error(
                ("spec", "bedrock"), "roleArn and profile are of no use with a Bedrock API key"
            )
    elif spec.region is not None:
        yield _error(("spec", "region"), f"is for AWSBedrock only, not for {spec.type}")
    if spec.bedrock is not None and spec.type is not ProviderType.AWS_BEDROCK:
        yield _error(("spec", "bedrock"), f"is for AWSBedrock only, not for {spec.type}")
    if spec.anthropic is not None and spec.type is not ProviderType.ANTHROPIC:
        yield _error(("spec", "anthropic"), f"is for Anthropic only, not for {spec.type}")
    if spec.anonymous and spec.type is not ProviderType.OVHCLOUD:
        yield _error(("spec", "anonymous"), f"is for OVHcloud only, not for {spec.type}")


def _breaker(spec: ProviderSpec) -> Iterator[Finding]:
    breaker = spec.circuit_breaker
    path: FieldPath = ("spec", "circuitBreaker")
    steps = breaker.ramp_up
    ascends = all(low < high for low, high in pairwise(steps))
    if not steps or not ascends or steps[0] < 1 or steps[-1] != 100:
        yield _error((*path, "rampUp"), "must ascend from at least 1 and end in 100")
    if breaker.max_open_for is not None and breaker.max_open_for < breaker.open_for:
        yield _error(
            (*path, "maxOpenFor"),
            f"must not be shorter than openFor, which is {durations.format_s(breaker.open_for)}",
        )


def _timeouts(spec: ProviderSpec) -> Iterator[Finding]:
    timeouts = spec.timeouts
    total = durations.format_s(timeouts.total)
    for name, value in (("firstEvent", timeouts.first_event), ("answer", timeouts.answer)):
        if value is not None and value > timeouts.total:
            yield _warning(
                ("spec", "timeouts", name), f"is never reached: total ends the call after {total}"
            )


def _targets(spec: RouteSpec) -> Iterator[Finding]:
    seen: dict[tuple[str, str], int] = {}
    for index, target in enumerate(spec.targets):
        first = seen.setdefault((target.provider, target.model), index)
        if first != index:
            yield _error(
                ("spec", "targets", index),
                f'names provider "{target.provider}" and model "{target.model}" again,'
                f" as spec.targets[{first}] does",
            )


def _twice(names: Sequence[str], path: FieldPath, field: FieldPath, what: str) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        first = seen.setdefault(name, index)
        if first != index:
            yield _error((*path, index, *field), f'{what} "{name}" stands here twice')


def _error(path: FieldPath, message: str) -> Finding:
    return path, message, Severity.ERROR


def _warning(path: FieldPath, message: str) -> Finding:
    return path, message, Severity.WARNING
