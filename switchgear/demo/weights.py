"""The weights of the tiny model: constructed, not trained.

The output row of each token is the embedding of its predecessor, so that the predecessor's own
direction in the residual stream gives it by far the largest logit, whatever the temperature. The
attention and feed-forward layers have small random weights: they compute for real, and are too
weak to change the choice. Column 0 is set for every token outside the chains (all that ends a
prompt) and leads to the first token of the plain answer.

Only additions, multiplications, square roots and a seeded uniform generator are used, which are
exact everywhere: the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from switchgear.demo.vocabulary import Vocabulary

WIDTH: Final = 128
HEADS: Final = 4
KV_HEADS: Final = 2
FEED_FORWARD: Final = 256
LAYERS: Final = 2
CONTEXT: Final = 32768
NORM_EPSILON: Final = 1e-6
ROPE_BASE: Final = 10000.0

_KV_WIDTH: Final = WIDTH // HEADS * KV_HEADS
# The logit of the successor, about; all others spread by LOGIT / sqrt(WIDTH) around zero.
_LOGIT: Final = 40.0
# The prompt-side component, and what the final norm takes away from it.
_PROMPT: Final = 4.0
_NORM_LOSS: Final = 1.3
# Deviation of weights that turn nothing, and of those that add to the residual stream.
_LOUD: Final = 0.1
_QUIET: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """Numbers in row-major order. shape: rows and columns, or the length of a vector."""

    shape: Sequence[int]
    values: array[float]


def build_weights(vocabulary: Vocabulary, seed: int) -> Mapping[str, Tensor]:
    """Build all tensors of the Qwen2 architecture, by their names in a GGUF file."""
    random_source = random.Random(seed)  # noqa: S311 - reproducible weights, not secrets

    def noise(deviation: float, *shape: int) -> Tensor:
        # Uniform over a span with that standard deviation.
        span = deviation * math.sqrt(12.0)
        values = array("f", bytes(4 * math.prod(shape)))
        for place in range(len(values)):
            values[place] = (random_source.random() - 0.5) * span
        return Tensor(shape=shape, values=values)

    embedding = _embedding(vocabulary, noise(1.0, len(vocabulary.tokens), WIDTH))
    tensors = {
        "token_embd.weight": embedding,
        "output_norm.weight": _ones(WIDTH),
        "output.weight": _output(vocabulary, embedding),
    }
    for layer in range(LAYERS):
        tensors |= {
            f"blk.{layer}.{name}": tensor
            for name, tensor in {
                "attn_norm.weight": _ones(WIDTH),
                "ffn_norm.weight": _ones(WIDTH),
                "attn_q.weight": noise(_LOUD, WIDTH, WIDTH),
                "attn_q.bias": noise(_LOUD, WIDTH),
                "attn_k.weight": noise(_LOUD, _KV_WIDTH, WIDTH),
                "attn_k.bias": noise(_LOUD, _KV_WIDTH),
                "attn_v.weight": noise(_QUIET, _KV_WIDTH, WIDTH),
                "attn_v.bias": noise(_QUIET, _KV_WIDTH),
                "attn_output.weight": noise(_QUIET, WIDTH, WIDTH),
                "ffn_gate.weight": noise(_QUIET, FEED_FORWARD, WIDTH),
                "ffn_up.weight": noise(_QUIET, FEED_FORWARD, WIDTH),
                "ffn_down.weight": noise(_QUIET, WIDTH, FEED_FORWARD),
            }.items()
        }
    return tensors


def _embedding(vocabulary: Vocabulary, noise: Tensor) -> Tensor:
    """Give all rows one length outside column 0, so that all successors get the same logit."""
    values = noise.values[:]
    for token in range(len(vocabulary.tokens)):
        row = values[token * WIDTH + 1 : (token + 1) * WIDTH]
        scale = math.sqrt((WIDTH - 1) / math.fsum(number * number for number in row))
        values[token * WIDTH] = 0.0 if token in vocabulary.successors else _PROMPT
        values[token * WIDTH + 1 : (token + 1) * WIDTH] = array("f", (x * scale for x in row))
    return Tensor(shape=noise.shape, values=values)


def _output(vocabulary: Vocabulary, embedding: Tensor) -> Tensor:
    values = array("f", bytes(4 * len(embedding.values)))
    for here, there in vocabulary.successors.items():
        # A token may follow several (the end of a turn does): the rows add up.
        for column in range(1, WIDTH):
            values[there * WIDTH + column] += (
                embedding.values[here * WIDTH + column] * _LOGIT / WIDTH
            )
    values[vocabulary.first * WIDTH] = _LOGIT / _PROMPT * _NORM_LOSS
    return Tensor(shape=embedding.shape, values=values)


def _ones(length: int) -> Tensor:
    return Tensor(shape=(length,), values=array("f", [1.0]) * length)
