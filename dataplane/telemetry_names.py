"""Names of spans' attributes and events, as plain strings.

`gen_ai.*` follow the GenAI semantic conventions' own repository as of autumn 2026 (status
Development), `http.*`, `url.*`, `server.*`, `error.*` and `user_agent.*` the stable conventions
1.41. They are written out rather than imported: the published constants are marked deprecated
since the move, and the package that holds them is a beta that pins its siblings exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controlplane.table.schema import ProviderType
from dataplane.errors import ErrorClass

NS: Final = "switchgear"
"""The prefix of every name that is ours."""

# HTTP and general, semantic conventions 1.41.
ERROR_TYPE: Final = "error.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_RESEND_COUNT: Final = "http.request.resend_count"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
PROTOCOL_VERSION: Final = "network.protocol.version"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SESSION_ID: Final = "session.id"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
USER_AGENT: Final = "user_agent.original"

# GenAI, open-telemetry/semantic-conventions-genai, autumn 2026.
CONVERSATION_ID: Final = "gen_ai.conversation.id"
EMBEDDING_DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
OPERATION: Final = "gen_ai.operation.name"
OUTPUT_TYPE: Final = "gen_ai.output.type"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_ENCODINGS: Final = "gen_ai.request.encoding_formats"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_TTFC: Final = "gen_ai.response.time_to_first_chunk"
USAGE_CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_WRITE: Final = "gen_ai.usage.cache_write.input_tokens"
USAGE_INPUT: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT: Final = "gen_ai.usage.output_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"

# Vendors' own.
AWS_REQUEST_ID: Final = "aws.request_id"
AZURE_NAMESPACE: Final = "azure.resource_provider.namespace"
AZURE_NAMESPACE_VALUE: Final = "Microsoft.CognitiveServices"
AZURE_REQUEST_ID: Final = "azure.service.request.id"
OPENAI_API: Final = "openai.api.type"
OPENAI_REQUEST_TIER: Final = "openai.request.service_tier"

# OpenInference; only the kind, for backends that group by it.
OPENINFERENCE_KIND: Final = "openinference.span.kind"

# Ours, on both kinds of spans.
ROUTE: Final = NS + ".route"
ENDPOINT: Final = NS + ".endpoint"

# Ours, on the server span.
ATTEMPTS: Final = NS + ".attempts"
FAILOVER: Final = NS + ".failover"
GENERATION: Final = NS + ".generation"
MODEL: Final = NS + ".request.model"
OUTCOME: Final = NS + ".outcome"
OVERHEAD: Final = NS + ".overhead_s"
PATH: Final = NS + ".path"
SKIPPED: Final = NS + ".targets.skipped"
STREAM: Final = NS + ".stream"
TIME_TO_FIRST_CHUNK: Final = NS + ".time_to_first_chunk_s"
WASTED: Final = NS + ".wasted_s"

# Ours, on attempts.
ATTEMPT: Final = NS + ".attempt"
DECISION: Final = NS + ".decision"
PROVIDER_ERROR_CODE: Final = NS + ".provider.error_code"
PROVIDER_REQUEST_ID: Final = NS + ".provider.request_id"
RETRY_AFTER: Final = NS + ".retry_after_s"
STREAM_CHUNKS: Final = NS + ".stream.chunks"
STREAM_STALL: Final = NS + ".stream.stall_max_s"

# Events of the server span, and what they carry.
EVENT_SKIPPED: Final = NS + ".target.skipped"
EVENT_RETRY: Final = NS + ".retry.scheduled"
DELAY: Final = NS + ".delay_s"
REASON: Final = NS + ".reason"
REOPEN_IN: Final = NS + ".reopen_in_s"
SOURCE: Final = NS + ".source"

PROVIDER_NAMES: Final[Mapping[ProviderType, str]] = {
    ProviderType.OPENAI: "openai",
    ProviderType.AZURE_OPENAI: "azure.ai.openai",
    ProviderType.AWS_BEDROCK: "aws.bedrock",
    ProviderType.ANTHROPIC: "anthropic",
    ProviderType.MISTRAL: "mistral_ai",
    # Not in the registry; a custom value is allowed.
    ProviderType.OLLAMA: "ollama",
    ProviderType.VLLM: "vllm",
    ProviderType.OVHCLOUD: "ovhcloud",
    ProviderType.SCALEWAY: "scaleway",
}
"""`gen_ai.provider.name` by provider type; the type counts, never the model's maker."""

DESCRIPTIONS: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.BAD_REQUEST: "request refused",
    ErrorClass.UNSUPPORTED: "feature not supported",
    ErrorClass.CONTEXT_LENGTH: "context window exceeded",
    ErrorClass.CONTENT_POLICY: "refused by content policy",
    ErrorClass.TOO_LARGE: "request too large",
    ErrorClass.AUTH: "credential refused",
    ErrorClass.PERMISSION: "permission denied",
    ErrorClass.MODEL_NOT_FOUND: "model not found",
    ErrorClass.CONFIG: "provider misconfigured",
    ErrorClass.RATE_LIMIT: "rate limited",
    ErrorClass.QUOTA: "quota exhausted",
    ErrorClass.OVERLOADED: "overloaded",
    ErrorClass.NOT_READY: "model not ready",
    ErrorClass.TIMEOUT_CONNECT: "no connection in time",
    ErrorClass.TIMEOUT_FIRST_BYTE: "no first byte in time",
    ErrorClass.TIMEOUT_IDLE: "answer fell silent",
    ErrorClass.TIMEOUT_TOTAL: "no complete answer in time",
    ErrorClass.TIMEOUT_UPSTREAM: "upstream timed out",
    ErrorClass.CONNECTION: "connection failed",
    ErrorClass.UNREACHABLE: "host unreachable",
    ErrorClass.UPSTREAM_ERROR: "upstream error",
    ErrorClass.BAD_RESPONSE: "malformed response",
    ErrorClass.CONFLICT: "conflict",
    ErrorClass.CLIENT_CANCELLED: "caller left",
    ErrorClass.STREAM_ABORT: "stream broke off",
    ErrorClass.CREDENTIAL: "credential missing",
}
"""Descriptions of error statuses: fixed phrases, since upstreams echo prompts and keys."""

ERROR_TYPES: Final = frozenset(
    {
        "timeout.connect",
        "timeout.first_byte",
        "timeout.idle",
        "timeout.total",
        "connection.refused",
        "connection.reset",
        "connection.dns",
        "connection.tls",
        "response.malformed",
        "stream.error",
        "stream.truncated",
        "credential",
        "_OTHER",
    }
    | {str(status) for status in range(400, 600)}
)
"""Every value of `error.type`."""

METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""Known HTTP methods; others become `_OTHER`."""

UNTRACED_ROUTES: Final = frozenset(
    {"/healthz", "/livez", "/readyz", "/metrics", "/status", "/table"}
)
"""Routes that never make a span: probes and scrapes would drown the requests."""
