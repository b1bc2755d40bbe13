"""The types of the table: what both planes agree on.

A table is compiled from all manifests, immutable, and replaced as a whole. A request keeps the
table it started with. Nothing here holds a secret: credentials are references.

Durations are float seconds, sizes are bytes, prices are US dollars for a million tokens.
Every default of a manifest is written in `controlplane.manifest`; these types have none, but for
fields that tests and snapshots of older versions may leave out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class ProviderType(StrEnum):
    """The nine provider types; the value is what a manifest's `spec.type` says."""

    OLLAMA = "Ollama"
    VLLM = "VLLM"
    OVHCLOUD = "OVHcloud"
    SCALEWAY = "Scaleway"
    OPENAI = "OpenAI"
    AZURE_OPENAI = "AzureOpenAI"
    AWS_BEDROCK = "AWSBedrock"
    ANTHROPIC = "Anthropic"
    MISTRAL = "Mistral"


class StrategyName(StrEnum):
    """How a route orders its targets."""

    PRIORITY_WITH_FALLBACK = "PriorityWithFallback"
    WEIGHTED = "Weighted"
    ROUND_ROBIN = "RoundRobin"
    LEAST_BUSY = "LeastBusy"
    LOWEST_LATENCY = "LowestLatency"
    LOWEST_COST = "LowestCost"


class BreakerMode(StrEnum):
    """Whether outcomes move the breaker (Auto), or an operator holds it."""

    AUTO = "Auto"
    FORCE_OPEN = "ForceOpen"
    FORCE_CLOSED = "ForceClosed"


class CredentialKind(StrEnum):
    """Where a secret is read from."""

    ENV = "env"
    FILE = "file"
    SECRET_KEY_REF = "secretKeyRef"  # noqa: S105 - the name of a kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRef:
    """A reference to a secret, never the secret.

    name: the environment variable, the file's path, or the Secret's name.
    key: the key in the Secret; empty for the other kinds.
    """

    kind: CredentialKind
    name: str
    key: str = ""

    def __str__(self) -> str:
        """Read like `env:OPENAI_API_KEY` or `secretKeyRef:llm-keys/openai`."""
        return f"{self.kind}:{self.name}" + (f"/{self.key}" if self.key else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """The time limits of one attempt, all in seconds.

    connect_s: from the wish for a connection to an open one, TLS included.
    first_event_s: from the start of the attempt to a stream's first semantic event.
    answer_s: the same for a unary answer's head, which upstreams send once all text is written.
    idle_s: the longest silence between two reads of an answer that has begun.
    total_s: the whole attempt.
    """

    connect_s: float
    first_event_s: float
    answer_s: float
    idle_s: float
    total_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """When a provider is probed; idle or open targets only.

    interval_s: seconds between probes, jittered by a tenth; 0 means never.
    unhealthy_threshold: failed probes in a row that take the provider out of rotation.
    healthy_threshold: good probes in a row that bring it back.
    """

    interval_s: float
    timeout_s: float
    unhealthy_threshold: int
    healthy_threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a target is taken out of use, and for how long.

    consecutive_failures: failures in a row, without a success between, that open. At least 1.
    failure_ratio: share of failures in the window that opens, in (0, 1].
    window_s, min_requests: the window of that share, and how many outcomes it needs to be judged.
    open_s: seconds the first opening lasts; doubles with each trip in a row, with jitter.
    max_open_s: upper bound of that doubling.
    half_open_requests: calls admitted on trial at once; that many successes close, one failure
        opens again.
    ramp_up: per cent of traffic admitted in each of the equal steps after closing (each lasts a
        quarter of open_s); empty means all at once. Always ends in full traffic.
    """

    mode: BreakerMode
    consecutive_failures: int
    failure_ratio: float
    window_s: float
    min_requests: int
    open_s: float
    max_open_s: float
    half_open_requests: int
    ramp_up: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the manifest says about one upstream model.

    context_window: tokens, or None if not said.
    capabilities: the declared features, or None if not said (then the type's own are taken).
    max_output_tokens: the most that the model writes, or None.
    base_model: the model behind an Azure deployment's name, or empty.
    split_thinking: whether text between <think> tags is taken out of the answer, as reasoning.
    """

    name: str
    context_window: int | None = None
    capabilities: frozenset[str] | None = None
    price: Price | None = None
    max_output_tokens: int | None = None
    base_model: str = ""
    split_thinking: bool = False


_IDENTITIES = (
    "azure.clientId",
    "azure.entra",
    "azure.tenantId",
    "bedrock.profile",
    "bedrock.roleArn",
)
"""Options that are part of a credential: with another value, somebody else is calling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A configured upstream.

    base_url: absolute, without a trailing slash.
    credential: None where none is needed.
    options: what only one type knows, as text: `azure.apiVersion`, `azure.surface`, `region`,
        `anonymous`, `propagation`, ... Keys are those of the manifest.
    headers: sent with each request; values never hold secrets.
    max_in_flight: calls at once over all targets of this provider.
    generation: counts the changes of this object's spec, from 1.
    """

    name: str
    type: ProviderType
    base_url: str
    credential: CredentialRef | None
    models: Mapping[str, Model]
    timeouts: Timeouts
    health_check: HealthCheck
    breaker: BreakerPolicy
    max_in_flight: int
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    suspend: bool = False
    generation: int = 1

    @property
    def credential_key(self) -> str:
        """The identity of the credential: equal for all providers that share one key at one host."""
        return _digest(self.type, self.base_url, self._credential)

    def target_key(self, model: str) -> str:
        """Return the identity of a target: type, base URL, credential reference and model.

        Breaker state follows this key, so it survives every change of a manifest that leaves
        these four alone.
        """
        return _digest(self.type, self.base_url, self._credential, model)

    @property
    def _credential(self) -> str:
        """Say who we are there: the reference, and what else chooses an identity."""
        chosen = [f"{name}={self.options[name]}" for name in _IDENTITIES if name in self.options]
        return "\0".join([str(self.credential or ""), *chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One place of a route: a provider and the model's name there.

    priority: lower is tried first. weight: share among equals, at least 0.
    key: `Provider.target_key(model)`, kept so that a request need not hash.
    """

    provider: str
    model: str
    priority: int
    weight: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The budget of one request over all of its attempts.

    attempts: provider calls in all; attempts_per_target: on one target; at least 1 each.
    backoff_s: the first pause before a retry on the same target, doubled each time, with full
        jitter; max_backoff_s bounds it.
    deadline_s: seconds from the arrival of the request to the answer's first byte.
    """

    attempts: int
    attempts_per_target: int
    backoff_s: float
    max_backoff_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A client-visible name and where it may go.

    models: exact names, prefixes that end in `*`, or `*` alone.
    targets: in the manifest's order.
    strict: whether a target is skipped that would drop, clamp or emulate a field.
    required_labels: what each target's provider has; targets without are not in the table.
    """

    name: str
    models: Sequence[str]
    strategy: StrategyName
    targets: Sequence[Target]
    retry: RetryPolicy
    generation: int = 1
    required_labels: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The compiled result of all manifests.

    generation: counts installs, from 1; 0 is the empty table before the first.
    version: hash of the content, equal for equal manifests.
    exact, prefixes, wildcard: the lookup, made once, from a model's name to a route's. Prefixes
        are told apart by their length, longest first, so that a look-up costs no more than the
        lengths there are, however many routes there are.
    """

    generation: int
    version: str
    providers: Mapping[str, Provider]
    routes: Mapping[str, Route]
    exact: Mapping[str, str] = field(default_factory=dict)
    prefixes: Sequence[tuple[int, Mapping[str, str]]] = ()
    wildcard: str = ""

    def route_for(self, model: str) -> Route | None:
        """Return the route for a caller's model name: exact beats prefix beats `*`."""
        name = self.exact.get(model) or self.prefix_owner(model) or self.wildcard
        return self.routes.get(name) if name else None

    def prefix_owner(self, model: str) -> str:
        """Name the route of the longest prefix that a model's name begins with, empty if none."""
        for length, owners in self.prefixes:
            owner = owners.get(model[:length])
            if owner is not None:
                return owner
        return ""

    def model_names(self) -> Sequence[str]:
        """List the exact names that callers may use, sorted; patterns are not names."""
        return sorted(self.exact)  # in no time, as they are so already


EMPTY_TABLE = Table(generation=0, version="", providers={}, routes={})


def index_models(
    routes: Mapping[str, Route],
) -> tuple[dict[str, str], tuple[tuple[int, Mapping[str, str]], ...], str]:
    """Build the lookup of a table: exact names, sorted; prefixes by length; the wildcard."""
    exact: dict[str, str] = {}
    prefixes: dict[int, dict[str, str]] = {}
    wildcard = ""
    for route in routes.values():
        for pattern in route.models:
            if not pattern.endswith("*"):
                exact[pattern] = route.name
            elif pattern == "*":
                wildcard = route.name
            else:
                prefixes.setdefault(len(pattern) - 1, {})[pattern[:-1]] = route.name
    by_length = tuple(sorted(prefixes.items(), reverse=True))
    return dict(sorted(exact.items())), by_length, wildcard


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
