from __future__ import annotations

import pytest

from dataplane.errors import RequestRejected
from dataplane.wire.anthropic_models import abilities
from dataplane.wire.anthropic_thinking import Thoughts, think
from tests.dataplane.wire.anthropic_kit import ADAPTIVE, ALWAYS, BUDGET, NEW, NEWEST, OLDEST

SUMMARY = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("effort", "budget"),
    [
        ("minimal", 1024),
        ("low", 1024),
        ("medium", 2048),
        ("high", 4096),
        ("xhigh", 8192),
        ("max", 16384),
    ],
)
def test_older_models_get_a_budget(effort: str, budget: int) -> None:
    assert Thoughts(
        thinking={"type": "enabled", "budget_tokens": budget}, on=True, max_tokens=32000
    ) == think(effort, abilities(BUDGET), max_tokens=32000, limit=64000)


@pytest.mark.parametrize(
    ("model", "effort", "level", "warnings"),
    [
        (NEW, "minimal", "low", ("mapped:reasoning_effort",)),
        (NEW, "low", "low", ()),
        (NEW, "medium", "medium", ()),
        (NEW, "high", "high", ()),
        (NEW, "xhigh", "xhigh", ()),
        (NEW, "max", "max", ()),
        (ADAPTIVE, "xhigh", "high", ("mapped:reasoning_effort",)),
        (ADAPTIVE, "max", "max", ()),
        ("claude-haiku-5-5", "max", "high", ("mapped:reasoning_effort",)),
        ("claude-new-9", "xhigh", "high", ("mapped:reasoning_effort",)),
        (NEWEST, "low", "low", ()),
    ],
)
def test_newer_models_get_a_level_of_effort(
    model: str, effort: str, level: str, warnings: tuple[str, ...]
) -> None:
    assert Thoughts(
        thinking=SUMMARY, effort=level, on=True, max_tokens=9, warnings=warnings
    ) == think(effort, abilities(model), max_tokens=9, limit=None)


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (OLDEST, None, Thoughts(max_tokens=9)),
        (OLDEST, "none", Thoughts(max_tokens=9)),
        (OLDEST, "high", Thoughts(max_tokens=9, warnings=("dropped:reasoning_effort",))),
        (BUDGET, None, Thoughts(max_tokens=9)),
        (BUDGET, "none", Thoughts(max_tokens=9)),
        (NEW, None, Thoughts(max_tokens=9)),
        (NEW, "none", Thoughts(max_tokens=9, thinking={"type": "disabled"})),
        (ALWAYS, None, Thoughts(max_tokens=9, on=True)),
    ],
)
def test_without_a_wish_to_think_nothing_more_is_asked_for(
    model: str, effort: str | None, expected: Thoughts
) -> None:
    assert expected == think(effort, abilities(model), max_tokens=9, limit=None)


@pytest.mark.parametrize(("model", "effort"), [(ALWAYS, "none"), (NEWEST, "none"), (NEW, "much")])
def test_what_a_model_cannot_be_told_is_rejected(model: str, effort: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        think(effort, abilities(model), max_tokens=9, limit=None)

    assert ("reasoning_effort", "unsupported_value") == (caught.value.param, caught.value.code)


@pytest.mark.parametrize(
    ("max_tokens", "limit", "budget", "raised", "warnings"),
    [
        (4097, 64000, 4096, 4097, ()),
        (4096, 64000, 4096, 8192, ("mapped:max_tokens",)),
        (100, None, 4096, 4196, ("mapped:max_tokens",)),
        (100, 4000, 2000, 4000, ("mapped:max_tokens", "clamped:reasoning_effort")),
        (2000, 2000, 1024, 2000, ("clamped:reasoning_effort",)),
        (100, 1100, 1024, 1100, ("mapped:max_tokens", "clamped:reasoning_effort")),
    ],
)
def test_a_budget_fits_within_the_limit_of_tokens(
    max_tokens: int, limit: int | None, budget: int, raised: int, warnings: tuple[str, ...]
) -> None:
    assert Thoughts(
        thinking={"type": "enabled", "budget_tokens": budget},
        on=True,
        max_tokens=raised,
        warnings=warnings,
    ) == think("high", abilities(BUDGET), max_tokens=max_tokens, limit=limit)


def test_there_is_no_thinking_where_no_budget_fits() -> None:
    assert Thoughts(max_tokens=100, warnings=("dropped:reasoning_effort",)) == think(
        "high", abilities(BUDGET), max_tokens=100, limit=1024
    )
