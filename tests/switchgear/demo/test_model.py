"""The tiny model's files: the same bytes each time, and a vocabulary that holds together."""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from pathlib import Path

import pytest

from switchgear.demo import weights
from switchgear.demo.model import ANSWER, ANSWER_TOKENS, counted, make_model
from switchgear.demo.template import DO_CALL, DO_COUNT, TURN_END
from switchgear.demo.vocabulary import (
    COUNT_TO,
    TokenKind,
    Vocabulary,
    build_vocabulary,
)
from switchgear.demo.weights import build_weights

_CHAT_SHA256 = "5ff07bedf23a1224ef41bfe8c4590d1cca8bd447ec99992f37267de8ff2da5ab"
_EMBEDDING_SHA256 = "772ecd130ccb0de8072d6549ca77f8c1d58adb20f9c83c8b9a053d5489871a82"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return build_vocabulary()


def test_the_model_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    model = make_model(tmp_path)

    assert _CHAT_SHA256 == hashlib.sha256(model.chat.read_bytes()).hexdigest()
    assert _EMBEDDING_SHA256 == hashlib.sha256(model.embedding.read_bytes()).hexdigest()


def test_another_seed_makes_another_model(tmp_path: Path) -> None:
    first = make_model(tmp_path / "first")
    second = make_model(tmp_path / "second", seed=8)

    assert first.chat.read_bytes() != second.chat.read_bytes()


def test_the_file_is_gguf_3_and_ends_aligned(tmp_path: Path) -> None:
    data = make_model(tmp_path).chat.read_bytes()
    magic, version, tensors, _ = struct.unpack_from("<4sIQQ", data)

    assert (b"GGUF", 3, 3 + 12 * weights.LAYERS) == (magic, version, tensors)
    assert 0 == len(data) % 32


def test_no_token_is_there_twice(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens))
    assert len(vocabulary.tokens) == len(vocabulary.kinds)


def test_each_merge_makes_a_token_from_tokens_of_a_lower_id(vocabulary: Vocabulary) -> None:
    for left, right in vocabulary.merges:
        made = vocabulary.id(left + right)

        assert made > vocabulary.id(left)
        assert made > vocabulary.id(right)


@pytest.mark.parametrize(
    ("start", "length"),
    [(DO_COUNT, COUNT_TO + 1), (DO_CALL, 11)],
    ids=["count", "call"],
)
def test_a_chain_leads_to_the_end_of_the_turn(
    vocabulary: Vocabulary, start: str, length: int
) -> None:
    token, steps = vocabulary.id(start), 0
    while token in vocabulary.successors:
        token, steps = vocabulary.successors[token], steps + 1

    assert (TURN_END, length) == (vocabulary.tokens[token], steps)


def test_the_answer_is_spelled_by_its_chain(vocabulary: Vocabulary) -> None:
    token, steps = vocabulary.first, 1
    while token in vocabulary.successors:
        token, steps = vocabulary.successors[token], steps + 1

    assert TURN_END == vocabulary.tokens[token]
    assert ANSWER_TOKENS == steps
    assert "Hello! I am a tiny model, naïve but predictable 🙂." == ANSWER


def test_markers_show_in_text_and_controls_do_not(vocabulary: Vocabulary) -> None:
    shown = {vocabulary.tokens[n] for n, k in enumerate(vocabulary.kinds) if k is TokenKind.MARKER}

    assert {"<tool_call>", "</tool_call>"} == shown


def test_the_successor_has_by_far_the_largest_logit(vocabulary: Vocabulary) -> None:
    """Without the layers, embedding times output already decides, with room for their noise."""
    tensors = build_weights(vocabulary, 7)
    embedding, output = tensors["token_embd.weight"].values, tensors["output.weight"].values
    width, tokens = weights.WIDTH, range(len(vocabulary.tokens))

    for here in itertools.islice(vocabulary.successors, 0, None, 97):
        row = embedding[here * width : (here + 1) * width]
        norm = math.sqrt(math.fsum(x * x for x in row) / width)
        logits = [
            sum(a * b for a, b in zip(row, output[t * width : (t + 1) * width], strict=True)) / norm
            for t in tokens
        ]
        best, second = sorted(logits, reverse=True)[:2]

        assert best == logits[vocabulary.successors[here]]
        assert best > second + 18.0


def test_counted_is_cut_at_the_largest_number() -> None:
    assert " 1 2 3" == counted(3)
    assert "" == counted(0)
    assert counted(COUNT_TO) == counted(COUNT_TO + 5)
