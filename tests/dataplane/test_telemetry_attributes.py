from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import (
    encode_spans,
)
from opentelemetry.sdk.trace import TracerProvider

from controlplane.table.schema import Provider, ProviderType
from dataplane import telemetry_names as names
from dataplane.codec import encode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.flight import Decision, FlightRecord
from dataplane.provider import Operation, Request, ResponseFacts, Usage
from dataplane.record import replace
from dataplane.telemetry_attributes import (
    Attributes,
    as_double,
    as_int,
    attempt_end,
    attempt_result,
    attempt_start,
    clean_text,
    error_type,
    failure_details,
    finish_reasons,
    request_end,
    request_parameters,
    request_start,
    request_times,
    server_of,
)
from dataplane.wire.plain_request import read_plain
from tests.dataplane.telemetry_cases import ManualClock, provider, request
from tests.sink import _spans

OPENAI = provider()


def started(request: Request, kind: ProviderType = ProviderType.OPENAI) -> Attributes:
    return begun(provider(kind), request)


def begun(of: Provider, request: Request, route: str = "chat", number: int = 1) -> Attributes:
    """All that an attempt says at its start."""
    operation, stream = request.operation, request.stream
    start = attempt_start(of, "gpt-5-mini", operation, route=route, number=number, stream=stream)
    return {**start, **request_parameters(of, request)}


def done(
    of: Provider,
    request: Request,
    decision: Decision,
    *,
    facts: ResponseFacts | None = None,
    request_id: str = "",
    failure: UpstreamFailed | None = None,
    compat: bool = True,
) -> Attributes:
    """All that an attempt says at its end."""
    end = attempt_end(of, facts=facts, request_id=request_id, compat=compat)
    if failure is not None:
        end |= failure_details(failure)
    error = error_type(failure) if failure is not None else ""
    model = facts.response_model if facts is not None else ""
    reasons = finish_reasons(request, decision, facts)
    return {**end, **attempt_result(decision, None, error, model, reasons)}


def ended(
    facts: ResponseFacts | None = None,
    failure: UpstreamFailed | None = None,
    *,
    decision: Decision = Decision.SERVED,
    compat: bool = True,
    **body: Any,
) -> Attributes:
    return done(OPENAI, request(**body), decision, facts=facts, failure=failure, compat=compat)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), {}),
        (Usage(input_tokens=0, output_tokens=0), {"input_tokens": 0, "output_tokens": 0}),
        (
            Usage(
                input_tokens=100,
                output_tokens=50,
                cache_read_tokens=80,
                cache_write_tokens=10,
                reasoning_tokens=30,
            ),
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "cache_read.input_tokens": 80,
                "cache_write.input_tokens": 10,
                "cache_creation.input_tokens": 10,
                "reasoning.output_tokens": 30,
            },
        ),
    ],
)
def test_usage_is_written_as_it_was_read(usage: Usage, expected: dict[str, int]) -> None:
    """T6: totals as given, parts beside them, and what the upstream did not say stays unset."""
    attributes = ended(ResponseFacts(usage=usage))

    assert {f"gen_ai.usage.{name}": count for name, count in expected.items()} == {
        name: value for name, value in attributes.items() if name.startswith("gen_ai.usage.")
    }


def test_older_cache_name_can_be_left_out() -> None:
    attributes = ended(ResponseFacts(usage=Usage(cache_write_tokens=5)), compat=False)

    assert names.USAGE_CACHE_WRITE in attributes
    assert names.USAGE_CACHE_CREATION not in attributes


def test_parameters_get_the_types_of_the_conventions() -> None:
    attributes = started(
        request(
            stream=True,
            temperature=1,
            top_p=0.5,
            frequency_penalty=-2,
            presence_penalty=0,
            max_tokens=10,
            max_completion_tokens=20,
            top_k=40,
            top_logprobs=5,
            seed=-7,
            n=3,
            reasoning_effort="xhigh",
            response_format={"type": "json_schema"},
            service_tier="priority",
        )
    )

    expected = {
        names.REQUEST_STREAM: True,
        names.REQUEST_TEMPERATURE: 1.0,
        names.REQUEST_TOP_P: 0.5,
        names.REQUEST_FREQUENCY_PENALTY: -2.0,
        names.REQUEST_PRESENCE_PENALTY: 0.0,
        names.REQUEST_MAX_TOKENS: 20,
        names.REQUEST_TOP_K: 40,
        names.REQUEST_SEED: -7,
        names.REQUEST_CHOICES: 3,
        names.REQUEST_REASONING_LEVEL: "xhigh",
        names.OUTPUT_TYPE: "json",
        names.OPENAI_REQUEST_TIER: "priority",
    }
    assert expected.items() <= attributes.items()
    assert {name: type(value) for name, value in expected.items()} == {
        name: type(attributes[name]) for name in expected
    }


def test_a_plain_chat_says_the_same_without_its_body_being_made() -> None:
    body = {
        "model": "chat",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 1,
        "top_p": 0.5,
        "presence_penalty": 0,
        "frequency_penalty": -2,
        "max_completion_tokens": 20,
        "seed": 7,
        "stop": ["a"],
    }

    plain = read_plain(encode(body))

    assert plain is not None
    bare = replace(plain, body={})
    assert 6 == len(request_parameters(OPENAI, bare))
    assert request_parameters(OPENAI, request(**body)) == request_parameters(OPENAI, bare)


def test_first_attributes_are_those_for_samplers() -> None:
    assert [
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.SERVER_ADDRESS,
        names.SERVER_PORT,
    ] == list(started(request()))[:5]


def test_defaults_are_not_written() -> None:
    attributes = started(request(n=1, service_tier="auto", response_format={"type": "grammar"}))

    assert not {
        names.REQUEST_CHOICES,
        names.OPENAI_REQUEST_TIER,
        names.REQUEST_STREAM,
        names.OUTPUT_TYPE,
        names.HTTP_RESEND_COUNT,
    } & set(attributes)


def test_embeddings_name_their_encoding() -> None:
    attributes = started(request(Operation.EMBEDDINGS, encoding_format="base64"))

    assert ("base64",) == attributes[names.REQUEST_ENCODINGS]
    assert names.OPENAI_API not in attributes


@pytest.mark.parametrize("kind", list(ProviderType))
def test_vendor_names_stay_with_their_vendors(kind: ProviderType) -> None:
    """No `openai.*` on others, even where their format is the same."""
    of = provider(kind, base_url="https://example.com/v1")
    start = begun(of, request(service_tier="flex"), "", 2)
    end = done(of, request(), Decision.SERVED, request_id="r-1")

    found = {name for name in {**start, **end} if name.split(".")[0] in {"openai", "azure", "aws"}}
    openai = {names.OPENAI_API, names.OPENAI_REQUEST_TIER}
    expected = {
        ProviderType.OPENAI: openai,
        ProviderType.AZURE_OPENAI: openai | {names.AZURE_NAMESPACE, names.AZURE_REQUEST_ID},
        ProviderType.AWS_BEDROCK: {names.AWS_REQUEST_ID},
    }
    assert expected.get(kind, set()) == found
    assert names.PROVIDER_NAMES[kind] == start[names.PROVIDER]
    assert 1 == start[names.HTTP_RESEND_COUNT]
    assert names.ROUTE not in start


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", ("api.openai.com", 443)),
        ("http://vllm.svc/v1", ("vllm.svc", 80)),
        ("http://127.0.0.1:11434", ("127.0.0.1", 11434)),
        ("http://[::1]:8000/v1", ("::1", 8000)),
        ("https://user:secret@host.example:8443", ("host.example", 8443)),
        ("http://host:99999", ("", 0)),
        ("", ("", 443)),
    ],
)
def test_server_is_taken_from_the_base_url(url: str, expected: tuple[str, int]) -> None:
    assert expected == server_of(url)


def test_missing_reasons_are_errors_only_where_they_were_due() -> None:
    half = ResponseFacts(finish_reasons={2: "length"})

    assert ("length",) == ended(half)[names.RESPONSE_FINISH_REASONS]
    assert names.RESPONSE_FINISH_REASONS not in ended(decision=Decision.NEXT_TARGET)
    assert ("error",) == ended(decision=Decision.TOO_LATE)[names.RESPONSE_FINISH_REASONS]
    late = ended(half, decision=Decision.TOO_LATE, n=3)
    assert ("error", "error", "length") == late[names.RESPONSE_FINISH_REASONS]


@pytest.mark.parametrize("choices", [10**30, -5, True, "x", None, [1]])
def test_absurd_choices_make_no_absurd_list(choices: object) -> None:
    late = ended(decision=Decision.TOO_LATE, n=choices)

    reasons = late[names.RESPONSE_FINISH_REASONS]
    assert isinstance(reasons, tuple)
    assert 1 <= len(reasons) <= 128


def test_failure_gives_its_machine_readable_parts() -> None:
    failure = UpstreamFailed(
        ErrorClass.RATE_LIMIT, "text", status=429, retry_after_s=2, provider_code="1300"
    )
    attributes = ended(failure=failure, decision=Decision.NEXT_TARGET)

    assert {
        names.ERROR_TYPE: "429",
        names.PROVIDER_ERROR_CODE: "1300",
        names.RETRY_AFTER: 2.0,
        names.DECISION: "next_target",
    } == attributes


@pytest.mark.parametrize("code", ["with space", "", "é", "x" * 65, "a\nb"])
def test_code_that_is_no_word_is_dropped(code: str) -> None:
    failure = UpstreamFailed(ErrorClass.UPSTREAM_ERROR, "text", status=500, provider_code=code)

    assert names.PROVIDER_ERROR_CODE not in ended(failure=failure)


@pytest.mark.parametrize("error", list(ErrorClass))
@pytest.mark.parametrize("status", [None, 200, 429, 999])
def test_error_type_is_from_the_closed_list(error: ErrorClass, status: int | None) -> None:
    """Every class has a phrase of its own, too."""
    assert error_type(UpstreamFailed(error, "text", status=status)) in names.ERROR_TYPES
    assert names.DESCRIPTIONS[error]


def test_unknown_error_type_is_other() -> None:
    failure = UpstreamFailed(ErrorClass.BAD_REQUEST, "text", error_type="what the user said")

    assert "_OTHER" == error_type(failure)


@pytest.mark.parametrize(
    ("value", "as_an_int", "as_a_double"),
    [
        (True, None, None),
        (None, None, None),
        ("1", None, None),
        (2**63 - 1, 2**63 - 1, float(2**63 - 1)),
        (2**63, None, float(2**63)),
        (-(2**63), -(2**63), float(-(2**63))),
        (10**400, None, None),
        (1.0, None, 1.0),
        (math.inf, None, None),
        (math.nan, None, None),
    ],
)
def test_numbers_that_do_not_fit_are_dropped(
    value: object, as_an_int: int | None, as_a_double: float | None
) -> None:
    assert as_an_int == as_int(value)
    assert as_a_double == as_double(value)


def test_first_byte_is_told_of_streams_only() -> None:
    flight = FlightRecord(ManualClock().clock)
    flight.first_byte()

    assert names.TIME_TO_FIRST_CHUNK not in request_times(flight)
    assert names.OUTCOME not in request_end(flight)


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([2**63, -(2**63) - 1, 10**400]),
        st.floats(),
        st.text(st.characters(), max_size=20),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)
_PARAMETERS = st.sampled_from(
    [
        "temperature",
        "top_p",
        "frequency_penalty",
        "presence_penalty",
        "max_tokens",
        "max_completion_tokens",
        "top_k",
        "seed",
        "n",
        "stop",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "encoding_format",
        "messages",
        "input",
    ]
)
# Text as it comes in headers: any byte, escaped where it is not UTF-8.
_HEADER = st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def encoded(attributes: Attributes) -> dict[str, object]:
    """What arrives of attributes after the official encoder; it may log nothing on the way."""
    warnings = _Warnings()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(warnings)
    try:
        span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span("s")
        span.set_attributes(attributes)
        span.end()
        raw = encode_spans([span]).SerializeToString()  # type: ignore[list-item]
        [arrived] = _spans(type(encode_spans([])).FromString(raw))
    finally:
        logger.removeHandler(warnings)
    assert [] == warnings.lines
    return dict(arrived.attributes)


def plain(attributes: Attributes) -> dict[str, object]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in attributes.items()
    }


@settings(max_examples=200, deadline=None)
@given(
    body=st.dictionaries(_PARAMETERS, _JSON, max_size=6),
    operation=st.sampled_from(list(Operation)),
    decision=st.sampled_from(list(Decision)),
    text=_HEADER,
    number=st.one_of(st.none(), st.integers(), st.floats()),
)
def test_any_value_of_any_parameter_is_exported_or_dropped(
    body: dict[str, Any], operation: Operation, decision: Decision, text: str, number: Any
) -> None:
    """T12: nothing raises, the encoder has nothing to say, and what was kept arrives as it was."""
    asked = Request(operation=operation, model=text, body=body)
    facts = ResponseFacts(
        response_id=text,
        response_model=text,
        finish_reasons={0: text},
        usage=Usage(input_tokens=number, cache_write_tokens=number),
        embedding_dimensions=number,
    )
    failure = UpstreamFailed(
        ErrorClass.UPSTREAM_ERROR, text, provider_code=text, retry_after_s=number, error_type=text
    )
    azure = provider(ProviderType.AZURE_OPENAI)

    start = begun(azure, asked)
    end = done(azure, asked, decision, facts=facts, request_id=text, failure=failure)
    server = request_start(
        text,
        "/v1/chat/completions",
        path=text,
        scheme="http",
        server_address="127.0.0.1",
        server_port=1,
        user_agent=text,
    )

    together = {**start, **end, **server}
    assert plain(together) == encoded(together)
    assert None not in together.values()


@given(text=_HEADER, limit=st.integers(1, 50))
def test_cleaned_text_is_utf8_and_short(text: str, limit: int) -> None:
    clean = clean_text(text, limit)

    assert len(clean) <= limit
    assert clean == clean.encode().decode()
