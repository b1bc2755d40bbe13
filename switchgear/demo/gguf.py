"""Write a model as a GGUF file, version 3.

Source: docs/gguf.md of ggml-org/ggml, read 2026-11-25: magic, version and counts; typed key-value
pairs; tensor descriptions with the fastest dimension first; tensor data, each part aligned.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from switchgear.demo import weights
from switchgear.demo.template import CHAT_TEMPLATE, END_OF_TEXT, TURN_END
from switchgear.demo.vocabulary import Vocabulary
from switchgear.demo.weights import Tensor

_ALIGNMENT: Final = 32
_ARCHITECTURE: Final = "qwen2"

# Types of values in the metadata, and of numbers in a tensor.
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9
_TENSOR_F32, _TENSOR_F16 = 0, 1
_FILE_MOSTLY_F16: Final = 1
_POOLING_MEAN: Final = 1


def write_gguf(
    path: Path,
    *,
    name: str,
    vocabulary: Vocabulary,
    tensors: Mapping[str, Tensor],
    embedding: bool = False,
) -> None:
    """Write the model to `path`. Matrices are stored as float16, vectors as float32.

    embedding: say in the file that it is an embedding model, with mean pooling.
    """
    metadata = _metadata(name, vocabulary, embedding=embedding)
    descriptions, data = bytearray(), bytearray()
    for tensor_name, tensor in tensors.items():
        is_matrix = len(tensor.shape) > 1
        descriptions += _string(tensor_name)
        descriptions += struct.pack("<I", len(tensor.shape))
        descriptions += struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        descriptions += struct.pack("<IQ", _TENSOR_F16 if is_matrix else _TENSOR_F32, len(data))
        data += struct.pack(f"<{len(tensor.values)}{'e' if is_matrix else 'f'}", *tensor.values)
        _align(data)

    head = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    for key, value in metadata.items():
        head += _string(key) + value
    head += descriptions
    _align(head)
    path.write_bytes(head + data)


def _metadata(name: str, vocabulary: Vocabulary, *, embedding: bool) -> Mapping[str, bytes]:
    arch = _ARCHITECTURE
    return {
        "general.architecture": _text(arch),
        "general.name": _text(name),
        "general.file_type": _u32(_FILE_MOSTLY_F16),
        f"{arch}.block_count": _u32(weights.LAYERS),
        f"{arch}.context_length": _u32(weights.CONTEXT),
        f"{arch}.embedding_length": _u32(weights.WIDTH),
        f"{arch}.feed_forward_length": _u32(weights.FEED_FORWARD),
        f"{arch}.attention.head_count": _u32(weights.HEADS),
        f"{arch}.attention.head_count_kv": _u32(weights.KV_HEADS),
        f"{arch}.attention.layer_norm_rms_epsilon": _f32(weights.NORM_EPSILON),
        f"{arch}.rope.freq_base": _f32(weights.ROPE_BASE),
        **({f"{arch}.pooling_type": _u32(_POOLING_MEAN)} if embedding else {}),
        "tokenizer.ggml.model": _text("gpt2"),
        "tokenizer.ggml.pre": _text("qwen2"),
        "tokenizer.ggml.tokens": _texts(vocabulary.tokens),
        "tokenizer.ggml.token_type": _i32s(vocabulary.kinds),
        "tokenizer.ggml.merges": _texts([f"{left} {right}" for left, right in vocabulary.merges]),
        "tokenizer.ggml.eos_token_id": _u32(vocabulary.id(TURN_END)),
        "tokenizer.ggml.padding_token_id": _u32(vocabulary.id(END_OF_TEXT)),
        "tokenizer.ggml.bos_token_id": _u32(vocabulary.id(END_OF_TEXT)),
        "tokenizer.ggml.add_bos_token": _bool(value=False),
        "tokenizer.chat_template": _text(CHAT_TEMPLATE),
    }


def _align(data: bytearray) -> None:
    data += bytes(-len(data) % _ALIGNMENT)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _text(value: str) -> bytes:
    return struct.pack("<I", _STRING) + _string(value)


def _u32(value: int) -> bytes:
    return struct.pack("<II", _U32, value)


def _f32(value: float) -> bytes:
    return struct.pack("<If", _F32, value)


def _bool(*, value: bool) -> bytes:
    return struct.pack("<I?", _BOOL, value)


def _texts(values: Sequence[str]) -> bytes:
    return struct.pack("<IIQ", _ARRAY, _STRING, len(values)) + b"".join(map(_string, values))


def _i32s(values: Sequence[int]) -> bytes:
    return struct.pack(f"<IIQ{len(values)}i", _ARRAY, _I32, len(values), *values)
