"""The interface that every provider implements, and the data that goes through it.

Two layers. An *adapter* (one file a provider, `dataplane.providers`) is pure: it turns a canonical
request into an HTTP request, and bytes of the answer into the caller's bytes. A *provider* is what
the forwarder sees: six methods that do the I/O around an adapter (`dataplane.upstream`). Where a
vendor's API needs I/O of its own, a provider implements the six methods itself.

The canonical form is OpenAI's: chat completions, completions and embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from controlplane.table.schema import Timeouts
from dataplane.errors import UpstreamFailed
from dataplane.plain import PlainChat
from dataplane.record import Struct, field


class Operation(StrEnum):
    """What is asked; the value is the span attribute `gen_ai.operation.name`."""

    CHAT = "chat"
    COMPLETION = "text_completion"
    EMBEDDINGS = "embeddings"


class Feature(StrEnum):
    """What a request needs of a target beyond plain text in, plain text out.

    The values are the words of a manifest's `capabilities`.
    """

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    TOKEN_INPUT = "tokenInput"  # noqa: S105 - a feature, not a secret
    DIMENSIONS = "dimensions"
    TOOLS = "tools"
    CUSTOM_TOOLS = "customTools"
    TOOL_CHOICE_REQUIRED = "toolChoiceRequired"
    TOOL_CHOICE_NAMED = "toolChoiceNamed"
    JSON_OBJECT = "jsonObject"
    JSON_SCHEMA = "jsonSchema"
    IMAGE_DATA = "imageData"
    IMAGE_URL = "imageUrl"
    AUDIO_INPUT = "audioInput"
    AUDIO_OUTPUT = "audioOutput"
    FILE = "file"
    LOGPROBS = "logprobs"
    MULTIPLE_CHOICES = "multipleChoices"
    REASONING = "reasoning"


class Request(Struct, frozen=True, kw_only=True):
    """A request in canonical form, checked, with explicit nulls stripped.

    model: the caller's name for it, which is also the `model` of the answer.
    body: the decoded body. Legacy `functions` are already `tools`, `max_tokens` is kept as sent,
        `stop` is a list. Never mutate it.
    include_usage: whether the caller's stream gets a usage chunk.
    base64: whether embeddings go out as base64 of little-endian float32.
    legacy_functions: whether the answer must speak of `function_call` again.
    forced_tool: name of the tool that `tool_choice` names, or empty.
    features: what a target must have; see Feature.
    strict: whether it must be served as it is, or not at all; see Call.
    pinned: whether it names something that only one provider has (an uploaded file), so that no
        other may be tried.
    plain: the same once more, if it is a plain chat.
    """

    operation: Operation
    model: str
    body: Mapping[str, Any]
    stream: bool = False
    include_usage: bool = False
    base64: bool = False
    legacy_functions: bool = False
    forced_tool: str = ""
    features: frozenset[Feature] = frozenset()
    strict: bool = False
    pinned: bool = False
    plain: PlainChat | None = None


class HttpRequest(Struct, frozen=True, kw_only=True):
    """One HTTP request to an upstream. Header names are lower case.

    headers: never mutated, so that what is made of them can be kept as long as they are the same.
    tracing: headers that differ with each request; they come on top, and win.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    tracing: Mapping[str, str] | None = None

    def all_headers(self) -> Mapping[str, str]:
        """Give both kinds in one."""
        return {**self.headers, **self.tracing} if self.tracing else self.headers


class HttpResponse(Struct, frozen=True, kw_only=True):
    """A whole HTTP answer of an upstream. Header names are lower case; repeated ones are joined."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Prepared(Struct, frozen=True, kw_only=True):
    """A request in the upstream's format.

    warnings: what was changed on the way, each `action:field` with the actions of
        `dropped`, `clamped`, `emulated`, `mapped`.
    context: what the adapter needs to read the answer (renamed tools and the like).
    answer_headers: of the answer, once its head has come; for decoders of formats that name the
        answer nowhere else.
    """

    http: HttpRequest
    warnings: Sequence[str] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    answer_headers: Mapping[str, str] = field(default_factory=dict)


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens, totals including their parts; None where the upstream did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class ResponseFacts(Struct, kw_only=True):
    """What an answer said of itself, gathered while it is read; for telemetry and headers.

    finish_reasons: the canonical ones, by choice index. native_finish_reason: the upstream's word
    for the first choice if it differs, else empty.
    """

    response_id: str = ""
    response_model: str = ""
    finish_reasons: dict[int, str] = field(default_factory=dict)
    native_finish_reason: str = ""
    usage: Usage | None = None
    embedding_dimensions: int | None = None
    warnings: list[str] = field(default_factory=list)


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer in the caller's format: the JSON body, and what it said."""

    body: bytes
    facts: ResponseFacts


class Batch(Struct, kw_only=True):
    """What one read of a stream came to.

    data: bytes for the caller, whole SSE events; may be empty. Never holds `[DONE]`: the
        server ends the stream itself when `done` is set.
    chunks: events of the upstream in it that carried anything.
    semantic: whether it holds the first or a later content, reasoning or tool delta, or a
        finish. Until one came, nothing has been said and the stream may still fail over.
    done: the upstream's own end mark was seen, nothing follows.
    failure: the upstream reported an error here, or broke the format; nothing follows.
    """

    data: bytes = b""
    chunks: int = 0
    semantic: bool = False
    done: bool = False
    failure: UpstreamFailed | None = None


class StreamDecoder(Protocol):
    """Turns a stream of the upstream into the caller's; fresh for each stream, pure.

    It does not care how the bytes were cut. `facts` grows while it reads.
    """

    facts: ResponseFacts

    def feed(self, data: bytes) -> Batch:
        """Take the next bytes. After `done` or `failure` nothing more is fed."""
        ...

    def finish(self) -> Batch:
        """Take the end of the body. Gives `done`, or a `failure` if the end mark is missing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model that an upstream offers. context_window: tokens, None if not said."""

    id: str
    owned_by: str = ""
    context_window: int | None = None


class HealthVerdict(StrEnum):
    """What a probe found. Only UNREACHABLE takes a provider out of rotation."""

    HEALTHY = "healthy"
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A probe's verdict, with a phrase for people; latency in seconds if an answer came."""

    verdict: HealthVerdict
    detail: str = ""
    latency_s: float | None = None


class Adapter(Protocol):
    """One provider's wire format, without I/O.

    Each method is pure. `secret` is the credential's current value, None if none is configured.
    """

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the upstream model can do: the type's own, refined by the manifest."""
        ...

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        """Build the upstream's request for `model`. Raises RequestRejected if it cannot be said."""
        ...

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        """Read a 2xx unary answer. Raises UpstreamFailed (bad_response, upstream_error, ...)."""
        ...

    def decoder(self, request: Request, prepared: Prepared) -> StreamDecoder:
        """Make the decoder for one 2xx stream."""
        ...

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        """Classify an answer that is not 2xx. Total: any bytes give a class."""
        ...

    def models_request(self, secret: str | None) -> HttpRequest:
        """Build the request that lists models."""
        ...

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        """Read its 2xx answer. Raises UpstreamFailed (bad_response)."""
        ...

    def probe_request(self, secret: str | None) -> HttpRequest:
        """Build the cheapest honest probe that costs no tokens."""
        ...


@runtime_checkable
class SplitsEmbeddings(Protocol):
    """An adapter whose upstream takes only so many inputs at once."""

    def split(self, request: Request, model: str) -> Sequence[Request]:
        """Cut a request for embeddings into those that the upstream takes, in order; often one."""
        ...


class Call(Struct, frozen=True, kw_only=True):
    """How one attempt is made.

    model: the upstream's name for the model.
    timeouts: the limits of this attempt. deadline_s: loop time at which the request's own budget
        for a first byte ends; an attempt that has not begun to answer by then is given up.
    begin: called once, just before the first byte is sent; starts the attempt's span and returns
        the tracing headers to send along. A request that is rejected before that was no attempt.
    strict: whether a request is rejected of which something would be dropped, clamped or emulated;
        what is only said in other words is sent.
    """

    model: str
    timeouts: Timeouts
    deadline_s: float
    begin: Callable[[], Mapping[str, str]]
    strict: bool = False


class ChatStream(Protocol):
    """An open stream whose first semantic event has come. Whoever got it closes it.

    `head` is the batch that made it semantic, with all bytes so far. `status`, `request_id` and
    `warnings` are known from the start; `facts` grows.
    """

    @property
    def head(self) -> Batch:
        """The batch that made the stream semantic."""
        ...

    @property
    def facts(self) -> ResponseFacts:
        """What the stream has said of itself so far."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What was changed in the request, and what is odd in the answer so far."""
        ...

    @property
    def request_id(self) -> str:
        """The upstream's id of the request, or empty."""
        ...

    async def next(self) -> Batch:
        """Wait for more. Gives batches until one is `done` or has a `failure`."""
        ...

    async def aclose(self) -> None:
        """End the call: the connection is kept if the answer was read to its end, else closed."""
        ...


class Completed(Struct, frozen=True, kw_only=True):
    """A unary answer as the forwarder gets it."""

    answer: Answer
    warnings: Sequence[str]
    request_id: str


class Provider(Protocol):
    """A provider: six methods. All that do I/O raise UpstreamFailed, or RequestRejected."""

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the upstream model can do."""
        ...

    async def list_models(self) -> Sequence[ModelInfo]:
        """List the upstream's models."""
        ...

    async def is_healthy(self) -> Health:
        """Probe the upstream without spending tokens. Never raises for what it finds."""
        ...

    async def chat(self, request: Request, call: Call) -> Completed:
        """Make a unary chat or text completion."""
        ...

    async def chat_stream(self, request: Request, call: Call) -> ChatStream:
        """Open a stream, and return at its first semantic event."""
        ...

    async def embeddings(self, request: Request, call: Call) -> Completed:
        """Embed the input."""
        ...
