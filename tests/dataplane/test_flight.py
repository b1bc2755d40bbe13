from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.outcome import SkipReason
from dataplane.flight import MAX_STEPS, Decision, FlightRecord, RequestOutcome
from tests.dataplane.telemetry_cases import START_NS, ManualClock


def test_path_tells_each_step_in_order() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.skipped("ollama-local", SkipReason.CIRCUIT_OPEN)
    flight.attempt("azure-eu", "gpt-4o").end(Decision.NEXT_TARGET, "429")
    flight.attempt("scw-par", "mistral").end(Decision.SERVED)
    flight.end(RequestOutcome.SERVED, 200)

    assert ("ollama-local:circuit_open", "azure-eu:429", "scw-par:served") == flight.path
    assert flight.failover
    assert 2 == flight.attempts
    assert 1 == flight.targets_skipped
    assert "scw-par" == flight.served_by == flight.provider
    assert "mistral" == flight.upstream_model
    assert "" == flight.error_type


def test_long_path_keeps_its_last_step() -> None:
    flight = FlightRecord(ManualClock().clock)

    for number in range(40):
        flight.skipped(f"p{number}", SkipReason.COOLDOWN)
    flight.attempt("last", "m").end(Decision.SERVED)

    assert MAX_STEPS == len(flight.path)
    assert "p0:cooldown" == flight.path[0]
    assert "last:served" == flight.path[-1]


def test_first_target_served_is_no_failover() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.attempt("a", "m").end(Decision.RETRY_SAME, "503")
    flight.attempt("a", "m").end(Decision.SERVED)

    assert not flight.failover


def test_another_model_of_the_same_provider_is_a_failover() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.attempt("a", "big").end(Decision.NEXT_TARGET, "503")
    flight.attempt("a", "small").end(Decision.SERVED)

    assert flight.failover


def test_time_is_split_into_attempts_pauses_and_ours() -> None:
    time = ManualClock()
    flight = FlightRecord(time.clock)

    time.advance(0.25)
    first = flight.attempt("a", "m")
    time.advance(2.0)
    first.end(Decision.RETRY_SAME, "429")
    flight.retrying(0.5)
    time.advance(0.5)
    second = flight.attempt("a", "m")
    time.advance(4.0)
    second.end(Decision.SERVED)
    time.advance(0.125)
    flight.end(RequestOutcome.SERVED, 200)
    time.advance(100.0)

    assert 6.875 == flight.duration_s
    assert 0.375 == flight.overhead_s
    assert 2.0 == flight.wasted_s
    assert START_NS == flight.started_ns


def test_pause_that_ends_late_counts_as_planned() -> None:
    time = ManualClock()
    flight = FlightRecord(time.clock)

    flight.retrying(0.5)
    time.advance(0.75)
    flight.end(RequestOutcome.FAILED, 503)

    assert 0.25 == flight.overhead_s


def test_pause_cut_short_counts_as_it_was() -> None:
    time = ManualClock()
    flight = FlightRecord(time.clock)

    flight.retrying(10.0)
    time.advance(1.0)
    flight.end(RequestOutcome.CLIENT_CANCELLED, None)

    assert 0.0 == flight.overhead_s


def test_overlapping_attempts_count_once() -> None:
    time = ManualClock()
    flight = FlightRecord(time.clock)

    one = flight.attempt("a", "m")
    time.advance(1.0)
    two = flight.attempt("b", "m")
    time.advance(1.0)
    one.end(Decision.CANCELLED)
    time.advance(1.0)
    two.end(Decision.SERVED)
    flight.end(RequestOutcome.SERVED, 200)

    assert 0.0 == flight.overhead_s
    assert 0.0 == flight.wasted_s


def test_first_end_of_an_attempt_wins() -> None:
    flight = FlightRecord(ManualClock().clock)
    leg = flight.attempt("a", "m")

    assert leg.end(Decision.SERVED)
    assert not leg.end(Decision.CANCELLED)
    assert ("a:served",) == flight.path


def test_first_end_of_a_flight_wins() -> None:
    flight = FlightRecord(ManualClock().clock)

    assert flight.end(RequestOutcome.FAILED, 503)
    assert not flight.end(RequestOutcome.SERVED, 200)
    assert RequestOutcome.FAILED is flight.outcome
    assert 503 == flight.status
    assert "503" == flight.error_type


def test_end_cancels_what_is_still_open() -> None:
    flight = FlightRecord(ManualClock().clock)
    flight.attempt("a", "m")

    flight.end(RequestOutcome.CLIENT_CANCELLED, None)

    assert ("a:cancelled",) == flight.path
    assert "" == flight.error_type


def test_broken_stream_keeps_its_status_and_the_attempts_error() -> None:
    flight = FlightRecord(ManualClock().clock)
    leg = flight.attempt("a", "m")
    flight.first_byte()

    leg.end(Decision.TOO_LATE, "stream.truncated")
    flight.end(RequestOutcome.FAILED, 200)

    assert "stream.truncated" == flight.error_type
    assert 200 == flight.status
    assert ("a:stream.truncated",) == flight.path


def test_given_error_type_beats_the_status() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.end(RequestOutcome.FAILED, 504, "timeout.total")

    assert "timeout.total" == flight.error_type


def test_refused_request_is_no_error() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.end(RequestOutcome.REJECTED, 404)

    assert "" == flight.error_type
    assert not flight.failover
    assert "" == flight.served_by


def test_only_the_first_byte_is_timed() -> None:
    time = ManualClock()
    flight = FlightRecord(time.clock)
    assert flight.time_to_first_chunk_s is None

    time.advance(0.5)
    flight.first_byte()
    time.advance(0.5)
    flight.first_byte()

    assert 0.5 == flight.time_to_first_chunk_s


def test_model_name_is_cut() -> None:
    flight = FlightRecord(ManualClock().clock)

    flight.matched("r", "x" * 1000, 3, stream=True)

    assert "x" * 256 == flight.model


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("skip"), st.sampled_from(list(SkipReason))),
        st.tuples(st.just("sleep"), st.integers(0, 8)),
        st.tuples(st.just("try"), st.sampled_from(list(Decision))),
        st.tuples(st.just("wait"), st.integers(0, 8)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=_STEPS)
def test_times_never_exceed_the_whole(steps: list[tuple[str, object]]) -> None:
    """Any sequence: the parts are non-negative, and overhead and waste fit into the duration."""
    time = ManualClock()
    flight = FlightRecord(time.clock)

    for what, value in steps:
        match value:
            case SkipReason():
                flight.skipped("s", value)
            case Decision():
                leg = flight.attempt("p", "m")
                time.advance(0.5)
                leg.end(value, "503")
            case int() if what == "sleep":
                flight.retrying(float(value))
            case int():
                time.advance(value / 4)
    flight.end(RequestOutcome.SERVED, 200)

    assert 0.0 <= flight.overhead_s <= flight.duration_s
    assert 0.0 <= flight.wasted_s <= flight.duration_s
    assert len(flight.path) <= MAX_STEPS
    assert sum(what == "try" for what, _ in steps) == flight.attempts
