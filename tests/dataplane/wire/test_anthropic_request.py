"""Sections 5 to 9 of the rules: tools, formats, sampling, reasoning, and all other fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.schema import Model
from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from tests.dataplane.wire.anthropic_kit import (
    ADAPTIVE,
    ALWAYS,
    BUDGET,
    NEW,
    NEWEST,
    OLDEST,
    PDF,
    PNG,
    adapter,
    prepared,
    sent,
    thinking,
)
from tests.dataplane.wire.openai_kit import TOOL, chat, completion, embeddings
from tests.doubles.anthropic_checks import MODELS, check
from tests.doubles.anthropic_model import sign

NAMED = {"type": "function", "function": {"name": "get_time"}}
OTHER = {"type": "function", "function": {"name": "get_date", "description": "Tell the date"}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "place": {"type": ["object", "null"]}},
    "required": ["city"],
}
CLOSED = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "place": {"type": ["object", "null"], "additionalProperties": False},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def json_schema(schema: Any = SCHEMA, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, **more}}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **function}}


def rejected(request: Request, model: str = BUDGET, **changes: Any) -> RequestRejected:
    with pytest.raises(RequestRejected) as caught:
        sent(request, model, **changes)
    assert 400 == caught.value.status
    return caught.value


def test_the_least_request_is_written_in_full() -> None:
    assert (
        {
            "model": BUDGET,
            "max_tokens": 64000,
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            "stream": False,
        },
        [],
    ) == sent(chat())


# Limits of tokens.


@pytest.mark.parametrize(
    ("fields", "model", "expected", "warnings"),
    [
        ({}, BUDGET, 64000, []),
        ({}, NEW, 128000, []),
        ({}, "claude-unheard-9", 128000, []),
        ({}, "tiny", 8192, ["mapped:max_tokens"]),
        ({"max_tokens": 7}, BUDGET, 7, []),
        ({"max_completion_tokens": 7}, BUDGET, 7, []),
        ({"max_tokens": 9, "max_completion_tokens": 7}, BUDGET, 7, []),
        ({"max_tokens": 10**6}, BUDGET, 64000, ["clamped:max_tokens"]),
        ({"max_tokens": 10**6}, "tiny", 10**6, []),
    ],
)
def test_max_tokens_is_always_sent(
    fields: dict[str, Any], model: str, expected: int, warnings: list[str]
) -> None:
    body, warned = sent(chat(**fields), model)

    assert expected == body["max_tokens"]
    assert warnings == warned


@pytest.mark.parametrize(
    ("fields", "expected", "warnings"),
    [({}, 500, []), ({"max_tokens": 7}, 7, []), ({"max_tokens": 900}, 500, ["clamped:max_tokens"])],
)
def test_the_operators_limit_takes_the_place_of_the_tables(
    fields: dict[str, Any], expected: int, warnings: list[str]
) -> None:
    made = adapter(Model(name=BUDGET, max_output_tokens=500)).prepare(chat(**fields), BUDGET, None)

    assert expected == decode(made.http.body)["max_tokens"]
    assert warnings == list(made.warnings)


# Sampling.


@pytest.mark.parametrize(
    ("model", "fields", "expected", "warnings"),
    [
        (BUDGET, {"temperature": 0.5}, {"temperature": 0.5}, []),
        (BUDGET, {"temperature": 0}, {"temperature": 0}, []),
        (BUDGET, {"temperature": 1}, {}, []),
        (BUDGET, {"temperature": 1.5}, {"temperature": 1}, ["clamped:temperature"]),
        (BUDGET, {"top_p": 0.5, "top_k": 3}, {"top_p": 0.5, "top_k": 3}, []),
        (BUDGET, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["dropped:top_p"]),
        (BUDGET, {"temperature": 0.5, "top_p": 1}, {"temperature": 0.5}, []),
        (ADAPTIVE, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5}, ["dropped:top_p"]),
        (OLDEST, {"temperature": 0.5, "top_p": 0.5}, {"temperature": 0.5, "top_p": 0.5}, []),
        ("claude-opus-4-7", {"temperature": 0.5}, {}, ["dropped:temperature"]),
        (NEW, {"temperature": 1, "top_p": 1}, {}, []),
        (NEW, {"temperature": 0.5, "top_p": 0.5, "top_k": 3}, {},
         ["dropped:temperature", "dropped:top_p", "dropped:top_k"]),
        ("claude-unheard-9", {"temperature": 0}, {}, ["dropped:temperature"]),
        ("tiny", {"temperature": 0, "top_p": 0.5, "max_tokens": 9},
         {"temperature": 0, "top_p": 0.5}, []),
        # While it thinks.
        (BUDGET, {"reasoning_effort": "low", "temperature": 0.5, "top_k": 3, "top_p": 0.97},
         {"top_p": 0.97}, ["dropped:temperature", "dropped:top_k"]),
        (BUDGET, {"reasoning_effort": "low", "top_p": 0.5}, {}, ["dropped:top_p"]),
        (BUDGET, {"reasoning_effort": "low", "temperature": 1}, {}, []),
        (BUDGET, {"reasoning_effort": "none", "temperature": 0.5}, {"temperature": 0.5}, []),
    ],
)  # fmt: skip
def test_sampling_is_sent_as_far_as_the_model_takes_it(
    model: str, fields: dict[str, Any], expected: dict[str, Any], warnings: list[str]
) -> None:
    body, warned = sent(chat(**fields), model)

    names = ("temperature", "top_p", "top_k")
    assert expected == {name: body[name] for name in names if name in body}
    assert warnings == warned


@pytest.mark.parametrize("model", [OLDEST, BUDGET, NEW])
def test_no_sampling_is_sent_under_the_new_api_version(model: str) -> None:
    body, warnings = sent(
        chat(temperature=0.5, top_p=1), model, options={"anthropic.version": "2026-10-21"}
    )

    assert {"temperature", "top_p"}.isdisjoint(body)
    assert ["dropped:temperature"] == warnings


# Reasoning; the rest of it is tested with the thoughts themselves.


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        (BUDGET, "medium", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (BUDGET, "none", {}),
        (NEW, "none", {"thinking": {"type": "disabled"}}),
        (NEW, "xhigh", {"thinking": {"type": "adaptive", "display": "summarized"},
                        "output_config": {"effort": "xhigh"}}),
        (ALWAYS, "low", {"thinking": {"type": "adaptive", "display": "summarized"},
                         "output_config": {"effort": "low"}}),
    ],
)  # fmt: skip
def test_effort_becomes_thinking(model: str, effort: str, expected: dict[str, Any]) -> None:
    body, warnings = sent(chat(reasoning_effort=effort), model)

    names = ("thinking", "output_config")
    assert expected == {name: body[name] for name in names if name in body}
    assert [] == warnings


def test_a_budget_raises_a_limit_that_leaves_no_room_for_it() -> None:
    body, warnings = sent(chat(reasoning_effort="high", max_tokens=100))

    assert 4196 == body["max_tokens"]
    assert ["mapped:max_tokens"] == warnings


def test_a_model_that_cannot_stop_thinking_rejects_the_wish() -> None:
    assert "reasoning_effort" == rejected(chat(reasoning_effort="none"), NEWEST).param


# Tools.


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ({}, {"input_schema": {"type": "object", "properties": {}}}),
        ({"description": "D", "parameters": {}},
         {"description": "D", "input_schema": {"type": "object", "properties": {}}}),
        ({"parameters": {"type": "object"}, "description": ""},
         {"input_schema": {"type": "object", "properties": {}}}),
        ({"parameters": {"properties": {"a": {}}}},
         {"input_schema": {"type": "object", "properties": {"a": {}}}}),
        ({"parameters": SCHEMA}, {"input_schema": SCHEMA}),
        ({"parameters": SCHEMA, "strict": False}, {"input_schema": SCHEMA}),
        ({"parameters": SCHEMA, "strict": True}, {"input_schema": CLOSED, "strict": True}),
        ({"parameters": {"$schema": "x", "type": "object", "properties": {}}},
         {"input_schema": {"$schema": "x", "type": "object", "properties": {}}}),
        ({"cache_control": {"type": "ephemeral"}},
         {"input_schema": {"type": "object", "properties": {}},
          "cache_control": {"type": "ephemeral"}}),
    ],
)  # fmt: skip
def test_a_function_becomes_a_tool(function: dict[str, Any], expected: dict[str, Any]) -> None:
    body, warnings = sent(chat(tools=[tool(**function)]))

    assert [{"name": "f", **expected}] == body["tools"]
    assert "tool_choice" not in body
    assert [] == warnings


def test_old_models_know_no_strict_tools() -> None:
    body, warnings = sent(chat(tools=[tool(parameters=SCHEMA, strict=True)]), OLDEST)

    assert [{"name": "f", "input_schema": SCHEMA}] == body["tools"]
    assert ["dropped:tools.function.strict"] == warnings


def test_custom_tools_are_rejected() -> None:
    custom = {"type": "custom", "custom": {"name": "x"}}

    assert "tools[1].type" == rejected(chat(tools=[TOOL, custom])).param


@pytest.mark.parametrize("fields", [{"tools": []}, {"tools": [], "tool_choice": "auto"}])
def test_an_empty_list_of_tools_is_absent(fields: dict[str, Any]) -> None:
    assert sent(chat()) == sent(chat(**fields))


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("auto", None, {"type": "auto"}),
        ("auto", True, {"type": "auto"}),
        ("auto", False, {"type": "auto", "disable_parallel_tool_use": True}),
        ("none", None, {"type": "none"}),
        ("none", False, {"type": "none"}),
        ("required", None, {"type": "any"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (NAMED, None, {"type": "tool", "name": "get_time"}),
        (NAMED, False,
         {"type": "tool", "name": "get_time", "disable_parallel_tool_use": True}),
    ],
)  # fmt: skip
def test_choices_of_tools(choice: Any, parallel: Any, expected: Any) -> None:
    body, warnings = sent(chat(tools=[TOOL], tool_choice=choice, parallel_tool_calls=parallel))

    assert expected == body.get("tool_choice")
    assert [] == warnings


@pytest.mark.parametrize(("mode", "expected"), [("auto", "auto"), ("required", "any")])
def test_allowed_tools_leave_only_those(mode: str, expected: str) -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [NAMED]}}
    body, warnings = sent(chat(tools=[TOOL, OTHER], tool_choice=choice))

    assert ["get_time"] == [each["name"] for each in body["tools"]]
    assert {"type": expected} == body["tool_choice"]
    assert ["emulated:tool_choice"] == warnings


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (NEWEST, {}),
        ("claude-opus-5-5", {}),
        ("claude-unheard-9", {}),
        (BUDGET, {"reasoning_effort": "low"}),
        (NEW, {"reasoning_effort": "low"}),
        (ALWAYS, {"reasoning_effort": "low"}),
    ],
)
def test_a_forced_call_is_never_downgraded(model: str, fields: dict[str, Any], choice: Any) -> None:
    failure = rejected(chat(tools=[TOOL], tool_choice=choice, **fields), model)

    assert ("tool_choice", "unsupported_value") == (failure.param, failure.code)


@pytest.mark.parametrize(
    ("model", "fields"), [(NEW, {}), (ALWAYS, {}), (NEW, {"reasoning_effort": "none"})]
)
def test_a_forced_call_passes_where_nobody_asked_for_thoughts(
    model: str, fields: dict[str, Any]
) -> None:
    body, _ = sent(chat(tools=[TOOL], tool_choice="required", **fields), model)

    assert {"type": "any"} == body["tool_choice"]


HISTORY: list[Any] = [
    {"role": "user", "content": "u"},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "funcs.get time", "arguments": "{}"}},
        {"id": "c", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]},
    *({"role": "tool", "tool_call_id": each, "content": "r"} for each in "abc"),
]  # fmt: skip


def test_tools_that_only_the_history_knows_are_made_up_and_not_to_be_called() -> None:
    body, warnings = sent(chat(messages=HISTORY))

    empty = {"type": "object", "properties": {}}
    names = [block["name"] for block in body["messages"][1]["content"]]
    assert ["get_time", names[1], "get_time"] == names
    assert names[1].startswith("funcs_get_time_")
    assert [
        {"name": "get_time", "input_schema": empty},
        {"name": names[1], "input_schema": empty},
    ] == body["tools"]
    assert {"type": "none"} == body["tool_choice"]
    assert ["emulated:tools"] == warnings


def test_tools_of_the_request_stand_for_those_of_the_history() -> None:
    body, warnings = sent(chat(messages=HISTORY, tools=[OTHER]))

    assert ["get_date"] == [each["name"] for each in body["tools"]]
    assert [] == warnings


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL], "tool_choice": "whatever"},
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}},
        {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools":
                                          {"mode": "auto", "tools": [OTHER, "x"]}}},
    ],
)  # fmt: skip
def test_a_choice_that_slipped_through_is_rejected(fields: dict[str, Any]) -> None:
    request = Request(operation=Operation.CHAT, model="r", body={"messages": [], **fields})

    assert "tool_choice" == rejected(request).param


# The form of the answer.


def test_a_schema_is_native_and_closed() -> None:
    body, warnings = sent(chat(response_format=json_schema()))
    closed, unwarned = sent(chat(response_format=json_schema(CLOSED)))

    assert {"format": {"type": "json_schema", "schema": CLOSED}} == body["output_config"]
    assert ["mapped:response_format"] == warnings
    assert body == closed
    assert [] == unwarned


def test_a_schema_keeps_what_its_lists_and_constants_hold() -> None:
    schema = {
        "anyOf": [{"type": "object", "additionalProperties": True}, {"enum": [{"type": "object"}]}]
    }
    body, warnings = sent(chat(response_format=json_schema(schema)))

    assert schema == body["output_config"]["format"]["schema"]
    assert [] == warnings


def test_a_schema_goes_together_with_effort_and_tools() -> None:
    body, _ = sent(
        chat(response_format=json_schema(CLOSED), reasoning_effort="low", tools=[TOOL]), NEW
    )

    assert {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}} == (
        body["output_config"]
    )
    assert ["get_time"] == [each["name"] for each in body["tools"]]


@pytest.mark.parametrize("model", [OLDEST, "tiny"])
def test_a_schema_is_emulated_by_a_forced_tool_on_old_models(model: str) -> None:
    body, warnings = sent(
        chat(response_format=json_schema(description="Where it is."), max_tokens=9), model
    )
    plain, _ = sent(chat(response_format=json_schema({}), max_tokens=9), model)

    [made] = body["tools"]
    assert ("place", SCHEMA) == (made["name"], made["input_schema"])
    assert made["description"].startswith("Where it is.\n")
    assert {"type": "tool", "name": "place", "disable_parallel_tool_use": True} == (
        body["tool_choice"]
    )
    assert ["emulated:response_format"] == warnings
    assert {"type": "object", "properties": {}} == plain["tools"][0]["input_schema"]


def test_an_emulated_schema_goes_together_with_tools_of_the_history() -> None:
    body, warnings = sent(chat(messages=HISTORY, response_format=json_schema()), OLDEST)

    assert 3 == len(body["tools"])
    assert "place" == body["tool_choice"]["name"]
    assert ["emulated:response_format", "emulated:tools"] == warnings


@pytest.mark.parametrize(
    ("fields", "model", "param"),
    [
        ({"tools": [TOOL]}, OLDEST, "response_format"),
        ({"reasoning_effort": "low"}, "claude-3-7-sonnet-latest", "response_format"),
        ({"response_format": json_schema({"type": "array"})}, OLDEST,
         "response_format.json_schema.schema"),
    ],
)  # fmt: skip
def test_what_an_emulated_schema_does_not_go_together_with(
    fields: dict[str, Any], model: str, param: str
) -> None:
    assert param == rejected(chat(**{"response_format": json_schema(), **fields}), model).param


@pytest.mark.parametrize(
    "wanted",
    [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "any"}}],
)
@pytest.mark.parametrize("model", [OLDEST, BUDGET, NEWEST])
def test_json_without_a_schema_is_asked_for_in_words(wanted: Any, model: str) -> None:
    body, warnings = sent(
        chat(response_format=wanted, messages=[{"role": "system", "content": "S"},
                                               {"role": "user", "content": "u"}]), model
    )  # fmt: skip

    assert ["S", "Answer with one valid JSON object and nothing else."] == [
        block["text"] for block in body["system"]
    ]
    assert ["emulated:response_format"] == warnings


def test_plain_text_is_what_comes_anyway() -> None:
    assert sent(chat()) == sent(chat(response_format={"type": "text"}))


# Everything else.


@pytest.mark.parametrize(
    ("fields", "expected", "warnings"),
    [
        ({"stop": "END"}, {"stop_sequences": ["END"]}, []),
        ({"stop": ["a", "\n", "b"]}, {"stop_sequences": ["a", "b"]}, ["dropped:stop"]),
        ({"stop": [" "]}, {}, ["dropped:stop"]),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}, []),
        ({"safety_identifier": "u-1"}, {"metadata": {"user_id": "u-1"}}, []),
        ({"safety_identifier": "u-1", "user": "u-1"}, {"metadata": {"user_id": "u-1"}}, []),
        ({"safety_identifier": "u-1", "user": "u-2"}, {"metadata": {"user_id": "u-1"}},
         ["dropped:user"]),
        ({"safety_identifier": "a@b.c", "user": "u-2"}, {"metadata": {"user_id": "u-2"}},
         ["dropped:safety_identifier"]),
        ({"user": "ann@example.com"}, {}, ["dropped:user"]),
        ({"user": "+33 1 23 45 67 89"}, {}, ["dropped:user"]),
        ({"user": "0123456789"}, {}, ["dropped:user"]),
        ({"user": "x" * 300}, {}, ["dropped:user"]),
        ({"metadata": {"user_id": "u-1"}}, {"metadata": {"user_id": "u-1"}}, []),
        ({"metadata": {"user_id": "u-1", "a": "b"}}, {"metadata": {"user_id": "u-1"}},
         ["dropped:metadata"]),
        ({"metadata": {"a": "b"}}, {}, ["dropped:metadata"]),
        ({"metadata": {"user_id": 3}}, {}, ["dropped:metadata"]),
        ({"metadata": {"user_id": "a@b.c"}}, {}, ["dropped:metadata"]),
        ({"service_tier": "auto"}, {"service_tier": "auto"}, []),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}, []),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}, []),
        ({"service_tier": "flex"}, {}, ["dropped:service_tier"]),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}, []),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, []),
        ({"seed": 1}, {}, ["dropped:seed"]),
        ({"presence_penalty": 1, "frequency_penalty": 1}, {},
         ["dropped:presence_penalty", "dropped:frequency_penalty"]),
        ({"logit_bias": {"1": 1}}, {}, ["dropped:logit_bias"]),
        ({"verbosity": "low", "store": True, "prediction": {}, "prompt_cache_key": "k",
          "web_search_options": {}}, {},
         ["dropped:verbosity", "dropped:store", "dropped:prediction", "dropped:prompt_cache_key",
          "dropped:web_search_options"]),
        ({"presence_penalty": 0, "n": 1, "logprobs": False, "store": False,
          "modalities": ["text"]}, {}, []),
        ({"thinking": {"type": "enabled"}, "system": "x", "min_p": 0.1}, {},
         ["dropped:thinking", "dropped:system", "dropped:min_p"]),
    ],
)  # fmt: skip
def test_fields_and_what_becomes_of_them(
    fields: dict[str, Any], expected: dict[str, Any], warnings: list[str]
) -> None:
    plain, _ = sent(chat())
    body, warned = sent(chat(**fields))

    assert {**plain, **expected} == body
    assert warnings == warned


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
    ],
)
def test_what_changes_the_answer_is_rejected(fields: dict[str, Any], param: str) -> None:
    failure = rejected(chat(**fields))

    assert (param, "unsupported_parameter") == (failure.param, failure.code)


@pytest.mark.parametrize("request_", [completion(), embeddings()])
def test_there_is_nothing_but_chat(request_: Request) -> None:
    assert "unsupported_parameter" == rejected(request_).code


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "x"}, "messages"),
        ({"messages": [], "max_tokens": "x"}, "max_tokens"),
        ({"messages": [], "response_format": "x"}, "response_format"),
        ({"messages": [], "reasoning_effort": "x"}, "reasoning_effort"),
    ],
)
def test_what_slipped_through_is_rejected_with_its_field(body: dict[str, Any], param: str) -> None:
    assert param == rejected(Request(operation=Operation.CHAT, model="r", body=body)).param


# Whatever is asked, the double takes what comes of it.


TEXT = st.sampled_from(["hi", "", " ", "weather?"])
PARTS = st.lists(
    st.sampled_from(
        [
            {"type": "text", "text": "a"},
            {"type": "text", "text": " "},
            {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
            {"type": "file", "file": {"file_id": "file_1"}},
        ]
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def loops(draw: st.DrawFn) -> list[Any]:
    """An assistant's turn with calls, and their results."""
    ids = draw(st.lists(st.sampled_from(["call_0", "call_1", "a.b:c"]), min_size=1, unique=True))
    calls = [
        {"id": each, "type": "function", "function":
         {"name": draw(st.sampled_from(["get_time", "a.b"])), "arguments":
          draw(st.sampled_from(["", "{}", "[1]", "{"]))}}
        for each in ids
    ]  # fmt: skip
    assistant = {"role": "assistant", "content": draw(TEXT), "tool_calls": calls}
    if draw(st.booleans()):
        origin = {"type": "Anthropic", "model": draw(st.sampled_from(sorted(MODELS)))}
        reasoning = [thinking("hm", sign("hm", origin["model"]))]
        assistant["switchgear"] = {"origin": origin, "reasoning": reasoning}
    return [
        assistant,
        *({"role": "tool", "tool_call_id": each, "content": draw(TEXT)} for each in ids),
    ]


@st.composite
def conversations(draw: st.DrawFn) -> list[Any]:
    message = st.one_of(
        st.builds(lambda text: [{"role": "system", "content": text}], TEXT),
        st.builds(lambda text: [{"role": "user", "content": text}], TEXT | PARTS),
        st.builds(lambda text: [{"role": "assistant", "content": text}], TEXT),
        loops(),
    )
    return [each for group in draw(st.lists(message, min_size=1, max_size=6)) for each in group]


FIELDS: Any = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1, 2]),
        "top_p": st.sampled_from([0.5, 0.99, 1]),
        "top_k": st.just(5),
        "max_tokens": st.sampled_from([1, 1500, 10**6]),
        "stop": st.sampled_from([["a"], [" "]]),
        "reasoning_effort": st.sampled_from(["none", "minimal", "medium", "xhigh", "max"]),
        "response_format": st.sampled_from(
            [{"type": "json_object"}, json_schema(), json_schema({"type": "array"})]
        ),
        "user": st.sampled_from(["u", "a@b.c"]),
        "service_tier": st.sampled_from(["default", "flex"]),
        "tools": st.sampled_from([[TOOL], [tool(parameters=SCHEMA, strict=True)]]),
        "parallel_tool_calls": st.booleans(),
        "cache_control": st.just({"type": "ephemeral"}),
        "seed": st.just(1),
    },
)


def test_a_turn_that_thinks_begins_with_it_though_another_is_joined_before() -> None:
    thought = {
        "type": "thinking",
        "thinking": "hm",
        "signature": "r6DbnfCbNLGUd+7KF/69wi6+JEAtCk+KOhjzG/umTOA=",
    }
    model = "claude-haiku-4-5-20251001"
    messages = [
        {"role": "user", "content": "when?"},
        {"role": "assistant", "content": "hi"},
        {"role": "system", "content": ""},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
            "switchgear": {
                "origin": {"type": "Anthropic", "model": model},
                "reasoning": [thought],
            },
        },
        {"role": "tool", "tool_call_id": "a", "content": "now"},
    ]
    made = prepared(chat(messages=messages, reasoning_effort="low"), model)
    body = decode(made.http.body)
    check(body, made.http.headers)

    assert ["thinking", "text", "tool_use"] == [
        block["type"] for block in body["messages"][1]["content"]
    ]
    assert "mapped:messages" in made.warnings


@settings(max_examples=300, deadline=None)
@given(
    messages=conversations(),
    fields=FIELDS,
    choice=st.sampled_from([None, "auto", "none", "required"]),
    model=st.sampled_from(sorted(MODELS)),
    version=st.sampled_from(["2023-06-01", "2026-10-21"]),
)
def test_the_double_takes_whatever_is_written(
    messages: list[Any], fields: dict[str, Any], choice: str | None, model: str, version: str
) -> None:
    """A request is rejected here, with its field, or it is one that the API takes."""
    if "tools" in fields:
        fields = {**fields, "tool_choice": choice}
    request = chat(messages=messages, **fields)
    try:
        made = prepared(request, model, options={"anthropic.version": version})
    except RequestRejected as failure:
        assert failure.param  # noqa: PT017 - either outcome is fine, if it is complete
        return

    check(decode(made.http.body), made.http.headers)
