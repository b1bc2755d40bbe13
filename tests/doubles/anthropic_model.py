"""What the double of the Messages API says: the same for the same request.

A text is answered by ANSWER, word by word. These words in the last user's text do more:
`weather` calls the first tool, `weathers` calls it twice; `refuse`, `pause` and `cite` do what they
say; `hide` makes thoughts opaque, and `no thoughts` leaves them out.

Source of the blocks: Anthropic API reference, "Messages" and "Extended thinking", read 2026-11-22; the
words and the signatures are the double's own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ANSWER = "Hello! I am no Claude, naïve but predictable 🙂."
THOUGHTS = "The user wants something. I will do it."
CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.com/a",
    "title": "A page",
    "cited_text": "predictable",
    "encrypted_index": "b3BhcXVl",
}
REFUSAL = "This may help to harm somebody."
_KEY = b"the double's own"
_PIECES = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The blocks of an answer, and why it ended."""

    blocks: Sequence[Mapping[str, Any]]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: Mapping[str, Any] | None = None
    tokens: int = 0
    thinking_tokens: int = field(default=0)


def sign(text: str, model: str) -> str:
    """Sign thoughts, for one model."""
    return base64.b64encode(hmac.digest(_KEY, f"{model}\0{text}".encode(), hashlib.sha256)).decode()


def is_signed(block: Mapping[str, Any], model: str) -> bool:
    """Tell whether a block of thoughts is this model's own, unchanged."""
    if block["type"] == "redacted_thinking":
        return block["data"] == sign("redacted", model)
    return block["signature"] == sign(block["thinking"], model)


def pieces(text: str) -> Sequence[str]:
    """Cut a text into tokens."""
    return _PIECES.findall(text)


def write(body: Mapping[str, Any], ids: Sequence[str], *, thinks: bool) -> Written:
    """Answer a request. ids: for tool calls."""
    last = body["messages"][-1]["content"]
    content = [{"type": "text", "text": last}] if isinstance(last, str) else last
    text = " ".join(block.get("text", "") for block in content)
    thoughts = _thoughts(body["model"], text) if thinks and "no thoughts" not in text else []
    calls = _calls(body, content, text, ids)
    if calls:
        blocks = [*thoughts, *calls]
        return _counted(Written(blocks=blocks, stop_reason="tool_use"), thoughts)
    if "refuse" in text:
        details = {"type": "refusal", "category": "bio", "explanation": REFUSAL}
        return _counted(
            Written(blocks=thoughts, stop_reason="refusal", stop_details=details), thoughts
        )
    block: dict[str, Any] = {"type": "text", "text": _text(body, content)}
    if "cite" in text:
        block["citations"] = [CITATION]
    written = Written(
        blocks=[*thoughts, block], stop_reason="pause_turn" if "pause" in text else "end_turn"
    )
    return _counted(_cut(written, body), thoughts)


def _thoughts(model: str, text: str) -> list[Mapping[str, Any]]:
    if "hide" in text:
        return [{"type": "redacted_thinking", "data": sign("redacted", model)}]
    return [{"type": "thinking", "thinking": THOUGHTS, "signature": sign(THOUGHTS, model)}]


def _calls(
    body: Mapping[str, Any], content: Sequence[Mapping[str, Any]], text: str, ids: Sequence[str]
) -> list[Mapping[str, Any]]:
    tools = {tool["name"]: tool for tool in body.get("tools", ())}
    choice = body.get("tool_choice", {"type": "auto"})
    forced = choice["type"] in {"any", "tool"}
    if not tools or choice["type"] == "none" or (not forced and "weather" not in text):
        return []
    if content[0]["type"] == "tool_result" and not forced:
        return []
    tool = tools[choice["name"]] if "name" in choice else next(iter(tools.values()))
    alone = choice.get("disable_parallel_tool_use") or "weathers" not in text
    cities = ["Paris"] if alone else ["Paris", "Lyon"]
    return [
        {
            "type": "tool_use",
            "id": call_id,
            "name": tool["name"],
            "input": fill(tool["input_schema"], city),
        }
        for call_id, city in zip(ids, cities, strict=False)
    ]


def fill(schema: Mapping[str, Any], text: str) -> Any:
    """Make a value of a schema, as simple as can be."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: fill(inner, text) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [fill(schema["items"], text)]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case _:
            return text


def _text(body: Mapping[str, Any], content: Sequence[Mapping[str, Any]]) -> str:
    wanted = body.get("output_config", {}).get("format")
    if wanted is not None:
        return json.dumps(fill(wanted["schema"], "Paris"))
    results = [block for block in content if block["type"] == "tool_result"]
    if results:
        inner = results[0].get("content") or "nothing"
        return f"It is {inner if isinstance(inner, str) else inner[0]['text']}."
    return ANSWER


def _cut(written: Written, body: Mapping[str, Any]) -> Written:
    """Cut the text at a stop sequence, or at the limit of tokens."""
    *before, last = written.blocks
    text = last["text"]
    for stop in body.get("stop_sequences", ()):
        if stop in text:
            cut = {**last, "text": text[: text.index(stop)]}
            return Written(blocks=[*before, cut], stop_reason="stop_sequence", stop_sequence=stop)
    words = pieces(text)
    if len(words) > body["max_tokens"]:
        cut = {**last, "text": "".join(words[: body["max_tokens"]])}
        return Written(blocks=[*before, cut], stop_reason="max_tokens")
    return written


def _counted(written: Written, thoughts: Sequence[Mapping[str, Any]]) -> Written:
    spent = 11 if thoughts else 0
    said = sum(len(pieces(block.get("text", "x y z"))) for block in written.blocks)
    return Written(
        blocks=written.blocks,
        stop_reason=written.stop_reason,
        stop_sequence=written.stop_sequence,
        stop_details=written.stop_details,
        tokens=said + spent,
        thinking_tokens=spent,
    )
