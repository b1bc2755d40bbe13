"""What the tests of OpenAI's format share: providers, requests, folding, and the rules of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.table import schema
from controlplane.table.schema import ProviderType
from dataplane import registry
from dataplane.codec import decode, encode
from dataplane.errors import UpstreamFailed
from dataplane.provider import Adapter, HttpResponse, Request, StreamDecoder
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings

BASE_URLS: Mapping[ProviderType, str] = {
    ProviderType.OLLAMA: "http://localhost:11434",
    ProviderType.VLLM: "http://localhost:8000/v1",
    ProviderType.OVHCLOUD: "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1",
    ProviderType.SCALEWAY: "https://api.scaleway.ai/v1",
    ProviderType.OPENAI: "https://api.openai.com/v1",
    ProviderType.AZURE_OPENAI: "https://res.openai.azure.com",
    ProviderType.MISTRAL: "https://api.mistral.ai",
}
OPENAI_LIKE = tuple(kind for kind in BASE_URLS if kind is not ProviderType.OLLAMA)
TOOL = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
HELLO: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "Hello"},)


def provider(kind: ProviderType, **changes: Any) -> schema.Provider:
    """Make a configured provider of a type."""
    fields: dict[str, Any] = {
        "name": "up",
        "type": kind,
        "base_url": BASE_URLS.get(kind, "http://localhost"),
        "credential": None,
        "models": {},
        "timeouts": schema.Timeouts(
            connect_s=1.0, first_event_s=1.0, answer_s=1.0, idle_s=1.0, total_s=1.0
        ),
        "health_check": schema.HealthCheck(
            interval_s=0.0, timeout_s=1.0, unhealthy_threshold=1, healthy_threshold=1
        ),
        "breaker": schema.BreakerPolicy(
            mode=schema.BreakerMode.AUTO,
            consecutive_failures=1,
            failure_ratio=1.0,
            window_s=1.0,
            min_requests=1,
            open_s=1.0,
            max_open_s=1.0,
            half_open_requests=1,
            ramp_up=(),
        ),
        "max_in_flight": 1,
    }
    return schema.Provider(**{**fields, **changes})


def adapter(kind: ProviderType, **changes: Any) -> Adapter:
    """Make the adapter of a type."""
    return registry.build(provider(kind, **changes))


def chat(**fields: Any) -> Request:
    """Make a chat request as it comes in; one greeting unless `messages` are given."""
    return parse_chat(encode({"model": "route", "messages": HELLO, **fields}))


def completion(**fields: Any) -> Request:
    """Make a text completion request as it comes in."""
    return parse_completion(encode({"model": "route", "prompt": "Once", **fields}))


def embeddings(**fields: Any) -> Request:
    """Make an embeddings request as it comes in."""
    return parse_embeddings(encode({"model": "route", "input": "a", **fields}))


def sent(
    kind: ProviderType, request: Request, model: str = "m", **changes: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return the body that a provider would be sent, decoded, and the warnings."""
    prepared = adapter(kind, **changes).prepare(request, model, "key")
    return decode(prepared.http.body), list(prepared.warnings)


def answered(
    kind: ProviderType, request: Request, body: bytes, model: str = "m", **changes: Any
) -> tuple[bytes, Any]:
    """Return the caller's bytes of a whole answer, and its facts."""
    made = adapter(kind, **changes)
    prepared = made.prepare(request, model, "key")
    answer = made.answer(request, prepared, HttpResponse(status=200, headers={}, body=body))
    return answer.body, answer.facts


def decoder(
    kind: ProviderType, request: Request, model: str = "m", **changes: Any
) -> StreamDecoder:
    """Make the decoder of one stream."""
    made = adapter(kind, **changes)
    return made.decoder(request, made.prepare(request, model, "key"))


class Played:
    """A stream that was fed piece by piece, to its end or its failure."""

    def __init__(self, stream: StreamDecoder, pieces: Sequence[bytes]) -> None:
        self.data = b""
        self.before_semantic = b""
        self.chunks = 0
        self.semantic = False
        self.done = False
        self.failure: UpstreamFailed | None = None
        self.facts = stream.facts
        for piece in pieces:
            self._take(stream.feed(piece))
            if self.done or self.failure:
                return
        self._take(stream.finish())

    def _take(self, batch: Any) -> None:
        self.data += batch.data
        self.chunks += batch.chunks
        self.semantic = self.semantic or batch.semantic
        if not self.semantic:
            self.before_semantic = self.data
        self.done = batch.done
        self.failure = batch.failure

    @property
    def events(self) -> list[dict[str, Any]]:
        """The chunks that the caller gets."""
        return read_events(self.data)


def play(
    kind: ProviderType, request: Request, *payloads: Any, done: bool = True, **changes: Any
) -> Played:
    """Feed chunks (decoded, or bytes) as one event each, then `[DONE]`."""
    return Played(decoder(kind, request, **changes), [wire(*payloads, done=done)])


def wire(*payloads: Any, done: bool = True) -> bytes:
    """Write chunks as an upstream does."""
    texts = [each if isinstance(each, bytes) else encode(each) for each in payloads]
    ends = [b"[DONE]"] if done else []
    return b"".join(b"data: " + text + b"\n\n" for text in [*texts, *ends])


def chunk(delta: Any = None, finish: str | None = None, **changes: Any) -> dict[str, Any]:
    """Make a chat chunk of one choice, as OpenAI has it."""
    choice = {"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "m-2026",
        "choices": [{**choice, **changes.pop("choice", {})}],
        **changes,
    }


def usage_chunk(**usage: int) -> dict[str, Any]:
    """Make the last chunk, without choices."""
    return {**chunk(), "choices": [], "usage": usage or USAGE}


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def read_events(data: bytes) -> list[dict[str, Any]]:
    """Read the caller's bytes, strictly: one line of data an event."""
    assert not data or data.endswith(b"\n\n")
    events = data.split(b"\n\n")[:-1]
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    return [decode(event[6:]) for event in events]


def deltas(events: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Give the deltas of the first choice, in order."""
    return [
        choice["delta"] for event in events for choice in event["choices"] if choice["index"] == 0
    ]


def fold(events: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Add deltas up, as clients do: strings are concatenated, calls are kept by their index."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"]:
            folded = choices.setdefault(choice["index"], {"finish_reason": None})
            if choice["finish_reason"] is not None:
                folded["finish_reason"] = choice["finish_reason"]
            for key, value in choice["delta"].items():
                if key == "tool_calls":
                    _fold_calls(folded.setdefault(key, []), value)
                elif isinstance(value, str):
                    folded[key] = (folded.get(key) or "") + value
                elif value is not None:
                    folded[key] = value
    return choices


def _fold_calls(calls: list[Any], entries: Sequence[Any]) -> None:
    for entry in entries:
        while len(calls) <= entry["index"]:
            calls.append({"id": "", "type": "", "function": {"name": "", "arguments": ""}})
        call = calls[entry["index"]]
        call["id"] += entry.get("id", "")
        call["type"] += entry.get("type", "")
        call["function"]["name"] += entry["function"].get("name", "")
        call["function"]["arguments"] += entry["function"]["arguments"]


def check_shape(events: Sequence[Mapping[str, Any]], *, include_usage: bool) -> None:
    """Check the rules that every stream of ours keeps."""
    begun: set[int] = set()
    finished: set[int] = set()
    calls: dict[int, int] = {}
    for at, event in enumerate(events):
        for key in ("id", "created", "model"):
            assert events[0][key] == event[key]
        assert "route" == event["model"]
        if not include_usage:
            assert "usage" not in event
            assert event["choices"]
        if not event["choices"]:
            assert len(events) - 1 == at
            assert event["usage"]
        elif include_usage:
            assert event["usage"] is None
        for choice in event["choices"]:
            index = choice["index"]
            delta = choice["delta"]
            assert index not in finished
            assert ("role" in delta) is (index not in begun)
            assert "name" not in delta
            begun.add(index)
            for entry in delta.get("tool_calls", ()):
                seen = calls.get(index, 0)
                assert isinstance(entry["function"]["arguments"], str)
                if "id" in entry:
                    assert seen == entry["index"]
                    assert entry["id"]
                    assert entry["type"]
                    assert "name" in entry["function"]
                    calls[index] = seen + 1
                else:
                    assert entry["index"] < seen
                    assert "name" not in entry["function"]
                    assert "type" not in entry
            assert "finish_reason" in choice
            if choice["finish_reason"] is not None:
                finished.add(index)
