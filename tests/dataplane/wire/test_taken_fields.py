from __future__ import annotations

import pytest

from dataplane.errors import RequestRejected
from dataplane.wire.taken_fields import Fields


def test_what_was_taken_is_not_warned_of() -> None:
    fields = Fields({"model": "m", "stream": True, "seed": 1})

    assert 1 == fields.take("seed")
    assert fields.take("absent") is None
    assert () == fields.finish()


def test_what_nobody_took_is_dropped_once_and_in_order() -> None:
    fields = Fields({"seed": 1, "store": True, "a\nb": 1, "c\nd": 2})
    fields.warn("clamped:temperature", "clamped:temperature")

    assert (
        "clamped:temperature",
        "dropped:seed",
        "dropped:store",
        "dropped:unknown",
    ) == fields.finish()


def test_values_that_ask_for_nothing_are_left_out_silently() -> None:
    assert () == Fields({"n": 1, "presence_penalty": 0, "store": False, "seed": None}).finish()


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("logprobs", True), ("top_logprobs", 1), ("modalities", ["text", "audio"])],
)
def test_what_the_answer_must_be_is_never_dropped(name: str, value: object) -> None:
    with pytest.raises(RequestRejected, match=f"{name} is not supported") as caught:
        Fields({name: value}).finish()

    assert (name, "unsupported_parameter") == (caught.value.param, caught.value.code)
