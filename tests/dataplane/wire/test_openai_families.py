from __future__ import annotations

from collections.abc import Sequence

import pytest

from dataplane.wire.openai_families import (
    efforts,
    embeds,
    is_dated,
    is_mistral,
    must_alternate,
    never_reasons,
    reasons,
    reasons_by_default,
    refuses_tools_while_reasoning,
    takes_cache_marks,
)


@pytest.mark.parametrize(
    "model",
    [
        "o1",
        "o1-mini",
        "o3",
        "o4-mini",
        "gpt-5",
        "gpt-5-mini",
        "gpt-5.4",
        "gpt-6-astra",
        "ft:o4-mini:x",
    ],
)
def test_a_reasoning_model_is_known_by_its_prefix(model: str) -> None:
    assert reasons(model)
    assert not never_reasons(model)


@pytest.mark.parametrize(
    "model", ["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo", "gpt-35-turbo", "chatgpt-4o-latest",
              "gpt-5-chat-latest", "gpt-5.1-chat-latest", "ft:gpt-4o-mini:org"]
)  # fmt: skip
def test_a_model_that_never_reasons_is_known_too(model: str) -> None:
    assert never_reasons(model)
    assert not reasons(model)


@pytest.mark.parametrize("model", ["gpt-oss-120b", "llama-3.3-70b", "o1x", "tiny", "my-gpt-5"])
def test_other_names_say_nothing(model: str) -> None:
    assert not reasons(model)
    assert not never_reasons(model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("o3", ["low", "medium", "high"]),
        ("gpt-5", ["minimal", "low", "medium", "high"]),
        ("gpt-5.1", ["none", "low", "medium", "high"]),
        ("gpt-5.4-mini", ["none", "low", "medium", "high", "xhigh"]),
        ("gpt-6-astra", ["low", "medium", "high", "xhigh"]),
    ],
)
def test_efforts_differ_by_model(model: str, expected: Sequence[str]) -> None:
    assert expected == list(efforts(model))


@pytest.mark.parametrize(
    ("model", "default", "refuses_tools", "cache_marks"),
    [
        ("o3", True, False, False),
        ("gpt-35-turbo", True, False, False),
        ("gpt-5", True, False, False),
        ("gpt-5.1", False, False, False),
        ("gpt-5.4", False, True, False),
        ("gpt-5.6", True, True, True),
        ("gpt-6", True, True, True),
    ],
)
def test_versions_of_gpt_differ(
    model: str, default: bool, refuses_tools: bool, cache_marks: bool
) -> None:
    assert default is reasons_by_default(model)
    assert refuses_tools is refuses_tools_while_reasoning(model)
    assert cache_marks is takes_cache_marks(model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gpt-4", True), ("gpt-4-turbo", True), ("gpt-35-turbo", True), ("gpt-4o", False),
     ("gpt-4.1", False), ("gpt-5", False), ("chat-eu", False)],
)  # fmt: skip
def test_models_before_gpt_4o_are_dated(model: str, expected: bool) -> None:
    assert expected is is_dated(model)


def test_families_of_open_models_are_found_anywhere_in_the_name() -> None:
    assert is_mistral("mistralai/Mistral-Small-3.2-24B")
    assert must_alternate("google/gemma-3-27b-it")
    assert not is_mistral("google/gemma-3-27b-it")
    assert not must_alternate("Qwen3-32B")


@pytest.mark.parametrize(
    "model", ["text-embedding-3-small", "mistral-embed", "BAAI/bge-m3", "qwen3-embedding-8b"]
)
def test_embedding_models_are_known_by_name(model: str) -> None:
    assert embeds(model)
    assert not embeds("gpt-4o")
