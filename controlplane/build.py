"""Turn an accepted manifest into what the table holds: defaults filled in, names resolved to types.

A route comes out as a draft: its targets have no keys until the providers are known.
"""

from __future__ import annotations

from controlplane.manifest import (
    DEFAULT_ANSWER_S,
    DEFAULT_FIRST_EVENT_S,
    DEFAULT_MAX_BACKOFF_S,
    DEFAULT_MAX_OPEN_S,
    PROPAGATION_OWN_TYPES,
    SLOW_START_S,
    SLOW_START_TYPES,
    ApiKey,
    EntraSpec,
    LLMProvider,
    LLMRoute,
    ModelSpec,
    ProviderSpec,
)
from controlplane.rules import effective_base_url
from controlplane.table.schema import (
    BreakerPolicy,
    CredentialKind,
    CredentialRef,
    HealthCheck,
    Model,
    Price,
    Provider,
    RetryPolicy,
    Route,
    Target,
    Timeouts,
)
from controlplane.words import Propagation, RouteMode


def provider(manifest: LLMProvider) -> Provider:
    """Build the table's provider; its generation is 1."""
    spec = manifest.spec
    health = spec.health_check
    return Provider(
        name=manifest.metadata.name,
        type=spec.type,
        base_url=effective_base_url(spec),
        credential=_credential(spec.credentials.api_key) if spec.credentials else None,
        models={model.name: _model(model) for model in spec.models},
        timeouts=_timeouts(spec),
        health_check=HealthCheck(
            interval_s=health.interval,
            timeout_s=health.timeout,
            unhealthy_threshold=health.unhealthy_threshold,
            healthy_threshold=health.healthy_threshold,
        ),
        breaker=_breaker(spec),
        max_in_flight=spec.limits.max_in_flight,
        labels=dict(sorted(spec.labels.items())),
        options=_options(spec),
        headers={name.lower(): value for name, value in sorted(spec.headers.items())},
        suspend=spec.suspend,
    )


def route(manifest: LLMRoute) -> Route:
    """Build the draft of the table's route; its generation is 1, its targets have no keys."""
    spec = manifest.spec
    retry = spec.retry
    return Route(
        name=manifest.metadata.name,
        models=tuple(spec.models),
        strategy=spec.strategy,
        targets=tuple(
            Target(
                provider=target.provider,
                model=target.model,
                priority=target.priority,
                weight=target.weight,
                key="",
            )
            for target in spec.targets
        ),
        retry=RetryPolicy(
            attempts=retry.attempts,
            attempts_per_target=retry.attempts_per_target,
            backoff_s=retry.backoff,
            max_backoff_s=(
                max(DEFAULT_MAX_BACKOFF_S, retry.backoff)
                if retry.max_backoff is None
                else retry.max_backoff
            ),
            deadline_s=retry.deadline,
        ),
        required_labels=dict(sorted(spec.requires.labels.items())),
        strict=spec.mode is RouteMode.STRICT,
    )


def _credential(key: ApiKey) -> CredentialRef | None:
    if key.env is not None:
        return CredentialRef(kind=CredentialKind.ENV, name=key.env)
    if key.file is not None:
        return CredentialRef(kind=CredentialKind.FILE, name=key.file)
    ref = key.secret_key_ref
    if ref is None:
        return None
    return CredentialRef(kind=CredentialKind.SECRET_KEY_REF, name=ref.name, key=ref.key)


def _model(model: ModelSpec) -> Model:
    return Model(
        name=model.name,
        context_window=model.context_window,
        capabilities=(
            None
            if model.capabilities is None
            else frozenset(capability.value for capability in model.capabilities)
        ),
        price=Price(input=model.price.input, output=model.price.output) if model.price else None,
        max_output_tokens=model.max_output_tokens,
        base_model=model.base_model or "",
        split_thinking=model.split_thinking,
    )


def _timeouts(spec: ProviderSpec) -> Timeouts:
    written = spec.timeouts
    slow = spec.type in SLOW_START_TYPES
    first_event_s = written.first_event
    answer_s = written.answer
    if answer_s is None:
        answer_s = first_event_s
    if answer_s is None:
        answer_s = SLOW_START_S if slow else DEFAULT_ANSWER_S
    if first_event_s is None:
        first_event_s = SLOW_START_S if slow else DEFAULT_FIRST_EVENT_S
    return Timeouts(
        connect_s=written.connect,
        first_event_s=first_event_s,
        answer_s=answer_s,
        idle_s=written.idle,
        total_s=written.total,
    )


def _breaker(spec: ProviderSpec) -> BreakerPolicy:
    breaker = spec.circuit_breaker
    return BreakerPolicy(
        mode=breaker.mode,
        consecutive_failures=breaker.consecutive_failures,
        failure_ratio=breaker.failure_ratio,
        window_s=breaker.window,
        min_requests=breaker.min_requests,
        open_s=breaker.open_for,
        max_open_s=(
            max(DEFAULT_MAX_OPEN_S, breaker.open_for)
            if breaker.max_open_for is None
            else breaker.max_open_for
        ),
        half_open_requests=breaker.half_open_requests,
        ramp_up=tuple(breaker.ramp_up),
    )


def _options(spec: ProviderSpec) -> dict[str, str]:
    own = spec.type in PROPAGATION_OWN_TYPES
    options = {"propagation": spec.propagation or (Propagation.TRACE if own else Propagation.NONE)}
    result = {name: str(value) for name, value in options.items()}
    if spec.azure is not None:
        result["azure.surface"] = str(spec.azure.surface)
        result |= _written(("azure.apiVersion", spec.azure.api_version), *_entra(spec.azure.entra))
    if spec.anthropic is not None:
        result["anthropic.version"] = spec.anthropic.version
        result |= _written(("anthropic.beta", ",".join(spec.anthropic.beta)))
    result |= _written(("region", spec.region))
    if spec.bedrock is not None:
        guardrail = spec.bedrock.guardrail
        result |= _written(
            ("bedrock.roleArn", spec.bedrock.role_arn),
            ("bedrock.profile", spec.bedrock.profile),
            ("bedrock.guardrailIdentifier", guardrail.identifier if guardrail else None),
            ("bedrock.guardrailVersion", guardrail.version if guardrail else None),
        )
    if spec.anonymous:
        result["anonymous"] = "true"
    return dict(sorted(result.items()))


def _entra(entra: EntraSpec | None) -> tuple[tuple[str, str | None], ...]:
    if entra is None:
        return ()
    return (
        ("azure.entra", str(entra.flow)),
        ("azure.tenantId", entra.tenant_id),
        ("azure.clientId", entra.client_id),
        ("azure.scope", entra.scope),
        ("azure.authorityHost", entra.authority_host),
    )


def _written(*options: tuple[str, str | None]) -> dict[str, str]:
    """Keep the options that have a value."""
    return {name: value for name, value in options if value}
