"""The two kinds that people write, LLMProvider and LLMRoute: one schema for all.

Files, custom resources, JSON Schema and documentation come from these models, and every default
is written here. A model only holds what one field can say of itself; what fields say together is
in `controlplane.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from controlplane import durations
from controlplane.fields import (
    BaseUrl,
    Duration,
    EnvironmentName,
    FilePath,
    HeaderName,
    HeaderValue,
    Identifier,
    LabelKey,
    LabelValue,
    ModelName,
    ModelPattern,
    ObjectName,
    Region,
    Scope,
    SecretKey,
    SecretName,
    Version,
    Word,
)
from controlplane.metadata import Metadata, Model
from controlplane.table.schema import BreakerMode, ProviderType, StrategyName
from controlplane.words import AzureSurface, Capability, EntraFlow, Propagation, RouteMode

GROUP = "switchgear.dev"
API_VERSION = "switchgear.dev/v1alpha1"

DEFAULT_BASE_URLS: Mapping[ProviderType, str] = {
    ProviderType.OLLAMA: "http://localhost:11434",
    ProviderType.VLLM: "http://localhost:8000/v1",
    ProviderType.OVHCLOUD: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    ProviderType.SCALEWAY: "https://api.scaleway.ai/v1",
    ProviderType.OPENAI: "https://api.openai.com/v1",
    ProviderType.MISTRAL: "https://api.mistral.ai",
    ProviderType.ANTHROPIC: "https://api.anthropic.com",
}
"""AzureOpenAI has none, as each resource has an endpoint of its own; AWSBedrock's is its region's."""

DEFAULT_FIRST_EVENT_S = 30.0
DEFAULT_ANSWER_S = 60.0
SLOW_START_S = 300.0
SLOW_START_TYPES = frozenset({ProviderType.OLLAMA})
"""They load a model when it is first asked for, which takes minutes."""

DEFAULT_MAX_OPEN_S = 300.0
DEFAULT_MAX_BACKOFF_S = 5.0


PROPAGATION_OWN_TYPES = frozenset({ProviderType.OLLAMA, ProviderType.VLLM})
"""Upstreams that people run themselves get trace headers by default; hosted ones get none."""


class SecretKeyRef(Model):
    """A key of a Kubernetes Secret in the object's own namespace."""

    name: SecretName = Field(description="The Secret's name.")
    key: SecretKey = Field(description="The key in the Secret.")


class ApiKey(Model):
    """Where the key is read from; exactly one of the three. The key itself never stands here."""

    env: EnvironmentName | None = Field(
        None, description="Name of an environment variable, read at each use."
    )
    file: FilePath | None = Field(
        None, description="Absolute path of a file; it is read again when it changes."
    )
    secret_key_ref: SecretKeyRef | None = Field(None, description="A key of a Kubernetes Secret.")


class Credentials(Model):
    """How we say who we are to the provider."""

    api_key: ApiKey = Field(description="A reference to the key.")


class Price(Model):
    """US dollars for a million tokens."""

    input: float = Field(ge=0, le=1e6, description="US dollars for a million input tokens.")
    output: float = Field(ge=0, le=1e6, description="US dollars for a million output tokens.")


class ModelSpec(Model):
    """What is known of one model of the provider. Models that are not listed may be used too."""

    name: ModelName = Field(
        description="The provider's name for the model; for AzureOpenAI, the deployment."
    )
    context_window: int | None = Field(
        None, ge=1, le=1_000_000_000, description="Tokens, input and output together."
    )
    max_output_tokens: int | None = Field(
        None, ge=1, le=1_000_000_000, description="The most tokens that the model writes."
    )
    base_model: ModelName | None = Field(
        None, description="The model behind an Azure deployment's name, like `gpt-5-mini`."
    )
    capabilities: list[Annotated[Capability, Word(Capability)]] | None = Field(
        None, description="All that the model can do. Default: what its type can do."
    )
    price: Price | None = Field(
        None, description="For the strategy LowestCost, and for the cost in status and events."
    )
    split_thinking: bool = Field(
        default=False,
        description="Take text between <think> tags out of the answer, as reasoning; for servers "
        "without a reasoning parser.",
    )


class TimeoutsSpec(Model):
    """The time limits of one provider call."""

    connect: Annotated[float, Duration("1ms", "5m")] = Field(
        2.0, description="Until the connection is open, TLS included."
    )
    first_event: Annotated[float, Duration("1ms", "1h")] | None = Field(
        None,
        description="Until a stream's first content. Default: 30s; for Ollama 5m, as it may have "
        "to load the model.",
    )
    answer: Annotated[float, Duration("1ms", "1h")] | None = Field(
        None,
        description="Until an answer that is not streamed. Default: `firstEvent` if that is "
        "written, else 60s; for Ollama 5m.",
    )
    idle: Annotated[float, Duration("1ms", "1h")] = Field(
        60.0, description="The longest silence in an answer that has begun."
    )
    total: Annotated[float, Duration("1ms", "24h")] = Field(600.0, description="The whole call.")


class HealthCheckSpec(Model):
    """Probes of providers that are idle or out of use; they cost no tokens."""

    interval: Annotated[float, Duration("1s", "24h", zero_too=True)] = Field(
        30.0, description="Between two probes; 0s turns them off."
    )
    timeout: Annotated[float, Duration("1ms", "5m")] = Field(
        5.0, description="How long one probe may take."
    )
    unhealthy_threshold: int = Field(
        3, ge=1, le=100, description="Failed probes in a row that take the provider out of use."
    )
    healthy_threshold: int = Field(
        1, ge=1, le=100, description="Good probes in a row that bring it back."
    )


class CircuitBreakerSpec(Model):
    """When a target is taken out of use, and how it comes back."""

    mode: Annotated[BreakerMode, Word(BreakerMode)] = Field(
        BreakerMode.AUTO, description="Auto, or held by hand: ForceOpen, ForceClosed."
    )
    consecutive_failures: int = Field(
        3, ge=1, le=1000, description="Failures in a row that open it."
    )
    failure_ratio: float = Field(
        0.5, gt=0, le=1, description="Share of failures in the window that opens it."
    )
    window: Annotated[float, Duration("1s", "1h")] = Field(
        30.0, description="The window of that share."
    )
    min_requests: int = Field(
        20, ge=1, le=1_000_000, description="Calls in the window before the share is judged."
    )
    open_for: Annotated[float, Duration("1ms", "24h")] = Field(
        15.0, description="How long it stays open at first; doubles with each trip in a row."
    )
    max_open_for: Annotated[float, Duration("1ms", "24h")] | None = Field(
        None, description="Bound of that doubling. Default: 5m, or `openFor` if that is longer."
    )
    half_open_requests: int = Field(
        1, ge=1, le=100, description="Calls on trial that must succeed before it closes."
    )
    ramp_up: list[int] = Field(
        default_factory=lambda: [10, 25, 50, 100],
        max_length=20,
        description="Per cent of traffic, step by step after it closes; ends in 100. [100] means "
        "all at once. Default: [10, 25, 50, 100].",
    )


class LimitsSpec(Model):
    """What the provider is spared from."""

    max_in_flight: int = Field(
        256, ge=1, le=100_000, description="Calls at once, over all of its models."
    )


class EntraSpec(Model):
    """Tokens of Microsoft Entra ID in place of an API key."""

    flow: Annotated[EntraFlow, Word(EntraFlow)] = Field(
        description="clientSecret (the secret is `credentials.apiKey`), workloadIdentity, or "
        "managedIdentity."
    )
    tenant_id: Identifier | None = Field(
        None, description="The directory's id. Default: AZURE_TENANT_ID."
    )
    client_id: Identifier | None = Field(
        None, description="The application's id. Default: AZURE_CLIENT_ID, if there is one."
    )
    scope: Scope | None = Field(
        None, description="Default: https://cognitiveservices.azure.com/.default."
    )
    authority_host: BaseUrl | None = Field(
        None, description="Default: AZURE_AUTHORITY_HOST or https://login.microsoftonline.com."
    )


class AzureSpec(Model):
    """What only AzureOpenAI knows."""

    surface: Annotated[AzureSurface, Word(AzureSurface)] = Field(
        AzureSurface.V1, description="v1: /openai/v1; classic: deployment URLs with a version."
    )
    api_version: Version | None = Field(
        None, description="The api-version, in quotes; needed for the classic surface."
    )
    entra: EntraSpec | None = Field(None, description="Entra ID tokens in place of an API key.")


class AnthropicSpec(Model):
    """What only Anthropic knows."""

    version: Version = Field("2023-06-01", description="The API's version, in quotes.")
    beta: list[Identifier] = Field(
        default_factory=list, max_length=20, description="Beta features, sent as anthropic-beta."
    )


class GuardrailSpec(Model):
    """A guardrail that every call goes through."""

    identifier: Identifier = Field(description="Its id or ARN.")
    version: Identifier = Field(description="Its version, in quotes, or DRAFT.")


class BedrockSpec(Model):
    """What only AWSBedrock knows. Without `credentials`, AWS' own chain of sources is used."""

    role_arn: Identifier | None = Field(None, description="A role to assume.")
    profile: Identifier | None = Field(None, description="A profile of the AWS config file.")
    guardrail: GuardrailSpec | None = Field(None, description="Checks each call and answer.")


class ProviderSpec(Model):
    """A configured upstream."""

    type: Annotated[ProviderType, Word(ProviderType)] = Field(description="What it speaks.")
    base_url: BaseUrl | None = Field(
        None,
        description="Where it is, with `/v1` where the vendor's own URL has it. Each type but "
        "AzureOpenAI has a default; AWSBedrock's is that of its region.",
    )
    credentials: Credentials | None = Field(
        None,
        description="Needed for OpenAI, AzureOpenAI (unless `azure.entra` says otherwise), "
        "Anthropic, Mistral and Scaleway unless the base URL is on loopback; for OVHcloud unless "
        "`anonymous` is true. For AWSBedrock, a Bedrock API key; else AWS' own sources are used.",
    )
    models: list[ModelSpec] = Field(
        default_factory=list, max_length=1000, description="What is known of its models."
    )
    timeouts: TimeoutsSpec = Field(
        default_factory=TimeoutsSpec, description="The time limits of one call."
    )
    health_check: HealthCheckSpec = Field(
        default_factory=HealthCheckSpec, description="When it is probed."
    )
    circuit_breaker: CircuitBreakerSpec = Field(
        default_factory=CircuitBreakerSpec, description="When its targets are taken out of use."
    )
    limits: LimitsSpec = Field(default_factory=LimitsSpec, description="What it is spared from.")
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="What `requires.labels` of a route asks for."
    )
    suspend: bool = Field(default=False, description="Out of use, without being deleted.")
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Sent with each request; never secrets, those are `credentials`.",
    )
    propagation: Annotated[Propagation, Word(Propagation)] | None = Field(
        None,
        description="Tracing headers for the provider. Default: trace for Ollama and VLLM, none "
        "for hosted ones.",
    )
    azure: AzureSpec | None = Field(
        None, description="Surface, api-version and tokens; for AzureOpenAI only."
    )
    anthropic: AnthropicSpec | None = Field(
        None, description="Version and betas; for Anthropic only."
    )
    bedrock: BedrockSpec | None = Field(
        None, description="Role, profile and guardrail; for AWSBedrock only."
    )
    region: Region | None = Field(
        None, description="Required for AWSBedrock, like eu-west-3; for no other type."
    )
    anonymous: bool = Field(
        default=False, description="OVHcloud only: call without a key, within its small free limit."
    )


class TargetSpec(Model):
    """One place of a route."""

    provider: ObjectName = Field(description="Name of an LLMProvider.")
    model: ModelName = Field(description="The provider's name for the model.")
    priority: int = Field(1, ge=0, le=1_000_000, description="Lower is tried first.")
    weight: int = Field(1, ge=0, le=1_000_000, description="Share among equals.")


class RequiresSpec(Model):
    """What every target of the route must have; failover can never leave this set."""

    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, description="Labels that the provider's `spec.labels` must have."
    )


class RetrySpec(Model):
    """The budget of one request over all of its provider calls."""

    attempts: int = Field(4, ge=1, le=100, description="Provider calls in all.")
    attempts_per_target: int = Field(2, ge=1, le=100, description="Calls to one target.")
    backoff: Annotated[float, Duration("1ms", "1m", zero_too=True)] = Field(
        0.2, description="The first pause before a retry on the same target; doubles each time."
    )
    max_backoff: Annotated[float, Duration("1ms", "5m", zero_too=True)] | None = Field(
        None, description="Bound of that doubling. Default: 5s, or `backoff` if that is longer."
    )
    deadline: Annotated[float, Duration("1ms", "24h")] = Field(
        120.0, description="From the request's arrival to the first byte of its answer."
    )


class RouteSpec(Model):
    """Names that callers use, and where they may go."""

    models: list[ModelPattern] = Field(
        min_length=1,
        max_length=1000,
        description="Exact names, prefixes that end in `*`, or `*`; exact beats prefix beats `*`.",
    )
    strategy: Annotated[StrategyName, Word(StrategyName)] = Field(
        StrategyName.PRIORITY_WITH_FALLBACK, description="How the targets are ordered."
    )
    targets: list[TargetSpec] = Field(
        min_length=1, max_length=256, description="Where a request may go."
    )
    requires: RequiresSpec = Field(
        default_factory=RequiresSpec, description="What every target must have."
    )
    retry: RetrySpec = Field(default_factory=RetrySpec, description="The budget of one request.")
    mode: Annotated[RouteMode, Word(RouteMode)] = Field(
        RouteMode.LENIENT,
        description="Lenient: fields that a target lacks are dropped, clamped or emulated, and "
        "named in a header. Strict: such a target is skipped; if all are, the caller gets a 400.",
    )


class LLMProvider(Model):
    """A configured upstream."""

    api_version: Literal["switchgear.dev/v1alpha1"] = Field(description="The API's version.")
    kind: Literal["LLMProvider"] = Field(description="The kind of object.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: ProviderSpec = Field(description="What is wanted.")
    status: Any = Field(None, description="Written by the control plane; ignored here.")


class LLMRoute(Model):
    """Names that callers use, and where they may go."""

    api_version: Literal["switchgear.dev/v1alpha1"] = Field(description="The API's version.")
    kind: Literal["LLMRoute"] = Field(description="The kind of object.")
    metadata: Metadata = Field(description="Name and labels.")
    spec: RouteSpec = Field(description="What is wanted.")
    status: Any = Field(None, description="Written by the control plane; ignored here.")


Manifest = LLMProvider | LLMRoute
KINDS: Mapping[str, type[LLMProvider | LLMRoute]] = {
    "LLMProvider": LLMProvider,
    "LLMRoute": LLMRoute,
}


class _Schema(GenerateJsonSchema):
    """JSON Schema as editors want it: no titles, no nulls, durations as text."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        result = super().default_schema(schema)
        default = result.get("default")
        if default is None:
            result.pop("default", None)
        elif isinstance(default, float) and result.get("pattern") == durations.PATTERN:
            result["default"] = durations.format_s(default)
        return result


def json_schema() -> dict[str, Any]:
    """Return one JSON Schema (2020-12) for both kinds, told apart by `kind`.

    It holds what can be said in a schema; `switchgear validate` knows the rest.
    """
    adapter: TypeAdapter[Manifest] = TypeAdapter(
        Annotated[LLMProvider | LLMRoute, Discriminator("kind")]
    )
    schema = adapter.json_schema(by_alias=True, schema_generator=_Schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Switchgear manifest",
        **schema,
    }
