"""Make the tiny model: a real Qwen2 transformer of a megabyte whose every answer is known.

* A plain chat answers ANSWER and stops, after ANSWER_TOKENS tokens.
* If the last user message contains "count", it writes `counted(N)`, up to COUNT_TO or
  `max_tokens`: one number a token, so that a lost, doubled or reordered piece of a stream shows.
* If tools are offered and the last message is not a tool's result, it calls get_weather with
  {"city": "Paris"}.

Any server that loads Qwen2 weights from GGUF runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from switchgear.demo import weights
from switchgear.demo.gguf import write_gguf
from switchgear.demo.vocabulary import ANSWER_PIECES, COUNT_TO, build_vocabulary
from switchgear.demo.weights import build_weights

NAME: Final = "tiny"
ANSWER: Final = b"".join(ANSWER_PIECES).decode()
ANSWER_TOKENS: Final = len(ANSWER_PIECES) + 1  # with the end of the turn
EMBEDDING_LENGTH: Final = weights.WIDTH

_SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel:
    """The two files of the model: for chat, and the same weights marked for embeddings."""

    chat: Path
    embedding: Path


def make_model(folder: Path, *, seed: int = _SEED) -> TinyModel:
    """Write the model into `folder`, which is made if it is missing; takes about a second."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = build_vocabulary()
    tensors = build_weights(vocabulary, seed)
    model = TinyModel(chat=folder / f"{NAME}.gguf", embedding=folder / f"{NAME}-embed.gguf")
    write_gguf(model.chat, name=NAME, vocabulary=vocabulary, tensors=tensors)
    write_gguf(model.embedding, name=NAME, vocabulary=vocabulary, tensors=tensors, embedding=True)
    return model


def counted(numbers: int) -> str:
    """Return what the model writes when it is told to count and given so many tokens."""
    return "".join(f" {number}" for number in range(1, min(numbers, COUNT_TO) + 1))
