"""Numbers per provider, in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.schema import Price
from controlplane.table.view import StateName, Transition
from dataplane.events import AttemptEnded, Events, cost_of
from dataplane.flight import Decision
from dataplane.metrics import HISTORY, RATE_WINDOW_S, Histogram, ProviderMetrics, Rate
from dataplane.provider import Usage
from tests.fakes import FakeClock


def ended(
    decision: Decision = Decision.SERVED,
    *,
    at_s: float = 1000.0,
    usage: Usage | None = None,
    cost: float | None = None,
    error_type: str = "",
    first_event_s: float | None = 0.1,
) -> AttemptEnded:
    return AttemptEnded(
        at_s=at_s,
        provider="a",
        model="m",
        decision=decision,
        duration_s=0.2,
        first_event_s=first_event_s,
        usage=usage,
        cost=cost,
        error_type=error_type,
    )


def metrics() -> tuple[ProviderMetrics, FakeClock]:
    clock = FakeClock()
    return ProviderMetrics(clock, lambda: 5.0), clock


@given(
    st.lists(st.floats(0.0001, 1500), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99])
)
def test_a_percentile_is_never_below_and_at_most_a_tenth_above(
    values: list[float], share: float
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[math.ceil(share * len(values)) - 1]
    found = histogram.percentile(share)

    assert found is not None
    assert exact * 0.999 <= found <= exact * 1.092


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-9, 1e9])
def test_odd_durations_have_a_bucket_too(seconds: float) -> None:
    histogram = Histogram()
    histogram.add(seconds)

    assert histogram.percentile(0.5) is not None


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile(0.5) is None


def test_the_rate_forgets_what_is_older_than_its_window() -> None:
    rate = Rate()
    rate.add(0, success=False)
    rate.add(RATE_WINDOW_S * 0.9, success=True)
    rate.add(RATE_WINDOW_S * 0.9, success=False)

    assert pytest.approx(1 / 3) == rate.value(RATE_WINDOW_S * 0.95)
    assert pytest.approx(1 / 2) == rate.value(RATE_WINDOW_S * 1.1)
    assert rate.value(RATE_WINDOW_S * 3) is None


def test_attempts_are_counted_with_tokens_and_cost() -> None:
    subject, _ = metrics()
    subject.listen(ended(usage=Usage(input_tokens=10, output_tokens=2), cost=0.5))
    subject.listen(ended(Decision.NEXT_TARGET, error_type="503", first_event_s=None))
    subject.listen(ended(Decision.FAIL, first_event_s=None))
    subject.listen(ended(Decision.CANCELLED, first_event_s=None))
    view = subject.view("a")

    assert (4, 1, 2, 1) == tuple(view[key] for key in ("attempts", "served", "failed", "cancelled"))
    assert (10, 2, 0.5) == tuple(view[key] for key in ("inputTokens", "outputTokens", "costUsd"))
    assert {"503": 1, "_OTHER": 1} == view["errors"]
    assert pytest.approx(1 / 3, abs=1e-4) == view["successRate"]
    assert 100 <= view["firstEventMs"]["p50"] <= 110


def test_an_unknown_provider_has_zeros() -> None:
    view = metrics()[0].view("nobody")

    assert (0, None, []) == (view["attempts"], view["successRate"], view["breakerHistory"])


def test_the_breakers_history_is_kept_in_order_and_bounded() -> None:
    subject, _ = metrics()
    for number in range(HISTORY + 3):
        subject.moved(
            Transition(
                key="k",
                provider="a",
                model="m",
                before=StateName.CLOSED,
                after=StateName.OPEN,
                reason=f"reason {number}",
                at_s=0,
            )
        )
    history = subject.view("a")["breakerHistory"]

    assert HISTORY == len(history)
    assert ("reason 3", "closed", "open", 5.0) == tuple(
        history[0][key] for key in ("reason", "from", "to", "at")
    )


def test_a_provider_that_left_is_forgotten() -> None:
    subject, _ = metrics()
    subject.listen(ended())
    subject.keep_only({})

    assert 0 == subject.view("a")["attempts"]


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(input_tokens=1_000_000, output_tokens=500_000), Price(input=2, output=4), 4.0),
        (Usage(input_tokens=500_000), Price(input=2, output=4), 1.0),
        (Usage(output_tokens=1), Price(input=2, output=4), None),
        (Usage(input_tokens=1), None, None),
        (None, Price(input=2, output=4), None),
    ],
)
def test_the_cost_is_known_if_tokens_and_price_are(
    usage: Usage | None, price: Price | None, cost: float | None
) -> None:
    assert cost == cost_of(usage, price)


def test_a_listener_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    events, seen = Events(), []

    def broken(_event: object) -> None:
        raise KeyError("bug")

    events.subscribe(broken)
    events.subscribe(seen.append)
    event = ended()
    events.publish(event)

    assert [event] == seen
    assert "a listener failed at AttemptEnded" in caplog.text


def test_the_numbers_of_several_processes_add_up() -> None:
    """Each part counts half of the attempts; the sum is what one would have counted."""
    (whole, clock), parts = metrics(), [metrics()[0], metrics()[0]]
    attempts = [
        ended(at_s=clock.now_s - RATE_WINDOW_S / 2),
        ended(usage=Usage(input_tokens=3, output_tokens=2), cost=0.5),
        ended(Decision.NEXT_TARGET, error_type="500", first_event_s=None),
        ended(Decision.NEXT_TARGET, error_type="500", first_event_s=0.4),
        ended(at_s=clock.now_s, first_event_s=0.003),
        ended(Decision.CANCELLED),
    ]
    for number, attempt in enumerate(attempts):
        whole.listen(attempt)
        parts[number % 2].listen(attempt)
    summed = ProviderMetrics(clock, lambda: 5.0)
    for part in parts:
        summed.add(part.numbers())

    assert whole.view("a") == summed.view("a")
    assert whole.numbers() == summed.numbers()


def test_the_history_of_another_can_be_shown() -> None:
    told, _ = metrics()
    told.moved(
        Transition(
            key="k",
            provider="a",
            model="m",
            before=StateName.CLOSED,
            after=StateName.OPEN,
            reason="x",
            at_s=0.0,
        )
    )
    shown, _ = metrics()
    shown.take_history(told)

    assert told.view("a") == shown.view("a")
