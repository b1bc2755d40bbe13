from __future__ import annotations

import pytest

from dataplane.wire.anthropic_models import Thinking, abilities
from tests.doubles.anthropic_checks import MODELS


@pytest.mark.parametrize(
    ("model", "output", "marks"),
    [
        # Marks: s sampling, t both of it together, f forced tools, p prefill, b budget or
        # a adaptive thinking, A always, m system messages in the middle, j schemas.
        ("claude-2.1", 4_096, "stfp"),
        ("claude-instant-1", 4_096, "stfp"),
        ("claude-3-opus-20240229", 4_096, "stfp"),
        ("claude-3-5-sonnet-20241022", 8_192, "stfp"),
        ("claude-3-7-sonnet-latest", 64_000, "stfpb"),
        ("claude-sonnet-4-20250514", 64_000, "stfpb"),
        ("claude-opus-4-20250514", 32_000, "stfpb"),
        ("claude-opus-4-1", 32_000, "sfpbj"),
        ("claude-haiku-4-5", 64_000, "sfpbj"),
        ("claude-sonnet-4-5-20250929", 64_000, "sfpbj"),
        ("claude-opus-4-5@20251101", 64_000, "sfpbj"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000, "sfpbj"),
        ("claude-sonnet-4-6", 128_000, "sfaj"),
        ("eu.anthropic.claude-opus-4-6-v1:0", 128_000, "sfaj"),
        ("claude-opus-4-7", 128_000, "faj"),
        ("claude-opus-4-8", 128_000, "famj"),
        ("claude-sonnet-5", 128_000, "famj"),
        ("claude-opus-5-20260401", 128_000, "famj"),
        ("claude-fable-5", 128_000, "faAmj"),
        ("claude-mythos-5", 128_000, "faAmj"),
        ("claude-mythos-preview", 128_000, "faAj"),
        ("claude-sonnet-5-5", 128_000, "aAmj"),
        ("claude-opus-5-5", 128_000, "aAmj"),
        ("claude-opus-5.5", 128_000, "aAmj"),
        ("claude-fable-5-1", 128_000, "aAmj"),
        ("claude-mythos-5-1", 128_000, "aAmj"),
        ("claude-haiku-5-5", 128_000, "famj"),
        # Not heard of yet: nothing that any of them refuses.
        ("claude-sonnet-7", 128_000, "aAj"),
        ("claude-novella-5-20270101", 128_000, "aAj"),
        ("claude-next", 128_000, "aAj"),
        # Other servers that speak the format.
        ("tiny", None, "stfpb"),
        ("qwen3:8b", None, "stfpb"),
    ],
)
def test_what_a_model_takes_is_read_from_its_name(
    model: str, output: int | None, marks: str
) -> None:
    able = abilities(model)
    found = [
        (able.sampling, "s"),
        (able.sampling_together, "t"),
        (able.forced_tool, "f"),
        (able.prefill, "p"),
        (able.thinking is Thinking.BUDGET, "b"),
        (able.thinking is Thinking.ADAPTIVE, "a"),
        (able.always_thinks, "A"),
        (able.system_anywhere, "m"),
        (able.structured, "j"),
    ]

    assert marks == "".join(mark for holds, mark in found if holds)
    assert output == able.max_output_tokens


def test_windows_are_known_for_claudes_only() -> None:
    assert 200_000 == abilities("claude-haiku-4-5").context_window
    assert 1_000_000 == abilities("claude-opus-5").context_window
    assert abilities("tiny").context_window is None


@pytest.mark.parametrize("model", MODELS)
def test_the_table_agrees_with_that_of_the_double(model: str) -> None:
    """Both were written from the same pages, apart from each other."""
    able, known = abilities(model), MODELS[model]

    assert known.max_tokens == able.max_output_tokens
    assert (known.sampling, known.forced, known.prefill, known.system, known.structured) == (
        able.sampling,
        able.forced_tool,
        able.prefill,
        able.system_anywhere,
        able.structured,
    )
    thinking = "always" if able.always_thinks else able.thinking.value
    assert (known.thinking or "none") == thinking
