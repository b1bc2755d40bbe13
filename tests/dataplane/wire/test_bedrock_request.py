"""Options, tools and formats, row by row, for the families that differ."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.wire.bedrock_models import model_of
from dataplane.wire.bedrock_request import Settings, serialize
from tests.dataplane.wire.bedrock_kit import (
    ADAPTIVE,
    ALWAYS_THINKS,
    CLAUDE,
    GPT_OSS,
    LLAMA,
    MODELS,
    NEW_CLAUDE,
    NOVA,
    NOVA_2,
    OLD_CLAUDE,
    PDF,
    PNG,
    TITAN,
    assistant,
    call,
    result,
    serialized_for,
    tool,
    user,
    written,
)
from tests.doubles.bedrock_rules import check_converse

HI = user("Hi")
LOOP = [HI, assistant(None, call()), result()]
NAMED = {"type": "function", "function": {"name": "get_time"}}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "city": {"type": "object", "properties": {"name": {"enum": [{"type": "object"}]}}}
    },
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
SPEC = {"name": "get_time", "inputSchema": {"json": {"type": "object", "properties": {}}}}


def test_a_plain_request_is_little() -> None:
    assert ({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}, ()) == written(LLAMA)


def test_sampling_is_said_in_converses_words() -> None:
    body, warnings = written(
        NOVA, temperature=0.5, top_p=0.9, max_tokens=100, stop=["END", "\n"], top_k=5
    )

    assert {
        "maxTokens": 100,
        "stopSequences": ["END", "\n"],
        "temperature": 0.5,
        "topP": 0.9,
    } == body["inferenceConfig"]
    assert {"inferenceConfig": {"topK": 5}} == body["additionalModelRequestFields"]
    assert () == tuple(warnings)


@pytest.mark.parametrize(
    ("model", "fields", "inference", "warned"),
    [
        (LLAMA, {"temperature": 1.5}, {"temperature": 1}, ["clamped:temperature"]),
        (LLAMA, {"max_tokens": 5, "max_completion_tokens": 7}, {"maxTokens": 7}, []),
        (CLAUDE, {}, {"maxTokens": 64000}, []),
        (OLD_CLAUDE, {}, {"maxTokens": 4096}, []),
        (CLAUDE, {"max_tokens": 10**6}, {"maxTokens": 64000}, ["clamped:max_tokens"]),
        (CLAUDE, {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9},
         {"maxTokens": 9, "temperature": 0.5}, ["dropped:top_p"]),
        (CLAUDE, {"temperature": 0.5, "top_p": 1, "max_tokens": 9},
         {"maxTokens": 9, "temperature": 0.5}, []),
        (CLAUDE, {"top_p": 0.5, "max_tokens": 9}, {"maxTokens": 9, "topP": 0.5}, []),
        (OLD_CLAUDE, {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9},
         {"maxTokens": 9, "temperature": 0.5, "topP": 0.5}, []),
        (NEW_CLAUDE, {"temperature": 0.5, "top_p": 0.5, "max_tokens": 9}, {"maxTokens": 9},
         ["dropped:temperature", "dropped:top_p"]),
        (NEW_CLAUDE, {"temperature": 1, "top_p": 1, "max_tokens": 9}, {"maxTokens": 9}, []),
        (CLAUDE, {"stop": [" ", "END"], "max_tokens": 9},
         {"maxTokens": 9, "stopSequences": ["END"]}, ["dropped:stop"]),
        (CLAUDE, {"stop": "\n", "max_tokens": 9}, {"maxTokens": 9}, ["dropped:stop"]),
    ],
)  # fmt: skip
def test_inference_config(model: str, fields: Any, inference: Any, warned: list[str]) -> None:
    body, warnings = written(model, **fields)

    assert inference == body["inferenceConfig"]
    assert warned == list(warnings)


def test_the_manifests_limit_of_tokens_is_kept() -> None:
    limited = Settings(max_output_tokens=1000)

    assert 1000 == written(LLAMA, limited)[0]["inferenceConfig"]["maxTokens"]
    assert 1000 == written(CLAUDE, limited)[0]["inferenceConfig"]["maxTokens"]
    assert 10 == written(CLAUDE, limited, max_tokens=10)[0]["inferenceConfig"]["maxTokens"]
    assert (
        64000
        == written(CLAUDE, Settings(max_output_tokens=10**6))[0]["inferenceConfig"]["maxTokens"]
    )


@pytest.mark.parametrize(
    ("model", "warned"),
    [(CLAUDE, []), (NEW_CLAUDE, ["dropped:top_k"]), (LLAMA, ["dropped:top_k"])],
)
def test_top_k_where_the_model_has_one(model: str, warned: list[str]) -> None:
    body, warnings = written(model, top_k=5)

    assert ({"top_k": 5} if not warned else None) == body.get("additionalModelRequestFields")
    assert warned == list(warnings)


# Efforts.


@pytest.mark.parametrize(
    ("model", "effort", "extra", "output", "warned"),
    [
        (CLAUDE, "none", None, None, []),
        (CLAUDE, "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, None, []),
        (CLAUDE, "medium", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None, []),
        (ADAPTIVE, "none", {"thinking": {"type": "disabled"}}, None, []),
        (ADAPTIVE, "low", {"thinking": {"type": "adaptive", "display": "summarized"}},
         {"effort": "low"}, []),
        (ADAPTIVE, "xhigh", {"thinking": {"type": "adaptive", "display": "summarized"}},
         {"effort": "high"}, ["mapped:reasoning_effort"]),
        (OLD_CLAUDE, "low", None, None, ["dropped:reasoning_effort"]),
        (NOVA_2, "none", None, None, []),
        (NOVA_2, "minimal", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
         None, ["mapped:reasoning_effort"]),
        (NOVA_2, "medium", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
         None, []),
        (NOVA_2, "high", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
         None, []),
        (GPT_OSS, "xhigh", {"reasoning_effort": "high"}, None, ["mapped:reasoning_effort"]),
        (GPT_OSS, "low", {"reasoning_effort": "low"}, None, []),
        (LLAMA, "none", None, None, []),
    ],
)  # fmt: skip
def test_efforts(model: str, effort: str, extra: Any, output: Any, warned: list[str]) -> None:
    body, warnings = written(model, reasoning_effort=effort)

    assert extra == body.get("additionalModelRequestFields")
    assert output == body.get("outputConfig")
    assert warned == list(warnings)


@pytest.mark.parametrize(
    ("model", "effort", "code"),
    [
        (GPT_OSS, "none", "unsupported_value"),
        (ALWAYS_THINKS, "none", "unsupported_value"),
        (LLAMA, "low", "unsupported_parameter"),
    ],
)
def test_efforts_that_a_model_does_not_have_are_refused(model: str, effort: str, code: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(model, reasoning_effort=effort)

    assert ("reasoning_effort", code) == (caught.value.param, caught.value.code)


def test_a_budget_makes_room_for_itself() -> None:
    body, warnings = written(CLAUDE, reasoning_effort="high", max_tokens=1000)

    assert 5096 == body["inferenceConfig"]["maxTokens"]
    assert ("mapped:max_tokens",) == tuple(warnings)


def test_the_highest_effort_of_nova_leaves_sampling_to_the_model() -> None:
    body, warnings = written(NOVA_2, reasoning_effort="high", temperature=0.5, top_p=0.5, top_k=5)

    assert "inferenceConfig" not in body
    assert ["dropped:temperature", "dropped:top_p", "dropped:top_k"] == list(warnings)


@pytest.mark.parametrize(
    ("limits", "fields"), [(None, {"max_tokens": 10}), (Settings(max_output_tokens=10), {})]
)
def test_a_limit_of_tokens_outweighs_the_highest_effort_of_nova(
    limits: Settings | None, fields: Any
) -> None:
    body, warnings = written(NOVA_2, limits, reasoning_effort="max", temperature=0.5, **fields)

    assert {"maxTokens": 10, "temperature": 0.5} == body["inferenceConfig"]
    assert "medium" == body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"]
    assert ["mapped:reasoning_effort", "clamped:reasoning_effort"] == list(warnings)


def test_thinking_bounds_sampling() -> None:
    body, warnings = written(CLAUDE, reasoning_effort="low", temperature=0.5, top_k=5)
    also, clamped = written(CLAUDE, reasoning_effort="low", top_p=0.5)

    assert {"maxTokens": 64000} == body["inferenceConfig"]
    assert ["dropped:temperature", "dropped:top_k"] == list(warnings)
    assert {"maxTokens": 64000, "topP": 0.95} == also["inferenceConfig"]
    assert ["clamped:top_p"] == list(clamped)


def side(model: str = CLAUDE, reasoning: Any = None, kind: str = "AWSBedrock", **more: Any) -> Any:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "Eq"}}}
    blocks = [thought] if reasoning is None else reasoning
    origin = {"type": kind, "model": model_of(model).name}
    return {"switchgear": {"origin": origin, "reasoning": blocks, **more}}


def replayed(model: str = CLAUDE, effort: str = "low", **more: Any) -> tuple[Any, list[str]]:
    turn = assistant("Looking.", call(), **more)
    body, warnings = written(
        model, messages=[HI, turn, result()], tools=[tool()], reasoning_effort=effort
    )
    return body, list(warnings)


def test_reasoning_that_came_back_is_put_first() -> None:
    body, warnings = replayed(**side())

    assert {"reasoningText": {"text": "Hm", "signature": "Eq"}} == body["messages"][1]["content"][
        0
    ]["reasoningContent"]
    assert "enabled" == body["additionalModelRequestFields"]["thinking"]["type"]
    assert [] == warnings


def test_and_stands_where_it_stood_if_that_is_known() -> None:
    redacted = {"reasoningContent": {"redactedContent": "AAAA"}}
    plain = {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "Eq"}}}
    blocks = side(reasoning=[plain, redacted], layout=["reasoning", 4, "reasoning", 4, "tool"])
    body, _ = replayed(**blocks)

    assert ["reasoningContent", "text", "reasoningContent", "text", "toolUse"] == [
        key for block in body["messages"][1]["content"] for key in block
    ]
    assert ["Look", "ing."] == [b["text"] for b in body["messages"][1]["content"] if "text" in b]


@pytest.mark.parametrize(
    "layout",
    [["reasoning", 3, "tool"], [8, "tool"], ["reasoning", 8], ["reasoning", -1, 9, "tool"]],
)
def test_a_layout_that_does_not_fit_is_not_followed(layout: Any) -> None:
    body, _ = replayed(**side(layout=layout))

    assert ["reasoningContent", "text", "toolUse"] == [
        key for block in body["messages"][1]["content"] for key in block
    ]


@pytest.mark.parametrize(
    "lost",
    [
        {},
        side(kind="Anthropic"),
        side(model=ADAPTIVE),
        side(reasoning=[{"type": "thinking", "thinking": "Hm", "signature": "Eq"}]),
        side(reasoning=[{"reasoningContent": {"reasoningText": {"text": "unsigned"}}}]),
    ],
)
def test_without_its_reasoning_a_model_does_not_think(lost: Any) -> None:
    """Nothing is made up: a signature of another's, or none, would be refused."""
    body, warnings = replayed(**lost)

    assert "additionalModelRequestFields" not in body
    assert ["dropped:reasoning_effort"] == warnings


@pytest.mark.parametrize("empty", ["", " ", [{"type": "text", "text": ""}]])
def test_a_message_that_says_nothing_does_not_hide_the_turn_before_it(empty: Any) -> None:
    messages = [
        HI,
        assistant("Looking.", call()),
        result(),
        {"role": "assistant", "content": empty},
    ]
    body, warnings = written(CLAUDE, messages=messages, tools=[tool()], reasoning_effort="low")

    assert "additionalModelRequestFields" not in body
    assert "dropped:reasoning_effort" in warnings
    check_converse(CLAUDE, body)


def test_a_model_that_decides_itself_is_told_not_to_think() -> None:
    body, warnings = replayed(ADAPTIVE)

    assert {"thinking": {"type": "disabled"}} == body["additionalModelRequestFields"]
    assert ["dropped:reasoning_effort"] == warnings
    assert "outputConfig" not in body


def test_it_may_have_thought_nothing() -> None:
    nothing = {**side(ADAPTIVE, reasoning=[])}
    body, warnings = replayed(ADAPTIVE, **nothing)

    assert "adaptive" == body["additionalModelRequestFields"]["thinking"]["type"]
    assert [] == warnings


def test_reasoning_is_not_given_to_others_nor_when_nobody_thinks() -> None:
    for model in (NOVA, CLAUDE):
        body, _ = written(
            model, messages=[HI, assistant("Looking.", call(), **side()), result()], tools=[tool()]
        )

        assert ["text", "toolUse"] == [k for b in body["messages"][1]["content"] for k in b]


def test_reasoning_in_openais_field_is_left_out() -> None:
    body, warnings = written(messages=[HI, assistant("A", reasoning_content="Hm"), HI])

    assert [{"text": "A"}] == body["messages"][1]["content"]
    assert [] == list(warnings)


# Tools.


def test_tools_are_written_plainly() -> None:
    body, warnings = written(
        tools=[
            tool(
                "get_time", description="The time", parameters={"$id": "x", "properties": {"a": {}}}
            ),
            tool("ping", description=""),
        ],
        tool_choice="auto",
        parallel_tool_calls=True,
    )

    assert {
        "tools": [
            {
                "toolSpec": {
                    "name": "get_time",
                    "description": "The time",
                    "inputSchema": {"json": {"type": "object", "properties": {"a": {}}}},
                }
            },
            {"toolSpec": {**SPEC, "name": "ping"}},
        ],
        "toolChoice": {"auto": {}},
    } == body["toolConfig"]
    assert () == tuple(warnings)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("required", {"any": {}}), (NAMED, {"tool": {"name": "get_time"}}), (None, None)],
)
@pytest.mark.parametrize("model", [CLAUDE, NOVA, "mistral.mistral-large-2407-v1:0"])
def test_choices_where_they_can_be_forced(model: str, choice: Any, sent: Any) -> None:
    body, warnings = written(model, tools=[tool()], tool_choice=choice)

    assert sent == body["toolConfig"].get("toolChoice")
    assert () == tuple(warnings)


@pytest.mark.parametrize("choice", ["required", NAMED])
@pytest.mark.parametrize(
    ("model", "more"),
    [(LLAMA, {}), (GPT_OSS, {}), (ALWAYS_THINKS, {}), (CLAUDE, {"reasoning_effort": "low"})],
)
def test_choices_that_cannot_be_forced_are_refused(model: str, more: Any, choice: Any) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(model, tools=[tool()], tool_choice=choice, **more)

    assert ("tool_choice", "unsupported_value") == (caught.value.param, caught.value.code)


def test_no_choice_means_no_tools() -> None:
    body, warnings = written(tools=[tool()], tool_choice="none")

    assert "toolConfig" not in body
    assert () == tuple(warnings)


def test_but_a_history_of_calls_needs_them() -> None:
    body, warnings = written(messages=LOOP, tools=[tool()], tool_choice="none")

    assert {"tools": [{"toolSpec": SPEC}]} == body["toolConfig"]
    assert ["emulated:tool_choice"] == list(warnings)


def test_tools_are_made_up_for_a_history_without_any() -> None:
    body, warnings = written(messages=LOOP)

    assert {"tools": [{"toolSpec": SPEC}]} == body["toolConfig"]
    assert ["emulated:tools"] == list(warnings)


def test_allowed_tools_are_the_only_ones() -> None:
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [NAMED]},
    }
    body, warnings = written(tools=[tool(), tool("other")], tool_choice=allowed)

    assert {"tools": [{"toolSpec": SPEC}], "toolChoice": {"any": {}}} == body["toolConfig"]
    assert ["emulated:tool_choice"] == list(warnings)


def test_parallel_calls_cannot_be_forbidden() -> None:
    _, warnings = written(tools=[tool()], parallel_tool_calls=False)

    assert ["dropped:parallel_tool_calls"] == list(warnings)


def test_strict_tools_where_schemas_are_kept() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object"}}}
    strict = tool(strict=True, parameters=schema)
    body, warnings = written(CLAUDE, tools=[strict])
    open_, _ = written(GPT_OSS, tools=[strict])
    lax, dropped = written(NOVA, tools=[strict])

    spec = body["toolConfig"]["tools"][0]["toolSpec"]
    assert spec["strict"]
    assert {
        "type": "object",
        "properties": {"a": {"type": "object", "additionalProperties": False}},
        "additionalProperties": False,
    } == spec["inputSchema"]["json"]
    assert () == tuple(warnings)
    assert schema == open_["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert "strict" not in lax["toolConfig"]["tools"][0]["toolSpec"]
    assert ["dropped:tools.function.strict"] == list(dropped)


def test_a_tool_may_be_cached_where_that_is_known() -> None:
    marked = {**tool(), "cache_control": {"type": "ephemeral"}}
    body, _ = written(CLAUDE, tools=[marked])
    plain, warnings = written(NOVA, tools=[marked])

    assert {"cachePoint": {"type": "default"}} == body["toolConfig"]["tools"][1]
    assert 1 == len(plain["toolConfig"]["tools"])
    assert ["dropped:cache_control"] == list(warnings)


def test_odd_names_are_fitted_and_can_be_turned_back() -> None:
    odd = "1.weather/of the city"
    serialized = serialized_for(
        messages=[HI, assistant(None, call(name=odd)), result()], tools=[tool()]
    )
    body = decode(serialized.body)
    check_converse(CLAUDE, body)
    sent = body["messages"][1]["content"][0]["toolUse"]["name"]

    assert {sent: odd} == dict(serialized.names)
    assert sent[0].isalpha()


def test_a_name_must_begin_with_a_letter() -> None:
    body, _ = written(
        NOVA, tools=[tool("_ping")], tool_choice={"type": "function", "function": {"name": "_ping"}}
    )
    sent = body["toolConfig"]["tools"][0]["toolSpec"]["name"]

    assert sent[0].isalpha()
    assert {"tool": {"name": sent}} == body["toolConfig"]["toolChoice"]


# Formats.


def test_schemas_are_text_where_the_model_keeps_to_them() -> None:
    body, warnings = written(GPT_OSS, response_format=FORMAT)
    text_format = body["outputConfig"]["textFormat"]
    definition = text_format["structure"]["jsonSchema"]

    assert ("json_schema", "place") == (text_format["type"], definition["name"])
    assert {key: SCHEMA[key] for key in ("type", "properties")} == decode(definition["schema"])
    assert () == tuple(warnings)


def test_claude_wants_objects_closed() -> None:
    body, _ = written(CLAUDE, response_format=FORMAT, reasoning_effort="low", tools=[tool()])
    schema = decode(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"])

    assert (False, False) == (
        schema["additionalProperties"],
        schema["properties"]["city"]["additionalProperties"],
    )
    assert [{"type": "object"}] == schema["properties"]["city"]["properties"]["name"]["enum"]


def test_effort_and_format_stand_beside_each_other() -> None:
    body, _ = written(ADAPTIVE, response_format=FORMAT, reasoning_effort="low")

    assert {"effort", "textFormat"} == body["outputConfig"].keys()


@pytest.mark.parametrize("model", [OLD_CLAUDE, NOVA])
def test_a_forced_tool_stands_in_for_a_schema(model: str) -> None:
    described = {**FORMAT, "json_schema": {**FORMAT["json_schema"], "description": "A place"}}  # type: ignore[dict-item]
    serialized = serialized_for(model, response_format=described)
    config = decode(serialized.body)["toolConfig"]

    assert "place" == serialized.answer_tool
    assert {"tool": {"name": "place"}} == config["toolChoice"]
    assert "A place" == config["tools"][0]["toolSpec"]["description"]
    assert "city" in config["tools"][0]["toolSpec"]["inputSchema"]["json"]["properties"]
    assert ("emulated:response_format",) == tuple(serialized.warnings)


@pytest.mark.parametrize(
    ("model", "more"),
    [(LLAMA, {}), (NOVA, {"tools": [tool()]}), (OLD_CLAUDE, {"messages": LOOP})],
)
def test_a_schema_that_cannot_be_kept_is_refused(model: str, more: Any) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(model, response_format=FORMAT, **more)

    assert ("response_format", "unsupported_parameter") == (caught.value.param, caught.value.code)


def test_json_of_any_shape_is_asked_for_in_words() -> None:
    for wanted in ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "a"}}):
        body, warnings = written(LLAMA, response_format=wanted)

        assert [{"text": "Answer with a valid JSON object and nothing else."}] == body["system"]
        assert ["emulated:response_format"] == list(warnings)


def test_in_the_first_turn_if_there_is_no_system_prompt() -> None:
    body, _ = written(TITAN, response_format={"type": "json_object"})

    assert ["Answer with a valid JSON object and nothing else.", "Hello"] == [
        block["text"] for block in body["messages"][0]["content"]
    ]


def test_text_is_no_format() -> None:
    assert "outputConfig" not in written(GPT_OSS, response_format={"type": "text"})[0]


# The rest.


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 7),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 0.5),
        ("logit_bias", {"1": 1}),
        ("user", "u"),
        ("metadata", {"a": "b"}),
        ("prompt_cache_key", "k"),
        ("verbosity", "low"),
        ("store", True),
        ("prediction", {"type": "content", "content": "x"}),
        ("zebra", 1),
    ],
)
def test_what_only_tunes_is_dropped(field: str, value: Any) -> None:
    body, warnings = written(LLAMA, **{field: value})

    assert {"messages"} == body.keys()
    assert [f"dropped:{field}"] == list(warnings)


def test_an_unsafe_name_is_not_repeated() -> None:
    _, warnings = written(LLAMA, **{"a\r\nb": 1})

    assert ["dropped:unknown"] == list(warnings)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", None),
        ("presence_penalty", 0),
        ("n", 1),
        ("logprobs", False),
        ("store", False),
        ("service_tier", "auto"),
        ("stream", True),
        ("tools", []),
    ],
)
def test_what_asks_for_nothing_is_left_out_silently(field: str, value: Any) -> None:
    assert ({"messages"}, []) == (
        written(LLAMA, **{field: value})[0].keys(),
        list(written(LLAMA, **{field: value})[1]),
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3, "logprobs": False}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "custom", "custom": {"name": "g"}}]}, "tools[0].type"),
    ],
)
def test_what_changes_the_answer_is_refused(fields: Any, param: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        written(CLAUDE, **fields)

    assert (param, 400) == (caught.value.param, caught.value.status)


@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_service_tiers(tier: str) -> None:
    assert {"type": tier} == written(LLAMA, service_tier=tier)[0]["serviceTier"]
    assert ["dropped:service_tier"] == list(written(LLAMA, service_tier="scale")[1])


def test_metadata_goes_into_logs_only_if_the_operator_wants_it() -> None:
    wanted = Settings(metadata=True)
    many = {f"k{number}": "v" for number in range(20)}
    body, warnings = written(LLAMA, wanted, metadata={"team": "a"}, user="u", safety_identifier="s")
    cut, cut_warnings = written(LLAMA, wanted, metadata=many)
    odd, odd_warnings = written(LLAMA, wanted, metadata={"a!": "b", "c": "d"})

    assert {"team": "a", "user": "s"} == body["requestMetadata"]
    assert () == tuple(warnings)
    assert (16, ["dropped:metadata"]) == (len(cut["requestMetadata"]), list(cut_warnings))
    assert ({"c": "d"}, ["dropped:metadata"]) == (odd["requestMetadata"], list(odd_warnings))


def test_a_guardrail_is_the_manifests() -> None:
    guarded = Settings(guardrail={"guardrailIdentifier": "abc", "guardrailVersion": "1"})

    assert dict(guarded.guardrail) == written(LLAMA, guarded)[0]["guardrailConfig"]


def test_a_model_without_tools_refuses_them() -> None:
    with pytest.raises(RequestRejected) as caught:
        written(TITAN, tools=[tool()])

    assert "tools" == caught.value.param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": 1}, "messages"),
        ({"tools": {"a": 1}}, "tools"),
        ({"tools": [tool()], "tool_choice": {"type": "custom"}}, "tool_choice"),
        ({"tools": [tool()], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        (
            {
                "tools": [tool(), {"type": "function"}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function"}, NAMED | {"function": {"name": "x"}}],
                    },
                },
            },
            "tool_choice",
        ),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ],
)
def test_what_should_have_been_caught_before_is_refused_all_the_same(
    fields: Any, param: str
) -> None:
    for model in (CLAUDE, GPT_OSS):
        with pytest.raises(RequestRejected) as caught:
            serialize({"messages": [HI], **fields}, model_of(model), Settings())

        assert param == caught.value.param


def test_odd_calls_have_no_ids_nor_names_to_be_fitted() -> None:
    for calls in ([{}], [{"id": 1, "function": {"name": 1}}], [1], [{"id": "c", "function": 1}]):
        with pytest.raises(RequestRejected) as caught:
            serialize(
                {"messages": [HI, {"role": "assistant", "tool_calls": calls}]},
                model_of(CLAUDE),
                Settings(),
            )

        assert "messages[1].tool_calls[0]" == caught.value.param


def test_an_answer_that_ends_the_conversation_lets_the_model_think() -> None:
    """Only the turn whose tools are being answered must be given back."""
    body, warnings = written(
        messages=[HI, assistant("A", call()), result(), assistant("Done."), HI],
        tools=[tool()],
        reasoning_effort="low",
    )

    assert "enabled" == body["additionalModelRequestFields"]["thinking"]["type"]
    assert [] == list(warnings)


def test_the_base_model_decides_where_an_arn_hides_it() -> None:
    arn = "arn:aws:bedrock:eu-west-3:123456789012:application-inference-profile/abc"

    assert "maxTokens" in written(arn, base_model=CLAUDE)[0]["inferenceConfig"]
    assert "inferenceConfig" not in written(arn)[0]


# Whatever comes in: it is refused here, or taken there.

TEXTS = st.sampled_from(["", " ", "Hi", "Grüße\n", "x" * 300])
PARTS = st.lists(
    st.one_of(
        TEXTS.map(lambda text: {"type": "text", "text": text}),
        st.sampled_from(
            [
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"file_data": PDF, "filename": "a_b.pdf"}},
                {"type": "text", "text": "c", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            ]
        ),
    ),
    min_size=1,
    max_size=3,
)
IDS = st.sampled_from(["call_1", "a/b", "x" * 70, "tooluse_ok"])
NAMES = st.sampled_from(["get_time", "_odd", "9", "a.b"])


@st.composite
def loops(draw: st.DrawFn) -> list[Any]:
    ids = draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    thought = side(draw(st.sampled_from(MODELS))) if draw(st.booleans()) else {}
    calls = [call(each, draw(NAMES), draw(st.sampled_from(["", "{}", "[1]", "{"]))) for each in ids]
    return [
        assistant(draw(TEXTS | st.none()), *calls, **thought),
        *(result(draw(TEXTS), each) for each in draw(st.permutations(ids))),
    ]


MESSAGES = st.lists(
    st.one_of(
        (TEXTS | PARTS).map(lambda content: [user(content)]),
        TEXTS.map(lambda text: [assistant(text)]),
        TEXTS.map(lambda text: [{"role": "system", "content": text}]),
        loops(),
    ),
    min_size=1,
    max_size=5,
).map(lambda groups: [message for group in groups for message in group])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0, 0.5, 1, 2]),
        "top_p": st.sampled_from([0, 0.5, 1]),
        "top_k": st.just(5),
        "max_tokens": st.sampled_from([1, 1000, 10**6]),
        "stop": st.sampled_from([["END"], [" "]]),
        "reasoning_effort": st.sampled_from(["none", "low", "high", "max"]),
        "tools": st.sampled_from([[tool()], [tool("_odd", strict=True, description="d")]]),
        "response_format": st.sampled_from([{"type": "json_object"}, FORMAT]),
        "service_tier": st.sampled_from(["flex", "scale"]),
        "metadata": st.just({"a": "b"}),
        "seed": st.just(1),
    },
)


@settings(max_examples=200, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    messages=MESSAGES,
    fields=FIELDS,
    choice=st.sampled_from([None, "auto", "none", "required"]),
    metadata=st.booleans(),
)
def test_whatever_is_not_refused_here_is_taken_there(
    model: str, messages: list[Any], fields: dict[str, Any], choice: str | None, *, metadata: bool
) -> None:
    if choice is not None and "tools" in fields:
        fields["tool_choice"] = choice
    body = {"messages": messages, **fields}

    try:
        serialized = serialize(body, model_of(model), Settings(metadata=metadata))
    except RequestRejected as rejected:
        assert rejected.param  # noqa: PT017 - either outcome is right, each in its form
        return

    check_converse(model, decode(serialized.body))
    assert serialized.body == serialize(body, model_of(model), Settings(metadata=metadata)).body
