"""How six vendors write the same answer in OpenAI's format, each with the quirks that it is known for.

`whole` and `chunks` write it as OpenAI does; a vendor's twist changes that. Sources: the vendors'
API references and server sources, and recorded streams, as of 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from controlplane.table.schema import ProviderType
from tests.doubles.talk import Said, pieces

Document = dict[str, Any]

CREATED = 1_790_000_000
USAGE: Mapping[str, int] = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
# Nine letters or digits at Mistral; everybody has a form of their own.
CALL_IDS: Mapping[ProviderType, str] = {
    ProviderType.OPENAI: "call_0123456789abcdefghij{:04d}",
    ProviderType.AZURE_OPENAI: "call_abcdefghijklmnopqrst{:04d}",
    ProviderType.VLLM: "chatcmpl-tool-0123456789abcdef0123456789ab{:04d}",
    ProviderType.OVHCLOUD: "chatcmpl-tool-abcdef0123456789abcdef012345{:04d}",
    ProviderType.SCALEWAY: "chatcmpl-tool-{:04d}/of=scaleway",
    ProviderType.MISTRAL: "aB3dE{:04d}",
}
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "violence")}


def whole(kind: ProviderType, said: Said, model: str, ids: Sequence[str]) -> Document:
    """Write a whole answer."""
    message: Document = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.thoughts:
        message["reasoning_content"] = said.thoughts
    if said.calls:
        message["tool_calls"] = [
            {"id": each, "type": "function", "function": _function(*call)}
            for each, call in zip(ids, said.calls, strict=False)
        ]
    finish = "tool_calls" if said.calls else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    answer = {**_top("chat.completion", model), "choices": [choice], "usage": dict(USAGE)}
    return _WHOLE[kind](answer)


def chunks(
    kind: ProviderType, said: Said, model: str, ids: Sequence[str], *, usage: bool
) -> list[Document]:
    """Write the events of a stream. usage: whether it was asked for."""
    written = [_chunk(model, delta) for delta in _deltas(said, ids)]
    written.append(_chunk(model, {}, "tool_calls" if said.calls else "stop"))
    twisted = list(_STREAM[kind](written))
    ending: Document = {**_top("chat.completion.chunk", model), "choices": [], "usage": dict(USAGE)}
    if kind is ProviderType.MISTRAL:
        twisted[-1]["usage"] = dict(USAGE)
        return twisted
    if usage and kind in {ProviderType.OPENAI, ProviderType.AZURE_OPENAI}:
        twisted = [{**each, "usage": None} for each in twisted]
    if usage and kind is ProviderType.VLLM:
        # Counted on with every chunk, if the server was started so.
        twisted = [{**each, "usage": dict(USAGE)} for each in twisted]
    # OVHcloud sends it, wanted or not.
    return [*twisted, ending] if usage or kind is ProviderType.OVHCLOUD else twisted


def _top(kind: str, model: str) -> Document:
    return {"id": "chatcmpl-up", "object": kind, "created": CREATED, "model": model}


def _function(name: str, arguments: Mapping[str, Any]) -> Document:
    return {"name": name, "arguments": json_of(arguments)}


def json_of(arguments: Mapping[str, Any]) -> str:
    text = ", ".join(f'"{name}": "{value}"' for name, value in arguments.items())
    return f"{{{text}}}"


def _chunk(model: str, delta: Mapping[str, Any], finish: str | None = None) -> Document:
    choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
    return {**_top("chat.completion.chunk", model), "choices": [choice]}


def _deltas(said: Said, ids: Sequence[str]) -> Iterator[Document]:
    yield {"role": "assistant", "content": ""}
    for piece in pieces(said.thoughts):
        yield {"reasoning_content": piece}
    for piece in pieces(said.text):
        yield {"content": piece}
    for index, ((name, arguments), call_id) in enumerate(zip(said.calls, ids, strict=False)):
        start = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [{"index": index, **start}]}
        text = json_of(arguments)
        for at in range(0, len(text), 6):
            piece = {"arguments": text[at : at + 6]}
            yield {"tool_calls": [{"index": index, "function": piece}]}


def _said(document: Document) -> Iterator[Document]:
    for choice in document["choices"]:
        yield choice["delta"] if "delta" in choice else choice["message"]


def _openai_whole(answer: Document) -> Document:
    message = answer["choices"][0]["message"]
    message["annotations"] = []
    return {**answer, "service_tier": "default", "system_fingerprint": "fp_1"}


def _openai_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Say the role together with a call, and pad every chunk."""
    waiting: Document = {}
    for number, chunk in enumerate(chunks):
        delta = chunk["choices"][0]["delta"]
        if number == 0 and any("tool_calls" in each for each in _said(chunks[1])):
            waiting = {**delta, "content": None}
            continue
        chunk["choices"][0]["delta"], waiting = {**waiting, **delta}, {}
        yield {
            **chunk,
            "service_tier": "default",
            "system_fingerprint": "fp_1",
            "obfuscation": "x" * (number % 3 + 1),
        }


def _azure_whole(answer: Document) -> Document:
    answer["choices"][0]["content_filter_results"] = _SAFE
    filtered = [{"prompt_index": 0, "content_filter_results": _SAFE}]
    return {**answer, "prompt_filter_results": filtered, "system_fingerprint": "fp_2"}


def _azure_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Begin with an empty frame of the filter, and go on with its verdicts after the finish."""
    empty = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    yield {**empty, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    for chunk in chunks:
        if chunk["choices"][0]["delta"].get("content"):
            chunk["choices"][0]["content_filter_results"] = _SAFE
        yield chunk
    offsets = {"check_offset": 0, "start_offset": 0, "end_offset": 5}
    verdict = {"index": 0, "finish_reason": None, "content_filter_offsets": offsets}
    yield {**empty, "object": "chat.completion.chunk", "choices": [verdict]}


def _vllm_whole(answer: Document) -> Document:
    for message in _said(answer):
        message["reasoning"] = message.pop("reasoning_content", None)
        message.setdefault("tool_calls", [])
    answer["choices"][0] |= {"stop_reason": None, "token_ids": None}
    nothing = {"prompt_logprobs": None, "kv_transfer_params": None, "prompt_token_ids": None}
    return {**answer, "service_tier": None, "system_fingerprint": None, **nothing}


def _vllm_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Call reasoning by another key, and give no arguments where a call begins."""
    for chunk in chunks:
        for delta in _said(chunk):
            _rename(delta, "reasoning_content", "reasoning")
            _no_arguments_at_first(delta)
        chunk["choices"][0] |= {"stop_reason": None, "token_ids": None}
        yield chunk


def _ovh_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Repeat the role and a name on every delta, and leave finish_reason out until there is one."""
    for chunk in chunks:
        for delta in _said(chunk):
            delta |= {"role": "assistant", "name": "assistant"}
        if chunk["choices"][0]["finish_reason"] is None:
            del chunk["choices"][0]["finish_reason"]
        yield chunk


def _scaleway_whole(answer: Document) -> Document:
    for message in _said(answer):
        if "reasoning_content" in message:
            message["reasoning"] = message["reasoning_content"]
    return answer


def _scaleway_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Say reasoning under both keys, and give no arguments where a call begins."""
    for chunk in chunks:
        for delta in _said(chunk):
            if "reasoning_content" in delta:
                delta["reasoning"] = delta["reasoning_content"]
            _no_arguments_at_first(delta)
        yield chunk


def _mistral_whole(answer: Document) -> Document:
    for message in _said(answer):
        del message["refusal"]
        thoughts = message.pop("reasoning_content", "")
        if thoughts:
            text = [{"type": "text", "text": message["content"]}] if message["content"] else []
            message["content"] = [_thinking(thoughts), *text]
        message["content"] = message["content"] or ""
    return answer


def _mistral_stream(chunks: Sequence[Document]) -> Iterator[Document]:
    """Write thoughts as parts of the content, and a call in one piece; pad every chunk."""
    calls: dict[int, Document] = {}
    for number, chunk in enumerate(chunks):
        delta = chunk["choices"][0]["delta"]
        if "reasoning_content" in delta:
            delta["content"] = [_thinking(delta.pop("reasoning_content"))]
        for entry in delta.get("tool_calls", ()):
            known = calls.setdefault(entry["index"], deepcopy(entry))
            if "id" not in entry:
                known["function"]["arguments"] += entry["function"]["arguments"]
        if "tool_calls" in delta:
            continue
        if chunk["choices"][0]["finish_reason"] and calls:
            delta |= {"content": "", "tool_calls": list(calls.values())}
        yield {**chunk, "p": "abc"[: number % 3 + 1]}


def _thinking(text: str) -> Document:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _rename(said: Document, old: str, new: str) -> None:
    if old in said:
        said[new] = said.pop(old)


def _no_arguments_at_first(delta: Document) -> None:
    for entry in delta.get("tool_calls", ()):
        if "id" in entry:
            entry["function"]["arguments"] = None


def _as_it_is(answer: Document) -> Document:
    return answer


_WHOLE: Mapping[ProviderType, Callable[[Document], Document]] = {
    ProviderType.OPENAI: _openai_whole,
    ProviderType.AZURE_OPENAI: _azure_whole,
    ProviderType.VLLM: _vllm_whole,
    ProviderType.OVHCLOUD: _as_it_is,
    ProviderType.SCALEWAY: _scaleway_whole,
    ProviderType.MISTRAL: _mistral_whole,
}
_STREAM: Mapping[ProviderType, Callable[[Sequence[Document]], Iterator[Document]]] = {
    ProviderType.OPENAI: _openai_stream,
    ProviderType.AZURE_OPENAI: _azure_stream,
    ProviderType.VLLM: _vllm_stream,
    ProviderType.OVHCLOUD: _ovh_stream,
    ProviderType.SCALEWAY: _scaleway_stream,
    ProviderType.MISTRAL: _mistral_stream,
}
