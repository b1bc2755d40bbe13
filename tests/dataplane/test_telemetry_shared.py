from __future__ import annotations

from dataclasses import replace

from controlplane.table.schema import ProviderType
from dataplane import telemetry_names as names
from dataplane.flight import Decision, FlightRecord, RequestOutcome
from dataplane.provider import Operation
from dataplane.telemetry_shared import MAX_KEPT, AttemptKey, RequestKey, SharedAttributes
from tests.dataplane.telemetry_cases import ManualClock, provider

START: RequestKey = ("POST", "/r", "/r", "http", "127.0.0.1", 4141, "agent")
ATTEMPT: AttemptKey = ("vllm", "llama", "chat", 1, Operation.CHAT, False)
VLLM = provider(ProviderType.VLLM, "vllm")


def test_the_same_is_put_together_once() -> None:
    shared = SharedAttributes(openinference=False)

    assert shared.request_start(START)[1] is shared.request_start(START)[1]
    assert shared.attempt_start(VLLM, ATTEMPT)[1] is shared.attempt_start(VLLM, ATTEMPT)[1]
    ends = [shared.attempt_end(Decision.SERVED, 200, "", "m", ("stop",)) for _ in range(2)]
    assert ends[0] is ends[1]


def test_a_provider_that_a_new_table_changed_is_told_anew() -> None:
    shared = SharedAttributes(openinference=False)
    shared.attempt_start(VLLM, ATTEMPT)
    moved = replace(VLLM, base_url="http://elsewhere:9000/v1")

    _, start = shared.attempt_start(moved, ATTEMPT)

    assert "elsewhere" == start.attributes[names.SERVER_ADDRESS]


def test_what_callers_and_upstreams_say_is_kept_within_bounds() -> None:
    """Thousands of user agents and model names: the tables stay bounded, the answers right."""
    shared = SharedAttributes(openinference=False)
    for number in range(3 * MAX_KEPT):
        _, start = shared.request_start((*START[:-1], f"agent {number}"))
        end = shared.attempt_end(Decision.SERVED, 200, "", f"model {number}", ())

        assert f"agent {number}" == start.attributes[names.USER_AGENT]
        assert f"model {number}" == end.attributes[names.RESPONSE_MODEL]

    assert MAX_KEPT >= shared.kept


def test_only_a_plain_way_through_is_shared() -> None:
    shared = SharedAttributes(openinference=False)
    plain, winding = FlightRecord(ManualClock().clock), FlightRecord(ManualClock().clock)
    for flight in (plain, winding):
        flight.matched("chat", "m", 1, stream=False)
    winding.attempt("a", "m").end(Decision.NEXT_TARGET, "503")
    for flight in (plain, winding):
        flight.attempt("b", "m").end(Decision.SERVED)
        flight.end(RequestOutcome.SERVED, 200)

    last = shared.request_end(plain)
    assert last is not None
    assert ("b:served",) == last.attributes[names.PATH]
    assert shared.request_end(winding) is None
