"""What the double of Ollama has installed, and what its tiny models write.

The texts and token counts are those of the tiny test model that a real Ollama 0.33.0 was seen with:
a plain chat answers ANSWER, a last user message that speaks of `count` gets numbers, and offered tools
get one call (two if it speaks of `weathers`), unless the last message is a tool's answer.

Source of the numbers and lists: what that server answered on 2026-11-22.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# One entry a token. The smiley takes two, and the server holds the first back.
ANSWER_PIECES = [
    b"Hello",
    b"!",
    b" I",
    b" am",
    b" a",
    b" tiny",
    b" model",
    b",",
    " naïve".encode(),
    b" but",
    b" predictable",
    b" ",
    "🙂".encode()[:2],
    "🙂".encode()[2:],
    b".",
]
ANSWER = b"".join(ANSWER_PIECES).decode()
THINKING_PIECES = [b"I", b" am", b" thinking", b"."]
THINKING = b"".join(THINKING_PIECES).decode()
COUNT_TO = 999
CONTEXT_LENGTH = 32768
EMBEDDING_LENGTH = 128
CALL_TOKENS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A model of the double. capabilities: as /api/show tells them."""

    name: str
    capabilities: Sequence[str]

    @property
    def details(self) -> Mapping[str, Any]:
        return {
            "parent_model": "",
            "format": "gguf",
            "family": "qwen2",
            "families": ["qwen2"],
            "parameter_size": "622.21K",
            "quantization_level": "F16",
            "context_length": CONTEXT_LENGTH,
            "embedding_length": EMBEDDING_LENGTH,
        }

    @property
    def tag(self) -> Mapping[str, Any]:
        digest = hashlib.sha256(self.name.encode()).hexdigest()
        return {
            "name": f"{self.name}:latest",
            "model": f"{self.name}:latest",
            "modified_at": "2026-11-22T19:40:00.123456789Z",
            "size": 1267232,
            "digest": digest,
            "details": self.details,
            "capabilities": self.capabilities,
        }


INSTALLED: Mapping[str, Installed] = {
    model.name: model
    for model in (
        Installed(name="tiny", capabilities=("completion", "tools")),
        Installed(name="tiny-thinker", capabilities=("completion", "tools", "thinking")),
        Installed(name="tiny-plain", capabilities=("completion",)),
        Installed(name="tiny-embed", capabilities=("embedding",)),
    )
}


def installed(name: str) -> Installed | None:
    """Find a model by its name, with or without the tag that names imply."""
    return INSTALLED.get(name.removesuffix(":latest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the model writes: a piece of text a line, with tokens and why it ended."""

    thinking: Sequence[str] = ()
    pieces: Sequence[str] = ()
    calls: Sequence[Mapping[str, Any]] = ()
    tokens: int = 0
    done_reason: str = "stop"


@dataclass(slots=True)
class _Budget:
    """Tokens that may still be written."""

    left: int
    used: int = field(default=0)

    def spend(self, pieces: Sequence[bytes]) -> list[bytes]:
        taken = list(pieces[: max(self.left, 0)])
        self.left -= len(taken)
        self.used += len(taken)
        return taken


def write(
    last: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    tools: bool,
    think: bool,
    formatted: bool,
) -> Written:
    """Answer the last message. `formatted` wins over `tools`, as it does on the real server."""
    limit = options.get("num_predict", -1)
    budget = _Budget(limit if limit >= 0 else 10**9)
    thinking = _lines(budget.spend(THINKING_PIECES)) if think else []
    if tools and not formatted and last.get("role") != "tool":
        if budget.left < CALL_TOKENS:
            return Written(
                thinking=thinking, tokens=budget.used + budget.left, done_reason="length"
            )
        cities = ["Paris", "Lyon"] if "weathers" in str(last.get("content", "")) else ["Paris"]
        calls = [{"name": "get_weather", "arguments": {"city": city}} for city in cities]
        return Written(thinking=thinking, calls=calls, tokens=budget.used + CALL_TOKENS)
    if formatted:
        wanted = [b"{", b"}"]
    elif "count" in str(last.get("content", "")).lower():
        wanted = [b" %d" % number for number in range(1, COUNT_TO + 1)]
    else:
        wanted = ANSWER_PIECES
    pieces = _lines(budget.spend(wanted))
    stopped = _stopped(pieces, options.get("stop") or ())
    if stopped is not None:
        return Written(thinking=thinking, pieces=stopped, tokens=budget.used)
    if budget.left < 1:
        return Written(thinking=thinking, pieces=pieces, tokens=budget.used, done_reason="length")
    # The token that ends the text counts, and is not seen.
    return Written(thinking=thinking, pieces=pieces, tokens=budget.used + 1)


def count_tokens(texts: Sequence[str]) -> int:
    """Count the tokens of a chat prompt of these messages; `hi` alone is ten."""
    return 4 + sum(5 + len(text.split()) for text in texts)


def embed(text: str, dimensions: int | None) -> list[float]:
    """Give a vector of length one that depends on the text alone."""
    digest = hashlib.shake_256(text.encode()).digest(EMBEDDING_LENGTH)
    values = [byte / 255 - 0.5 for byte in digest[: dimensions or EMBEDDING_LENGTH]]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def _lines(tokens: Sequence[bytes]) -> list[str]:
    """Join tokens into what can be sent: a half character waits for its other half."""
    lines: list[str] = []
    held = b""
    for token in tokens:
        held += token
        try:
            lines.append(held.decode())
        except UnicodeDecodeError:
            continue
        held = b""
    return lines


def _stopped(pieces: Sequence[str], stops: Sequence[str]) -> list[str] | None:
    """Cut at the first stop sequence, None if there is none."""
    text = "".join(pieces)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    if not places:
        return None
    end = min(places)
    kept: list[str] = []
    for piece in pieces:
        kept.append(piece[:end])
        end -= len(kept[-1])
    return [piece for piece in kept if piece]
