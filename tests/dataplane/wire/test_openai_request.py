"""Every row of what may and may not be said to the six providers of OpenAI's format."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode
from dataplane.errors import RequestRejected
from dataplane.provider import Request
from tests.dataplane.wire.openai_kit import (
    HELLO,
    OPENAI_LIKE,
    TOOL,
    adapter,
    chat,
    completion,
    embeddings,
    sent,
)

OAI, AZ, VLL = ProviderType.OPENAI, ProviderType.AZURE_OPENAI, ProviderType.VLLM
OVH, SCW, MIS = ProviderType.OVHCLOUD, ProviderType.SCALEWAY, ProviderType.MISTRAL
OPEN = (VLL, OVH, SCW)
NAMED = {"type": "function", "function": {"name": "get_time"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
ALL = OPENAI_LIKE


def _id(value: Any) -> str | None:
    return value.value if isinstance(value, ProviderType) else None


def rows(*expected: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Write a row for each of the providers in its first place."""
    return [
        (kind, *row[1:])
        for row in expected
        for kind in (row[0] if isinstance(row[0], tuple) else (row[0],))
    ]


def rejected(kind: ProviderType, request: Request, model: str = "m", **changes: Any) -> str | None:
    with pytest.raises(RequestRejected) as caught:
        sent(kind, request, model, **changes)
    assert 400 == caught.value.status
    return caught.value.param


# --- the whole body


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_a_plain_request_is_sent_plainly(kind: ProviderType) -> None:
    assert ({"model": "m", "messages": list(HELLO)}, []) == sent(kind, chat())


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_unknown_fields_never_leak(kind: ProviderType) -> None:
    body, warnings = sent(kind, chat(brand_new=1, **{"not a header\r\n": 1}, nothing=None))

    assert {"model", "messages"} == body.keys()
    assert ["dropped:brand_new", "dropped:unknown"] == warnings


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_nulls_are_never_sent(kind: ProviderType) -> None:
    fields = ("temperature", "tool_choice", "response_format", "stop", "user", "max_tokens")
    body, warnings = sent(kind, chat(**dict.fromkeys(fields), tools=[TOOL]))

    assert {"model", "messages", "tools"} == body.keys()
    assert [] == warnings


# --- section 8: fields of one value each

PASSED = rows(
    (ALL, {"temperature": 0.5}, {"temperature": 0.5}),
    (ALL, {"top_p": 0.5}, {"top_p": 0.5}),
    (ALL, {"stop": "x"}, {"stop": ["x"]}),
    (ALL, {"presence_penalty": 1}, {"presence_penalty": 1}),
    ((OAI, AZ, VLL, OVH, MIS), {"frequency_penalty": 1}, {"frequency_penalty": 1}),
    ((OAI, AZ, VLL, OVH, SCW), {"seed": 7}, {"seed": 7}),
    (MIS, {"seed": 7}, {"random_seed": 7}),
    ((OAI, AZ, VLL), {"logit_bias": {"1": 1}}, {"logit_bias": {"1": 1}}),
    ((OAI, AZ, VLL, MIS), {"n": 2}, {"n": 2}),
    ((OAI, AZ, VLL, SCW), {"logprobs": True}, {"logprobs": True}),
    ((OAI, AZ, VLL), {"top_logprobs": 2}, {"top_logprobs": 2}),
    ((OAI, AZ), {"user": "u"}, {"user": "u"}),
    ((OAI, AZ), {"safety_identifier": "u"}, {"safety_identifier": "u"}),
    ((OAI, AZ), {"service_tier": "flex"}, {"service_tier": "flex"}),
    (MIS, {"service_tier": "auto"}, {"service_tier": "auto"}),
    ((OAI, AZ), {"store": True}, {"store": True}),
    ((OAI, AZ, MIS), {"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
    ((OAI, AZ, MIS), {"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
    ((OAI, AZ), {"verbosity": "low"}, {"verbosity": "low"}),
    ((OAI, AZ, MIS), {"prediction": {"a": 1}}, {"prediction": {"a": 1}}),
    (OAI, {"moderation": {"model": "x"}}, {"moderation": {"model": "x"}}),
    ((OAI, AZ), {"modalities": ["text", "audio"]}, {"modalities": ["text", "audio"]}),
    ((OAI, AZ), {"audio": {"voice": "v"}}, {"audio": {"voice": "v"}}),
    (AZ, {"data_sources": [1]}, {"data_sources": [1]}),
    ((VLL, OVH), {"top_k": 5}, {"top_k": 5}),
    (VLL, {"ignore_eos": True}, {"ignore_eos": True}),
    (VLL, {"chat_template_kwargs": {"a": 1}}, {"chat_template_kwargs": {"a": 1}}),
    (VLL, {"guided_json": {"type": "object"}}, {"structured_outputs": {"json": {"type": "object"}}}),
    (VLL, {"guided_choice": ["a"]}, {"structured_outputs": {"choice": ["a"]}}),
    (MIS, {"safe_prompt": True}, {"safe_prompt": True}),
    # Token limits: the newer name wins, and each provider has its own.
    ((OAI, AZ), {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ((SCW, MIS), {"max_completion_tokens": 5}, {"max_tokens": 5}),
    ((VLL, OVH), {"max_tokens": 5}, {"max_tokens": 5}),
    ((VLL, OVH), {"max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ((OAI, AZ), {"max_tokens": 4, "max_completion_tokens": 5}, {"max_completion_tokens": 5}),
    ((SCW, MIS), {"max_tokens": 4, "max_completion_tokens": 5}, {"max_tokens": 5}),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "expected"), PASSED, ids=_id)
def test_a_field_is_passed_or_renamed(
    kind: ProviderType, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    body, warnings = sent(kind, chat(**fields))

    assert {"model": "m", "messages": list(HELLO), **expected} == body
    assert [f"mapped:{name}" for name in fields if name.startswith("guided_")] == warnings


DROPPED = rows(
    (MIS, "logit_bias", {"1": 1}),
    ((OVH, SCW), "logit_bias", {"1": 1}),
    (SCW, "frequency_penalty", 1),
    ((*OPEN, MIS), "user", "u"),
    ((*OPEN, MIS), "safety_identifier", "u"),
    ((*OPEN, MIS), "store", True),
    (OPEN, "metadata", {"a": "b"}),
    (OPEN, "prompt_cache_key", "k"),
    ((*OPEN, MIS), "service_tier", "flex"),
    ((*OPEN, MIS), "verbosity", "low"),
    (OPEN, "prediction", {"a": 1}),
    ((*OPEN, MIS), "web_search_options", {"a": 1}),
    ((AZ, *OPEN, MIS), "moderation", {"a": 1}),
    ((OAI, AZ, SCW, MIS), "top_k", 5),
    ((OAI, AZ, SCW, MIS), "repetition_penalty", 1.1),
    ((OAI, AZ, OVH, SCW, MIS), "guided_json", {"a": 1}),
    ((OAI, AZ, OVH, SCW, MIS), "chat_template_kwargs", {"a": 1}),
)


@pytest.mark.parametrize(("kind", "field", "value"), DROPPED, ids=_id)
def test_what_only_tunes_is_dropped_with_a_warning(
    kind: ProviderType, field: str, value: Any
) -> None:
    body, warnings = sent(kind, chat(**{field: value}))

    assert {"model", "messages"} == body.keys()
    assert [f"dropped:{field}"] == warnings


CONTRACT = rows(
    ((OVH, SCW), {"n": 2}, "n"),
    ((OVH, MIS), {"logprobs": True}, "logprobs"),
    (SCW, {"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
    ((*OPEN, MIS), {"modalities": ["text", "audio"]}, "modalities"),
    ((*OPEN, MIS), {"audio": {"voice": "v"}}, "audio"),
    ((OAI, AZ), {"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    (VLL, {"response_format": SCHEMA, "tools": [TOOL], "tool_choice": NAMED}, "response_format"),
)


@pytest.mark.parametrize(("kind", "fields", "param"), CONTRACT, ids=_id)
def test_what_the_answer_must_be_is_never_dropped(
    kind: ProviderType, fields: dict[str, Any], param: str
) -> None:
    assert param == rejected(kind, chat(**fields))


IDENTITIES = rows(
    ((OVH, SCW), {"n": 1}),
    ((OVH, MIS), {"logprobs": False}),
    (SCW, {"top_logprobs": 0}),
    ((*OPEN, MIS), {"modalities": ["text"]}),
    ((*OPEN, MIS), {"store": False}),
    (SCW, {"frequency_penalty": 0}),
    ((OVH, SCW, MIS), {"logit_bias": {}}),
    (ALL, {"stop": []}),
    (ALL, {"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}),
    (ALL, {"reasoning_effort": None}),
)


@pytest.mark.parametrize(("kind", "fields"), IDENTITIES, ids=_id)
def test_a_value_that_asks_for_nothing_is_left_out_silently(
    kind: ProviderType, fields: dict[str, Any]
) -> None:
    assert ({"model": "m", "messages": list(HELLO)}, []) == sent(kind, chat(**fields))


@pytest.mark.parametrize(
    ("fields", "expected", "warning"),
    [
        ({"temperature": 1.8}, {"temperature": 1.5}, "clamped:temperature"),
        ({"top_p": 0}, {"top_p": 0.001}, "clamped:top_p"),
    ],
)
def test_mistral_clamps_what_is_out_of_its_range(
    fields: dict[str, Any], expected: dict[str, Any], warning: str
) -> None:
    body, warnings = sent(MIS, chat(**fields))

    assert {"model": "m", "messages": list(HELLO), **expected} == body
    assert [warning] == warnings


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_a_token_limit_over_the_models_own_is_clamped(kind: ProviderType) -> None:
    models = {"m": Model(name="m", max_output_tokens=100)}

    body, warnings = sent(kind, chat(max_tokens=500), models=models)
    low, none = sent(kind, chat(max_tokens=50), models=models)

    assert 100 in body.values()
    assert ["clamped:max_tokens"] == warnings
    assert 50 in low.values()
    assert [] == none


def test_a_declared_capability_widens_what_is_sent() -> None:
    models = {"m": Model(name="m", capabilities=frozenset({"logprobs", "multipleChoices"}))}

    body, _warnings = sent(OVH, chat(logprobs=True, top_logprobs=1, n=2), models=models)

    assert (True, 1, 2) == (body["logprobs"], body["top_logprobs"], body["n"])


# --- reasoning models at OpenAI

REASONING = [
    ("o3", {"temperature": 0.5}, {}, ["dropped:temperature"]),
    ("o3", {"temperature": 1, "top_p": 1}, {}, []),
    ("gpt-5", {"top_p": 0.5}, {}, ["dropped:top_p"]),
    ("gpt-5", {"presence_penalty": 1}, {}, ["dropped:presence_penalty"]),
    ("gpt-5", {"frequency_penalty": 0}, {}, []),
    ("gpt-5", {"logit_bias": {"1": 1}}, {}, ["dropped:logit_bias"]),
    ("gpt-5", {"prediction": {"a": 1}}, {}, ["dropped:prediction"]),
    ("gpt-5", {"n": 1, "modalities": ["text"]}, {}, []),
    ("gpt-5", {"verbosity": "low"}, {"verbosity": "low"}, []),
    ("gpt-5", {"seed": 1}, {"seed": 1}, []),
    ("gpt-5.1", {"temperature": 0.5}, {"temperature": 0.5}, []),
    (
        "gpt-5.1",
        {"temperature": 0.5, "reasoning_effort": "low"},
        {"reasoning_effort": "low"},
        ["dropped:temperature"],
    ),
    (
        "gpt-5.6",
        {"temperature": 0.5, "reasoning_effort": "none"},
        {"temperature": 0.5, "reasoning_effort": "none"},
        [],
    ),
    ("gpt-5.6", {"temperature": 0.5}, {}, ["dropped:temperature"]),
    ("gpt-4o", {"verbosity": "low"}, {}, ["dropped:verbosity"]),
    ("gpt-5-chat-latest", {"temperature": 0.5}, {"temperature": 0.5}, []),
]


@pytest.mark.parametrize(("model", "fields", "expected", "warned"), REASONING)
def test_reasoning_models_take_no_sampling(
    model: str, fields: dict[str, Any], expected: dict[str, Any], warned: list[str]
) -> None:
    body, warnings = sent(OAI, chat(**fields), model)

    assert {"model": model, "messages": list(HELLO), **expected} == body
    assert warned == warnings


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": ["x"]}, "stop"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "v"}}, "audio"),
        ({"reasoning_effort": "none"}, "reasoning_effort"),
    ],
)
def test_reasoning_models_reject_what_they_cannot_keep(fields: dict[str, Any], param: str) -> None:
    assert param == rejected(OAI, chat(**fields), "gpt-5")


def test_logprobs_pass_while_a_model_does_not_reason() -> None:
    body, _warnings = sent(OAI, chat(logprobs=True, reasoning_effort="none"), "gpt-5.2")

    assert body["logprobs"]


@pytest.mark.parametrize(
    ("model", "effort", "bridged"),
    [
        ("gpt-5.4", "low", True),
        ("gpt-5.4", "minimal", True),
        ("gpt-5.4", None, False),
        ("gpt-5.4", "none", False),
        ("gpt-5.6", None, True),
        ("gpt-5.6", "none", False),
        ("gpt-6", None, True),
        ("gpt-5", "low", False),
        ("gpt-4o", "high", False),
        ("o3", "high", False),
        ("m", "max", False),
    ],
)
@pytest.mark.parametrize("kind", [OAI, AZ])
def test_functions_of_models_that_reason_are_bridged_to_responses(
    kind: ProviderType, model: str, effort: str | None, bridged: bool
) -> None:
    prepared = adapter(kind).prepare(chat(tools=[TOOL], reasoning_effort=effort), model, "key")

    assert prepared.http.url.endswith("/v1/responses" if bridged else "/v1/chat/completions")
    assert bridged is ("mapped:endpoint" in prepared.warnings)


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("2024-10-21", ""),
        ("2025-03-01-preview", "/openai/responses?api-version=2025-03-01-preview"),
    ],
)
def test_the_classic_surface_has_responses_only_of_late(version: str, path: str) -> None:
    options = {"azure.surface": "classic", "azure.apiVersion": version}
    request = chat(tools=[TOOL])
    models = {"eu": Model(name="eu", base_model="gpt-5.6")}

    if not path:
        assert "reasoning_effort" == rejected(AZ, request, "eu", options=options, models=models)
        return
    http = adapter(AZ, options=options, models=models).prepare(request, "eu", "key").http
    assert f"https://res.openai.azure.com{path}" == http.url
    assert "eu" == decode(http.body)["model"]


def test_without_functions_chat_stays_chat_at_the_highest_effort_there() -> None:
    body, warnings = sent(OAI, chat(reasoning_effort="max"), "gpt-5.6")

    assert "xhigh" == body["reasoning_effort"]
    assert ["mapped:reasoning_effort"] == warnings


def test_a_gateway_behind_another_url_may_bridge_them() -> None:
    body, _warnings = sent(OAI, chat(tools=[TOOL]), "gpt-5.6", base_url="http://gateway/v1")

    assert [TOOL] == body["tools"]


def test_custom_tools_are_not_functions() -> None:
    custom = {"type": "custom", "custom": {"name": "grammar"}}

    assert [custom] == sent(OAI, chat(tools=[custom]), "gpt-5.6")[0]["tools"]


# --- section 9: reasoning_effort

SAME = {e: e for e in ("none", "minimal", "low", "medium", "high", "xhigh", "max")}
FOUR = {**SAME, "minimal": "low", "xhigh": "high", "max": "high"}
EFFORTS = rows(
    (OAI, "gpt-5", {**FOUR, "minimal": "minimal", "none": None}),
    (OAI, "gpt-5.1", FOUR),
    (OAI, "gpt-5.2", {**SAME, "minimal": "low", "max": "xhigh"}),
    (OAI, "o3", {**FOUR, "none": None}),
    (OAI, "gpt-6-astra", {**SAME, "none": None, "minimal": "low", "max": "xhigh"}),
    (AZ, "gpt-5.1", FOUR),
    ((OAI, VLL, MIS), "m", SAME),
    ((OVH, SCW), "m", FOUR),
)


@pytest.mark.parametrize(("kind", "model", "expected"), EFFORTS, ids=_id)
def test_an_effort_is_mapped_to_the_nearest(
    kind: ProviderType, model: str, expected: dict[str, str | None]
) -> None:
    for effort, wanted in expected.items():
        request = chat(reasoning_effort=effort)
        if wanted is None:
            assert "reasoning_effort" == rejected(kind, request, model)
            continue
        body, warnings = sent(kind, request, model)
        assert wanted == body["reasoning_effort"]
        assert ([] if wanted == effort else ["mapped:reasoning_effort"]) == warnings


def test_vllm_also_switches_the_template_off() -> None:
    body, _warnings = sent(VLL, chat(reasoning_effort="none"))
    given, _more = sent(
        VLL,
        chat(reasoning_effort="none", chat_template_kwargs={"enable_thinking": True, "a": 1}),
    )

    assert {"enable_thinking": False} == body["chat_template_kwargs"]
    assert {"enable_thinking": True, "a": 1} == given["chat_template_kwargs"]


def test_models_that_never_reason_get_no_effort() -> None:
    assert ["dropped:reasoning_effort"] == sent(OAI, chat(reasoning_effort="low"), "gpt-4o")[1]
    body, warnings = sent(OAI, chat(reasoning_effort="none"), "gpt-4o")
    assert "reasoning_effort" not in body
    assert [] == warnings


def test_magistral_thinks_by_a_mode_of_its_prompt() -> None:
    body, warnings = sent(MIS, chat(reasoning_effort="high"), "magistral-medium-latest")
    quiet, none = sent(MIS, chat(reasoning_effort="none"), "magistral-medium-latest")

    assert "reasoning" == body["prompt_mode"]
    assert ["mapped:reasoning_effort"] == warnings
    assert {"model", "messages"} == quiet.keys()
    assert [] == none


# --- section 5 and 6: tools


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_a_function_is_passed(kind: ProviderType) -> None:
    function = {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
        "strict": True,
    }
    body, warnings = sent(kind, chat(tools=[{"type": "function", "function": function}]))

    assert [{"type": "function", "function": function}] == body["tools"]
    assert [] == warnings


def test_missing_parameters_are_written_out_for_mistral_only() -> None:
    bare = {"type": "function", "function": {"name": "f", "x": 1}}

    for kind in ALL:
        (tool,) = sent(kind, chat(tools=[bare]))[0]["tools"]
        expected = {"name": "f"}
        if kind is MIS:
            expected |= {"parameters": {"type": "object", "properties": {}}}
        assert {"type": "function", "function": expected} == tool


def test_mistral_gets_schemas_without_meta_and_references() -> None:
    parameters = {
        "$schema": "s",
        "$id": "i",
        "$defs": {"a": {"type": "string"}},
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/a"}},
    }
    plain = {"type": "object", "properties": {"x": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": parameters}}
    request = chat(tools=[tool], response_format=form)

    mistral, _warnings = sent(MIS, request)
    openai, _more = sent(OAI, request)

    assert plain == mistral["tools"][0]["function"]["parameters"]
    assert plain == mistral["response_format"]["json_schema"]["schema"]
    assert parameters == openai["tools"][0]["function"]["parameters"]
    assert form == openai["response_format"]


CHOICES = rows(
    (ALL, "auto", "auto"),
    (ALL, "none", "none"),
    ((OAI, AZ, *OPEN), "required", "required"),
    (MIS, "required", "any"),
    (ALL, NAMED, NAMED),
)


@pytest.mark.parametrize(("kind", "choice", "expected"), CHOICES, ids=_id)
def test_a_tool_choice_is_written(kind: ProviderType, choice: Any, expected: Any) -> None:
    body, warnings = sent(kind, chat(tools=[TOOL], tool_choice=choice))

    assert expected == body["tool_choice"]
    assert [] == warnings


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_allowed_tools_pass_or_are_what_is_left_of_the_tools(kind: ProviderType) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [NAMED]},
    }

    body, warnings = sent(kind, chat(tools=[TOOL, other], tool_choice=choice))

    if kind in {OAI, AZ}:
        assert (choice, 2, []) == (body["tool_choice"], len(body["tools"]), warnings)
    else:
        assert ("any" if kind is MIS else "required") == body["tool_choice"]
        assert [TOOL] == body["tools"]
        assert ["emulated:tool_choice"] == warnings


@pytest.mark.parametrize("kind", [VLL, OVH, SCW, MIS], ids=_id)
def test_custom_tools_are_openais(kind: ProviderType) -> None:
    custom = {"type": "custom", "custom": {"name": "grammar"}}

    assert "tools[0].type" == rejected(kind, chat(tools=[custom]))
    choice = {"type": "custom", "custom": {"name": "grammar"}}
    assert choice == sent(OAI, chat(tools=[custom], tool_choice=choice))[0]["tool_choice"]


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_one_call_at_a_time_is_asked_for_where_it_is_understood(kind: ProviderType) -> None:
    body, warnings = sent(kind, chat(tools=[TOOL], parallel_tool_calls=False))

    if kind is OVH:
        assert "parallel_tool_calls" not in body
        assert ["dropped:parallel_tool_calls"] == warnings
    else:
        assert body["parallel_tool_calls"] is False
        assert [] == warnings


def test_several_calls_at_a_time_need_no_word() -> None:
    body, warnings = sent(OVH, chat(tools=[TOOL], parallel_tool_calls=True))

    assert {"model", "messages", "tools"} == body.keys()
    assert [] == warnings


# --- section 7: response_format


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_formats_of_the_answer_pass(kind: ProviderType) -> None:
    for form in ({"type": "text"}, SCHEMA):
        body, warnings = sent(kind, chat(response_format=form))
        assert form == body["response_format"]
        assert [] == warnings


def test_mistral_is_told_in_words_to_write_json() -> None:
    form = {"type": "json_object"}
    system = {"role": "system", "content": "Be brief."}

    plain, warnings = sent(MIS, chat(response_format=form))
    joined, _more = sent(MIS, chat(response_format=form, messages=[system, *HELLO]))
    told, none = sent(
        MIS, chat(response_format=form, messages=[{"role": "user", "content": "As JSON, please"}])
    )

    assert "system" == plain["messages"][0]["role"]
    assert ["emulated:response_format"] == warnings
    assert 2 == len(joined["messages"])
    assert joined["messages"][0]["content"].startswith("Be brief.\n\n")
    assert 1 == len(told["messages"])
    assert [] == none


# --- streams


@pytest.mark.parametrize("kind", ALL, ids=_id)
def test_usage_is_always_asked_for_in_streams(kind: ProviderType) -> None:
    body, warnings = sent(kind, chat(stream=True))

    assert body["stream"] is True
    assert (None if kind is MIS else {"include_usage": True}) == body.get("stream_options")
    assert [] == warnings


def test_obfuscation_is_openais() -> None:
    options = {"include_obfuscation": False, "include_usage": False}
    extra = {"continuous_usage_stats": True}

    openai, none = sent(OAI, chat(stream=True, stream_options=options))
    vllm, warnings = sent(VLL, chat(stream=True, stream_options=extra))

    assert {"include_usage": True, "include_obfuscation": False} == openai["stream_options"]
    assert [] == none
    assert {"include_usage": True} == vllm["stream_options"]
    assert ["dropped:stream_options.continuous_usage_stats"] == warnings


# --- text completions


@pytest.mark.parametrize("kind", [OAI, AZ, VLL, OVH], ids=_id)
def test_a_text_completion_is_sent(kind: ProviderType) -> None:
    request = completion(max_tokens=5, stop="x", temperature=0, stream=True, junk=1)

    body, warnings = sent(kind, request)

    assert {
        "model": "m",
        "prompt": "Once",
        "max_tokens": 5,
        "stop": ["x"],
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    } == body
    assert ["dropped:junk"] == warnings


@pytest.mark.parametrize("kind", [SCW, MIS], ids=_id)
def test_some_have_no_text_completions(kind: ProviderType) -> None:
    assert "model" == rejected(kind, completion())


def test_a_completion_rejects_what_changes_the_answer() -> None:
    assert "echo" == rejected(OVH, completion(echo=True))
    assert "logprobs" == rejected(OVH, completion(logprobs=2))
    assert 0 == sent(OAI, completion(logprobs=0))[0]["logprobs"]


# --- section 15: embeddings

EMBEDDINGS = rows(
    (ALL, {}, {}),
    ((OAI, AZ, MIS), {"encoding_format": "base64"}, {"encoding_format": "base64"}),
    ((OAI, AZ, MIS), {"encoding_format": "float"}, {"encoding_format": "float"}),
    (OPEN, {"encoding_format": "base64"}, {}),
    (OPEN, {"encoding_format": "float"}, {}),
    ((OAI, AZ, VLL), {"dimensions": 8}, {"dimensions": 8}),
    ((OAI, AZ, VLL), {"input": [1, 2]}, {"input": [1, 2]}),
    (ALL, {"input": ["a", "b"]}, {"input": ["a", "b"]}),
    ((OAI, AZ), {"user": "u"}, {"user": "u"}),
)


@pytest.mark.parametrize(("kind", "fields", "expected"), EMBEDDINGS, ids=_id)
def test_embeddings_are_asked_for(
    kind: ProviderType, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    body, warnings = sent(kind, embeddings(**fields))

    assert {"model": "m", "input": "a", **expected} == body
    assert [] == warnings


@pytest.mark.parametrize(
    ("kind", "fields", "param"),
    rows(((OVH, SCW, MIS), {"dimensions": 8}, "dimensions"), ((OVH, SCW, MIS), {"input": [1]}, "input")),
    ids=_id,
)  # fmt: skip
def test_embeddings_that_cannot_be_had_are_rejected(
    kind: ProviderType, fields: dict[str, Any], param: str
) -> None:
    assert param == rejected(kind, embeddings(**fields))


def test_dimensions_have_their_models() -> None:
    request = embeddings(dimensions=8)

    assert 8 == sent(SCW, request, "qwen3-embedding-8b")[0]["dimensions"]
    assert 8 == sent(MIS, request, "codestral-embed")[0]["output_dimension"]


def test_a_user_is_dropped_from_embeddings_elsewhere() -> None:
    assert ["dropped:user"] == sent(MIS, embeddings(user="u"))[1]
