from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.telemetry_door import ApiPropagation, propagator
from dataplane.telemetry_guard import Guard
from dataplane.telemetry_records import SpanContext
from dataplane.telemetry_w3c import W3CPropagation
from tests.dataplane.telemetry_cases import CALLER_SPAN_ID, TRACE_ID, TRACEPARENT
from tests.dataplane.telemetry_twins import contexts

BOTH = ("tracecontext", "baggage")

hex_digits = "0123456789abcdef"
almost_hex = st.text("0123456789abcdefAg", min_size=1, max_size=4)


def state_of(chars: int) -> str:
    """A state of so many characters, in as few members as it takes."""
    whole = ",".join(f"k{number:02}={'v' * 256}" for number in range(31))
    return f"{whole},z={'v' * (chars - len(whole) - 3)}"


def baggage_of(chars: int) -> str:
    first = f"a={'x' * 4000},b={'x' * 4000}"
    return f"{first},c={'x' * (chars - len(first) - 3)}"


parents = st.one_of(
    st.sampled_from([f"{version}-{TRACE_ID}-{CALLER_SPAN_ID}-01" for version in ("ff", "fe")]),
    st.from_regex(r"[ \t]{0,2}0[01]-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[ \t]?", fullmatch=True),
    st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,8})?", fullmatch=True),
    st.from_regex(r"00-0{32}-[0-9a-f]{16}-01|00-[0-9a-f]{32}-0{16}-01", fullmatch=True),
    st.text("0123456789abcdef- \t", max_size=60),
    st.just(f"00-{TRACE_ID}-{CALLER_SPAN_ID}-01" + " " * 600),
)
members = st.one_of(
    st.from_regex(r"[ \t]?[a-z][a-z0-9_\-*/]{0,3}=[!-+\--<>-~]{1,4}[ \t]?", fullmatch=True),
    st.from_regex(r"[a-z0-9]{1,3}@[a-z]{1,2}=[ ]?[a-z]", fullmatch=True),
    st.text("ab=@ 1,\t", max_size=8),
    st.sampled_from(["a=" + "x" * 256, "a=" + "x" * 257, "k" * 256 + "=v", "k" * 257 + "=v", ""]),
)
states = st.one_of(
    st.lists(members, max_size=5).map(",".join),
    st.integers(30, 34).map(lambda count: ",".join(f"k{number}=v" for number in range(count))),
    st.integers(8189, 8195).map(state_of),
    st.integers(31, 33).map(lambda count: ",".join(f"k{n}={'v' * 250}" for n in range(count))),
)
pairs = st.one_of(
    st.from_regex(
        r"[ \t]?[a-z]{1,3}[ ]?=[ ]?[!#-+\--:<-\[\]-~]{0,5}[ ]?(;[a-z]=?[a-z]?)?", fullmatch=True
    ),
    st.from_regex(r"(%[0-9a-fA-F]{2}){1,4}=(%[0-9a-fA-F]{2}|\+|a){0,4}", fullmatch=True),
    st.text('ab=;%+ é,"', max_size=8),
    st.sampled_from(["a=" + "x" * 4094, "a=" + "x" * 4095, "=", ""]),
)
baggages = st.one_of(
    st.lists(pairs, max_size=5).map(",".join),
    st.integers(178, 182).map(lambda count: ",".join(f"k{number}=v" for number in range(count))),
    st.integers(7, 9).map(
        lambda count: ",".join(f"k{number}={'%41' * 400}" for number in range(count))
    ),
    st.integers(8189, 8195).map(baggage_of),
    # Grows when it is encoded again.
    st.integers(1360, 1370).map(lambda count: f"a={'!' * 1365},b={'!' * count},c=1"),
    st.just("a=" + "é" * 5000),
)


@st.composite
def headers(draw: st.DrawFn) -> Mapping[str, str]:
    """Give headers as they come from the parser: names in lower case, repeated ones are one."""
    made = {"host": "localhost"}
    for name, values in (("traceparent", parents), ("tracestate", states), ("baggage", baggages)):
        if pieces := draw(st.lists(values, max_size=2)):
            made[name] = ", ".join(pieces)
    return made


@settings(max_examples=400, deadline=None)
@given(headers(), contexts, st.sampled_from([BOTH, BOTH[:1], BOTH[1:], ()]))
def test_headers_mean_what_they_mean_to_opentelemetry(
    sent: Mapping[str, str], context: SpanContext, chosen: tuple[str, ...]
) -> None:
    """In: parent, flags, state. Out: the same headers, with baggage and without."""
    guard = Guard()
    own, theirs = W3CPropagation(chosen), ApiPropagation(propagator(chosen), guard)

    ours, official = own.extract(sent), theirs.extract(sent)

    assert 0 == guard.errors
    assert official.parent == ours.parent
    assert theirs.inject(context, official.baggage) == own.inject(context, ours.baggage)
    assert theirs.inject(context, None) == own.inject(context, None)


@pytest.mark.parametrize("chars", [8191, 8192, 8193])
def test_longest_headers_are_as_long_as_opentelemetrys(chars: int) -> None:
    sent = {
        "traceparent": TRACEPARENT,
        "tracestate": state_of(chars),
        "baggage": baggage_of(chars),
    }
    own, theirs = W3CPropagation(BOTH), ApiPropagation(propagator(BOTH), Guard())

    ours, official = own.extract(sent), theirs.extract(sent)

    assert ours.parent is not None
    assert official.parent == ours.parent
    assert (chars <= 8192) == bool(ours.parent.state)
    baggage = own.inject(ours.parent, ours.baggage).get("baggage", "")
    assert theirs.inject(ours.parent, official.baggage).get("baggage", "") == baggage
    assert (chars <= 8192) == bool(baggage)


@pytest.mark.parametrize("state", ["a=1,b=2", "a=1 , \tb=2", ",a=1,, b=2,"])
def test_a_state_goes_on_in_normal_form(state: str) -> None:
    """As it is when it came in pieces, which are put together by commas and blanks."""
    inbound = W3CPropagation(BOTH).extract({"traceparent": TRACEPARENT, "tracestate": state})

    assert SpanContext(TRACE_ID, CALLER_SPAN_ID, 1, "a=1,b=2", remote=True) == inbound.parent


def test_bytes_that_are_no_text_cost_only_their_own_header() -> None:
    """OpenTelemetry's own propagators lose the whole context here."""
    sent = {"traceparent": TRACEPARENT, "tracestate": "a=\udce9", "baggage": "a=1,b=\udce9"}
    propagation = W3CPropagation(BOTH)

    inbound = propagation.extract(sent)

    assert SpanContext(TRACE_ID, CALLER_SPAN_ID, 1, "", remote=True) == inbound.parent
    assert "a=1" == propagation.inject(inbound.parent, inbound.baggage)["baggage"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_read_or_left_out(parent: str, state: str, baggage: str) -> None:
    propagation = W3CPropagation(BOTH)

    inbound = propagation.extract({"traceparent": parent, "tracestate": state, "baggage": baggage})
    sent = propagation.inject(
        inbound.parent or SpanContext(TRACE_ID, CALLER_SPAN_ID, 1, "", remote=True),
        inbound.baggage,
    )

    assert all(re.fullmatch(r"[ -~]+", value) for value in sent.values())
