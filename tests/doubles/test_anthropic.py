"""The double is accepted by Anthropic's own client, is as strict as the API, and breaks on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.doubles.anthropic import (
    KEY,
    AnthropicDouble,
    dropped_after,
    ended_after,
    error_after,
    failing,
    held,
)
from tests.doubles.anthropic_model import ANSWER, REFUSAL, THOUGHTS

HI: Any = [{"role": "user", "content": "hi"}]
OLD = "claude-haiku-4-5-20251001"
NEW = "claude-opus-5"
WEATHER: Any = {
    "name": "get_weather",
    "description": "Tell the weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
async def double() -> AsyncIterator[AnthropicDouble]:
    async with AnthropicDouble() as server:
        yield server


@pytest.fixture
async def sdk(double: AnthropicDouble) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=double.url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def http(double: AnthropicDouble) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=double.url, headers=headers, trust_env=False) as client:
        yield client


def text(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_the_sdk_gets_an_answer(sdk: anthropic.AsyncAnthropic) -> None:
    message = await sdk.messages.create(model=NEW, max_tokens=100, messages=HI)

    assert ANSWER == text(message)
    assert ("end_turn", 10) == (message.stop_reason, message.usage.input_tokens)
    assert message.id.startswith("msg_")


async def test_the_sdks_stream_adds_up_to_the_message(sdk: anthropic.AsyncAnthropic) -> None:
    async with sdk.messages.stream(model=NEW, max_tokens=100, messages=HI) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()

    assert ANSWER == text(final)
    assert "message_start" == kinds[0]
    assert "message_stop" in kinds
    assert 9 == final.usage.output_tokens


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_sdk_runs_a_loop_of_two_tools(
    sdk: anthropic.AsyncAnthropic, *, streamed: bool
) -> None:
    asked: Any = [{"role": "user", "content": "weathers?"}]
    first = await said(sdk, streamed=streamed, model=NEW, messages=asked, tools=[WEATHER])
    calls = [block for block in first.content if block.type == "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"sun in {call.input['city']}"}
        for call in calls
    ]
    turns: Any = [
        *asked,
        {"role": "assistant", "content": [block.model_dump() for block in calls]},
        {"role": "user", "content": results},
    ]
    second = await said(sdk, streamed=streamed, model=NEW, messages=clean(turns), tools=[WEATHER])

    assert "tool_use" == first.stop_reason
    assert [{"city": "Paris"}, {"city": "Lyon"}] == [call.input for call in calls]
    assert "It is sun in Paris." == text(second)


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_sdk_gets_signed_thoughts_and_must_send_them_back(
    sdk: anthropic.AsyncAnthropic, *, streamed: bool
) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked: Any = [{"role": "user", "content": "weather?"}]
    fields: Any = {"model": OLD, "tools": [WEATHER], "thinking": thinking, "max_tokens": 2000}
    first = await said(sdk, streamed=streamed, messages=asked, **fields)
    result = {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "sun"}]}  # fmt: skip
    blocks = [block.model_dump(exclude_none=True) for block in first.content]

    def turns(kept: list[Any]) -> Any:
        return clean([*asked, {"role": "assistant", "content": kept}, result])

    assert [("thinking", THOUGHTS), ("tool_use", None)] == [
        (block.type, getattr(block, "thinking", None)) for block in first.content
    ]
    assert 11 == first.usage.output_tokens_details.thinking_tokens
    second = await said(sdk, streamed=streamed, messages=turns(blocks), **fields)
    assert "It is sun." == text(second)
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking`"):
        await said(sdk, streamed=streamed, messages=turns(blocks[1:]), **fields)
    forged = [{**blocks[0], "thinking": "Other thoughts."}, blocks[1]]
    with pytest.raises(anthropic.BadRequestError, match="Invalid `signature`"):
        await said(sdk, streamed=streamed, messages=turns(forged), **fields)


async def said(
    sdk: anthropic.AsyncAnthropic, *, streamed: bool, max_tokens: int = 100, **fields: Any
) -> Any:
    if not streamed:
        return await sdk.messages.create(max_tokens=max_tokens, **fields)
    async with sdk.messages.stream(max_tokens=max_tokens, **fields) as stream:
        return await stream.get_final_message()


def clean(turns: Any) -> Any:
    """Leave out what a response block has and a request block has not."""
    keep = {"type", "id", "name", "input", "thinking", "signature", "data", "text"}
    for turn in turns:
        if turn["role"] == "assistant":
            turn["content"] = [
                {key: value for key, value in block.items() if key in keep and value is not None}
                for block in turn["content"]
            ]
    return turns


async def test_the_sdk_reads_refusals_and_citations(sdk: anthropic.AsyncAnthropic) -> None:
    refused = await sdk.messages.create(
        model=NEW, max_tokens=9, messages=[{"role": "user", "content": "refuse"}]
    )
    cited = await sdk.messages.create(
        model=NEW, max_tokens=9, messages=[{"role": "user", "content": "cite"}]
    )

    assert refused.stop_details is not None
    assert ("refusal", REFUSAL) == (refused.stop_reason, refused.stop_details.explanation)
    block: Any = cited.content[0]
    assert "https://example.com/a" == block.citations[0].url


async def test_the_sdk_lists_models(sdk: anthropic.AsyncAnthropic) -> None:
    page = await sdk.models.list(limit=3)

    assert 3 == len(page.data)
    assert page.has_more
    assert 128000 == (await sdk.models.retrieve(NEW)).max_tokens
    with pytest.raises(anthropic.NotFoundError, match="model: nope"):
        await sdk.models.retrieve("nope")


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "authentication_error", anthropic.AuthenticationError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
async def test_the_sdk_reads_the_errors(
    double: AnthropicDouble,
    sdk: anthropic.AsyncAnthropic,
    status: int,
    kind: str,
    error: type[anthropic.APIStatusError],
) -> None:
    double.next(failing(status, kind, "no", details={"error_code": "x"}, retry_after="7"))

    with pytest.raises(error) as caught:
        await sdk.messages.create(model=NEW, max_tokens=9, messages=HI)

    body: Any = caught.value.body
    assert (kind, {"error_code": "x"}) == (body["error"]["type"], body["error"]["details"])
    assert "7" == caught.value.response.headers["retry-after"]
    assert caught.value.request_id == body["request_id"]


async def test_the_sdk_reads_an_error_inside_a_stream(
    double: AnthropicDouble, sdk: anthropic.AsyncAnthropic
) -> None:
    double.next(error_after(4))

    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        await said(sdk, streamed=True, model=NEW, messages=HI)


async def test_a_stream_breaks_and_ends_on_demand(
    double: AnthropicDouble, http: httpx.AsyncClient
) -> None:
    body = {"model": NEW, "max_tokens": 9, "messages": HI, "stream": True}
    double.next(ended_after(5), dropped_after(5), dropped_after(0))

    assert 5 == (await http.post("/v1/messages", json=body)).text.count("event: ")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/v1/messages", json=body)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/v1/messages", json={**body, "stream": False})


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_is_noticed(
    double: AnthropicDouble, http: httpx.AsyncClient, *, streamed: bool
) -> None:
    gate = asyncio.Event()
    double.next(held(gate, after=3))
    body = {"model": NEW, "max_tokens": 9, "messages": HI, "stream": streamed}
    call = asyncio.create_task(http.post("/v1/messages", json=body))
    await double.arrived.wait()
    call.cancel()
    await asyncio.wait([call])

    await asyncio.wait_for(double.client_gone.wait(), 5)
    assert [True] == [seen.path == "/v1/messages" for seen in double.gone]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "/9j/"}}
CALL = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "sun"}
ASSISTANT = {"role": "assistant", "content": "Yes"}
SCHEMA = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (NEW, {"seed": 1}, "seed: Extra inputs"),
    (NEW, {"max_tokens": None}, "max_tokens: Field required"),
    (NEW, {"max_tokens": 10**6}, "maximum allowed number of output"),
    (NEW, {"messages": []}, "at least one message"),
    (NEW, {"messages": [ASSISTANT]}, "first message"),
    (NEW, {"messages": [*HI, *HI]}, "roles must alternate"),
    (NEW, {"messages": [*HI, ASSISTANT]}, "prefill"),
    (NEW, {"messages": [{"role": "user", "content": ""}]}, "non-empty"),
    (NEW, {"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "blank"),
    (NEW, {"messages": [{"role": "user", "content": [IMAGE]}]}, "image/png media type"),
    (NEW, {"messages": [{"role": "tool", "content": "x"}]}, "first message"),
    (NEW, {"messages": [*HI, {"role": "tool", "content": "x"}]}, "role: Input should be"),
    (NEW, {"messages": [{"role": "user", "content": "x", "name": "y"}]}, "Extra inputs"),
    (NEW, {"messages": [*HI, {"role": "assistant", "content": [CALL]}]}, "without `tool_result`"),
    (NEW, {"messages": [{"role": "user", "content": [RESULT]}]}, "unexpected `tool_use_id`"),
    (NEW, {"messages": [*HI, {"role": "assistant", "content": [CALL]},
                        {"role": "user", "content": [{"type": "text", "text": "x"}, RESULT]}]},
     "must come first"),
    (NEW, {"messages": [*HI, {"role": "assistant", "content": [CALL]},
                        {"role": "user", "content": [RESULT]}]}, "must define tools"),
    (NEW, {"messages": [*HI, {"role": "assistant", "content": [CALL, CALL]}, *HI]}, "unique"),
    (NEW, {"messages": [*HI, {"role": "system", "content": "x"}, *HI]}, "between a user and an"),
    (OLD, {"messages": [*HI, {"role": "system", "content": "x"}]}, "system is not supported"),
    (OLD, {"messages": [*HI, {"role": "assistant", "content": "x "}]}, "trailing whitespace"),
    (NEW, {"temperature": 0.5}, "deprecated for this model"),
    (NEW, {"top_k": 1}, "deprecated for this model"),
    (OLD, {"temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
    (OLD, {"temperature": 2}, "range"),
    (OLD, {"thinking": {"type": "enabled", "budget_tokens": 9}}, "1024"),
    (OLD, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "must be greater than"),
    (OLD, {"thinking": {"type": "adaptive"}}, "not supported on this model"),
    (NEW, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "enabled is not supported"),
    (NEW, {"thinking": {"type": "x"}}, "valid object"),
    ("claude-sonnet-5-5", {"thinking": {"type": "disabled"}}, "cannot be disabled"),
    ("claude-sonnet-5-5", {"tools": [WEATHER], "tool_choice": {"type": "any"}}, "not supported"),
    (NEW, {"tools": [WEATHER], "tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}},
     "forces tool use"),
    (NEW, {"tool_choice": {"type": "any"}}, "while providing tools"),
    (NEW, {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "not found"),
    (NEW, {"tools": [WEATHER], "tool_choice":
           {"type": "none", "disable_parallel_tool_use": True}}, "Extra inputs"),
    (NEW, {"tools": [WEATHER, WEATHER]}, "must be unique"),
    (NEW, {"tools": [{**WEATHER, "strict": True}]}, "must be explicitly false"),
    (NEW, {"tools": [{"name": "x", "input_schema": {}}]}, "input_schema.type"),
    (NEW, {"tools": [{"name": "x y", "input_schema": {"type": "object"}}]}, "match pattern"),
    (NEW, {"output_config": {"format": SCHEMA}}, "must be explicitly false"),
    ("claude-3-5-haiku-20241022", {"output_config": {"format": SCHEMA}}, "not supported"),
    (OLD, {"output_config": {"effort": "low"}}, "does not support effort"),
    (NEW, {"stop_sequences": [" "]}, "non-whitespace"),
    (NEW, {"metadata": {"user_id": "a@b.c"}}, "opaque"),
    (NEW, {"service_tier": "flex"}, "service_tier"),
    (NEW, {"messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "file", "file_id": "f"}}]}]}, "files API beta"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "words"), REFUSED)
async def test_the_double_refuses_what_the_api_refuses(
    http: httpx.AsyncClient, model: str, fields: dict[str, Any], words: str
) -> None:
    body = {"model": model, "max_tokens": 100, "messages": HI, **fields}
    response = await http.post(
        "/v1/messages", json={key: value for key, value in body.items() if value is not None}
    )

    error = response.json()["error"]
    assert (400, "invalid_request_error") == (response.status_code, error["type"])
    assert words.replace("blank", "non-whitespace") in error["message"]


async def test_the_double_wants_a_key_a_version_and_an_object(http: httpx.AsyncClient) -> None:
    body = {"model": NEW, "max_tokens": 9, "messages": HI}
    wrong = await http.post("/v1/messages", json=body, headers={"x-api-key": "x"})
    bearer = await http.post(
        "/v1/messages", json=body, headers={"x-api-key": "", "authorization": f"Bearer {KEY}"}
    )
    versionless = await http.post("/v1/messages", json=body, headers={"anthropic-version": ""})
    newest = await http.post(
        "/v1/messages",
        json={**body, "temperature": 1},
        headers={"anthropic-version": "2026-10-21"},
    )
    unknown = await http.post("/v1/messages", json={**body, "model": "claude-0"})

    assert [401, 200, 400, 400, 404] == [
        each.status_code for each in (wrong, bearer, versionless, newest, unknown)
    ]
    assert 400 == (await http.post("/v1/messages", content=b"{")).status_code
    assert 400 == (await http.post("/v1/messages", content=b"[1]")).status_code
