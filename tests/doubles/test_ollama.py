"""The double is accepted by Ollama's own client, is as strict as the server, and breaks on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import ollama
import pytest

from controlplane.table.schema import Model, ProviderType
from dataplane.codec import decode, encode
from dataplane.errors import ErrorClass
from dataplane.provider import HttpRequest, HttpResponse, Request
from dataplane.providers.ollama import OllamaAdapter
from dataplane.wire.request import parse_chat, parse_completion, parse_embeddings
from tests.dataplane.wire.ollama_samples import Read, fold
from tests.doubles.ollama import (
    OllamaDouble,
    busy,
    dropped_after,
    error_after,
    failing,
    held,
)
from tests.doubles.ollama_model import ANSWER, EMBEDDING_LENGTH, THINKING
from tests.fakes import provider

HI = {"role": "user", "content": "hi"}
COUNT = {"role": "user", "content": "count"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
async def double() -> AsyncIterator[OllamaDouble]:
    async with OllamaDouble() as server:
        yield server


@pytest.fixture
async def http(double: OllamaDouble) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=double.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def sdk(double: OllamaDouble) -> AsyncIterator[ollama.AsyncClient]:
    client = ollama.AsyncClient(host=double.url, trust_env=False)
    yield client
    await client.close()


async def test_the_sdk_chats(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(model="tiny", messages=[HI])

    assert ANSWER == answer.message.content
    assert (10, 16, "stop") == (answer.prompt_eval_count, answer.eval_count, answer.done_reason)


async def test_the_sdk_streams_one_piece_a_token(sdk: ollama.AsyncClient) -> None:
    stream = await sdk.chat(model="tiny", messages=[HI], stream=True)
    pieces = [part.message.content or "" async for part in stream]

    assert ANSWER == "".join(pieces)
    assert ["Hello", "!", " I"] == pieces[:3]
    assert "🙂" in pieces
    assert not pieces[-1]


@pytest.mark.parametrize(
    ("limit", "text", "reason", "tokens"),
    [(3, " 1 2 3", "length", 3), (0, "", "length", 0), (1000, None, "stop", 1000)],
)
async def test_the_model_counts_to_its_limit(
    sdk: ollama.AsyncClient, limit: int, text: str | None, reason: str, tokens: int
) -> None:
    answer = await sdk.chat(model="tiny", messages=[COUNT], options={"num_predict": limit})

    assert (reason, tokens) == (answer.done_reason, answer.eval_count)
    if text is None:
        assert (answer.message.content or "").endswith(" 998 999")
    else:
        assert text == answer.message.content


async def test_half_a_smiley_is_held_back(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(model="tiny", messages=[HI], options={"num_predict": 13})

    assert (answer.message.content or "").endswith(" predictable ")


async def test_the_sdk_gets_a_tool_call_and_then_text(sdk: ollama.AsyncClient) -> None:
    first = await sdk.chat(model="tiny", messages=[HI], tools=[WEATHER])
    second = await sdk.chat(
        model="tiny",
        messages=[HI, first.message, {"role": "tool", "content": "18", "tool_name": "get_weather"}],
        tools=[WEATHER],
    )

    assert first.message.tool_calls is not None
    assert {"city": "Paris"} == first.message.tool_calls[0].function.arguments
    assert ("stop", 12) == (first.done_reason, (first.eval_count or 0) + 1)
    assert ANSWER == second.message.content


async def test_a_call_that_does_not_fit_is_not_made(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(
        model="tiny", messages=[HI], tools=[WEATHER], options={"num_predict": 4}
    )

    assert answer.message.tool_calls is None
    assert ("length", 4) == (answer.done_reason, answer.eval_count)


async def test_a_format_wins_over_tools(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(model="tiny", messages=[HI], tools=[WEATHER], format="json")

    assert "{}" == answer.message.content


async def test_a_thinking_model_thinks_unless_told_not_to(sdk: ollama.AsyncClient) -> None:
    thinks = await sdk.chat(model="tiny-thinker", messages=[HI])
    quiet = await sdk.chat(model="tiny-thinker", messages=[HI], think=False)

    assert THINKING == thinks.message.thinking
    assert quiet.message.thinking is None
    assert ANSWER == thinks.message.content == quiet.message.content


async def test_a_stop_sequence_cuts(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(model="tiny", messages=[HI], options={"stop": ["iny mo", "zzz"]})

    assert "Hello! I am a t" == answer.message.content
    assert "stop" == answer.done_reason


async def test_a_stop_sequence_that_never_comes_cuts_nothing(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.chat(model="tiny", messages=[HI], options={"stop": ["zzz"]})

    assert ANSWER == answer.message.content


async def test_the_sdk_generates(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.generate(model="tiny:latest", prompt="hi")
    stream = await sdk.generate(
        model="tiny", prompt="count", stream=True, options={"num_predict": 2}
    )

    assert ANSWER == answer.response
    assert " 1 2" == "".join([part.response async for part in stream])


async def test_the_sdk_embeds(sdk: ollama.AsyncClient) -> None:
    answer = await sdk.embed(model="tiny-embed", input=["a", "b"], dimensions=4)
    old = await sdk.embeddings(model="tiny-embed", prompt="a")

    assert [4, 4] == [len(vector) for vector in answer.embeddings]
    assert answer.embeddings[0] != answer.embeddings[1]
    assert 1.0 == pytest.approx(sum(value * value for value in answer.embeddings[0]))
    assert EMBEDDING_LENGTH == len(old.embedding)


async def test_the_sdk_lists_shows_and_sees_what_is_loaded(sdk: ollama.AsyncClient) -> None:
    listed = await sdk.list()
    shown = await sdk.show("tiny")
    before = await sdk.ps()
    await sdk.generate(model="tiny", prompt="")
    loaded = await sdk.ps()
    await sdk.generate(model="tiny", prompt="", keep_alive=0)
    after = await sdk.ps()

    assert "tiny:latest" == listed.models[0].model
    assert ["completion", "tools"] == shown.capabilities
    assert [[], ["tiny:latest"], []] == [
        [each.model for each in listing.models] for listing in (before, loaded, after)
    ]


@pytest.mark.parametrize(("keep_alive", "reason"), [({}, "load"), ({"keep_alive": 0}, "unload")])
async def test_a_chat_without_messages_only_loads(
    http: httpx.AsyncClient, keep_alive: dict[str, Any], reason: str
) -> None:
    answer = await http.post("/api/chat", json={"model": "tiny", "messages": [], **keep_alive})

    assert (reason, True) == (answer.json()["done_reason"], answer.json()["done"])


def refused(path: str, body: dict[str, Any], status: int, error: str) -> Any:
    return pytest.param(path, encode(body), status, error, id=error[:40] or "empty")


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        pytest.param("/api/chat", b"", 400, "missing request body", id="no body"),
        pytest.param("/api/chat", b"{", 400, "unexpected EOF", id="half a body"),
        refused("/api/chat", {}, 400, "model is required"),
        refused("/api/chat", {"model": "nope"}, 404, "model 'nope' not found"),
        refused("/api/show", {"model": "nope"}, 404, "model 'nope' not found"),
        refused(
            "/api/chat",
            {"model": "tiny", "messages": [HI], "think": True},
            400,
            '"tiny" does not support thinking',
        ),
        refused(
            "/api/chat",
            {"model": "tiny-thinker", "messages": [HI], "think": "extreme"},
            400,
            "invalid think value",
        ),
        refused(
            "/api/chat",
            {"model": "tiny-plain", "messages": [HI], "tools": [WEATHER]},
            400,
            "does not support tools",
        ),
        refused(
            "/api/chat", {"model": "tiny-embed", "messages": [HI]}, 400, "does not support chat"
        ),
        refused(
            "/api/generate",
            {"model": "tiny-embed", "prompt": "hi"},
            400,
            "does not support generate",
        ),
        refused(
            "/api/generate",
            {"model": "tiny", "prompt": "a", "suffix": "b"},
            400,
            "does not support insert",
        ),
        refused("/api/generate", {"model": "tiny", "prompt": ["a"]}, 400, "cannot unmarshal array"),
        refused(
            "/api/chat",
            {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            400,
            "cannot unmarshal array",
        ),
        refused("/api/chat", {"model": "tiny", "messages": ["hi"]}, 400, "cannot unmarshal string"),
        refused(
            "/api/chat",
            {"model": "tiny", "messages": [{"role": "developer", "content": "x"}]},
            400,
            "invalid role: developer",
        ),
        refused(
            "/api/chat",
            {
                "model": "tiny",
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
                    }
                ],
            },
            400,
            "tool_calls.function.arguments",
        ),
        refused(
            "/api/chat",
            {"model": "tiny", "messages": [{**HI, "images": ["data:image/png;base64,AA=="]}]},
            400,
            "illegal base64 data",
        ),
        refused(
            "/api/chat",
            {"model": "tiny", "messages": [HI], "top_logprobs": 21},
            400,
            "top_logprobs must be",
        ),
        refused(
            "/api/chat",
            {
                "model": "tiny",
                "messages": [HI],
                "truncate": False,
                "options": {"num_ctx": 9},
            },
            400,
            "exceeds the available context size",
        ),
        refused("/api/embed", {"model": "tiny-embed", "input": [1]}, 400, "invalid input type"),
        refused("/api/embed", {"model": "tiny-embed", "input": 7}, 400, "invalid input type"),
        refused(
            "/api/embed",
            {"model": "tiny-embed", "input": "a b", "truncate": False, "options": {"num_ctx": 1}},
            400,
            "the input length exceeds the context length",
        ),
        refused("/api/embed", {"model": "tiny", "input": "a"}, 501, "does not support embeddings"),
        refused(
            "/api/embeddings", {"model": "tiny", "prompt": "a"}, 501, "does not support embeddings"
        ),
    ],
)
async def test_it_refuses_as_the_server_does(
    http: httpx.AsyncClient, path: str, body: bytes, status: int, error: str
) -> None:
    answer = await http.post(path, content=body)

    assert status == answer.status_code
    assert error in answer.json()["error"]


async def test_plain_paths(http: httpx.AsyncClient) -> None:
    root, head = await http.get("/"), await http.head("/")
    version, lost = await http.get("/api/version"), await http.get("/api/nope")
    wrong = await http.get("/api/chat")

    assert ["Ollama is running", "", "404 page not found", "405 method not allowed"] == [
        answer.text for answer in (root, head, lost, wrong)
    ]
    assert [200, 200, 404, 405] == [answer.status_code for answer in (root, head, lost, wrong)]
    assert {"version": "0.33.0"} == version.json()


async def test_a_prompt_beyond_the_context_is_cut_without_a_word(sdk: ollama.AsyncClient) -> None:
    long = {"role": "user", "content": "word " * 5000}
    answer = await sdk.chat(model="tiny", messages=[long])

    assert 4096 == answer.prompt_eval_count


async def test_it_remembers_what_came(double: OllamaDouble, http: httpx.AsyncClient) -> None:
    await http.get("/api/version", headers={"X-Team": "a"})
    await http.post("/api/chat", json={"model": "tiny"})

    assert [("GET", "/api/version", None), ("POST", "/api/chat", {"model": "tiny"})] == [
        (seen.method, seen.path, seen.body) for seen in double.requests
    ]
    assert "a" == double.requests[0].headers["x-team"]
    assert 0 == double.answering


async def test_faults_are_taken_one_a_request(
    double: OllamaDouble, sdk: ollama.AsyncClient
) -> None:
    double.next(busy(), failing(500, "out of memory"))

    for status, text in ((503, "server busy"), (500, "out of memory")):
        with pytest.raises(ollama.ResponseError, match=text) as failed:
            await sdk.chat(model="tiny", messages=[HI])
        assert status == failed.value.status_code
    assert ANSWER == (await sdk.chat(model="tiny", messages=[HI])).message.content


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_before_any_output_has_a_status(
    double: OllamaDouble, http: httpx.AsyncClient, stream: bool
) -> None:
    double.next(error_after(0, "boom"))
    body = {"model": "tiny", "messages": [HI], "stream": stream}
    answer = await http.post("/api/chat", json=body)

    assert (500, {"error": "boom"}) == (answer.status_code, answer.json())


async def test_an_error_in_the_middle_is_a_line(
    double: OllamaDouble, http: httpx.AsyncClient
) -> None:
    double.next(error_after(2, "boom"))
    answer = await http.post("/api/chat", json={"model": "tiny", "messages": [HI]})

    lines = [decode(line) for line in answer.content.splitlines()]
    assert "application/x-ndjson" == answer.headers["content-type"]
    assert [200, 3, {"error": "boom"}] == [answer.status_code, len(lines), lines[-1]]


@pytest.mark.parametrize(("lines", "stream"), [(0, True), (2, True), (0, False)])
async def test_a_dropped_connection_breaks_the_answer(
    double: OllamaDouble, http: httpx.AsyncClient, lines: int, stream: bool
) -> None:
    double.next(dropped_after(lines))
    body = {"model": "tiny", "messages": [HI], "stream": stream}

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await http.post("/api/chat", json=body)
    assert [] == double.gone


@pytest.mark.parametrize("stream", [True, False])
async def test_a_held_answer_goes_on_when_it_may(
    double: OllamaDouble, sdk: ollama.AsyncClient, stream: bool
) -> None:
    gate = asyncio.Event()
    double.next(held(gate))
    body = {"model": "tiny", "messages": [HI]}

    async def ask() -> str:
        if not stream:
            return (await sdk.chat(**body)).message.content or ""
        return "".join(
            [part.message.content or "" async for part in await sdk.chat(**body, stream=True)]
        )

    asking = asyncio.create_task(ask())
    await double.arrived.wait()
    assert not asking.done()
    gate.set()

    assert ANSWER == await asking


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
async def test_embeddings_can_be_held_and_fail(
    double: OllamaDouble, http: httpx.AsyncClient, path: str
) -> None:
    gate = asyncio.Event()
    gate.set()
    double.next(held(gate), error_after(0, "boom"))
    body = {"model": "tiny-embed", "input": "a", "prompt": "a"}

    assert [200, 500] == [(await http.post(path, json=body)).status_code for _ in range(2)]


async def test_a_client_that_goes_away_before_the_head_is_noticed(
    double: OllamaDouble, http: httpx.AsyncClient
) -> None:
    double.next(held(asyncio.Event()))
    asking = asyncio.create_task(http.post("/api/chat", json={"model": "tiny", "messages": [HI]}))
    await double.arrived.wait()
    asking.cancel()
    await double.client_gone.wait()

    assert ["/api/chat"] == [seen.path for seen in double.gone]
    assert 0 == double.answering


async def test_a_client_that_goes_away_in_the_middle_is_noticed(
    double: OllamaDouble, http: httpx.AsyncClient
) -> None:
    double.next(held(asyncio.Event(), after_lines=2))
    body = {"model": "tiny", "messages": [HI]}
    async with http.stream("POST", "/api/chat", json=body) as answer:
        first = await anext(answer.aiter_lines())
    await double.client_gone.wait()

    assert "Hello" == decode(first)["message"]["content"]
    assert ["/api/chat"] == [seen.path for seen in double.gone]


class Adapted:
    """The adapter of a provider, and a plain HTTP client in place of the sidecar's transport."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        models = (Model(name="tiny", context_window=11), Model(name="tiny-thinker"))
        self.adapter = OllamaAdapter(
            provider("o", kind=ProviderType.OLLAMA, base_url=url, models=models)
        )
        self._http = http

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await self._http.request(
            request.method, request.url, headers=dict(request.headers), content=request.body
        )
        return HttpResponse(
            status=answer.status_code, headers=dict(answer.headers), body=answer.content
        )

    async def ask(self, request: Request, name: str = "tiny-thinker") -> dict[str, Any]:
        prepared = self.adapter.prepare(request, name, None)
        response = await self.send(prepared.http)
        body: dict[str, Any]
        if not request.stream:
            body = decode(self.adapter.answer(request, prepared, response).body)
            return body
        pieces = [response.body[at : at + 7] for at in range(0, len(response.body), 7)]
        return fold(Read(self.adapter.decoder(request, prepared), pieces).events)


@pytest.fixture
def adapted(double: OllamaDouble, http: httpx.AsyncClient) -> Adapted:
    return Adapted(double.url, http)


def chat(*messages: dict[str, Any], **fields: Any) -> Request:
    body = {"model": "route", "messages": messages, **fields}
    if fields.get("stream"):
        body["stream_options"] = {"include_usage": True}
    return parse_chat(encode(body))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning_effort": "none", "max_tokens": 5},
        {"tools": [WEATHER]},
        {"functions": [WEATHER["function"]]},
        {"logprobs": True, "top_logprobs": 2},
        {"stop": "tiny"},
        {"response_format": {"type": "json_object"}},
    ],
)
async def test_through_the_adapter_a_stream_folds_into_the_unary_answer(
    adapted: Adapted, fields: dict[str, Any]
) -> None:
    whole = await adapted.ask(chat(HI, **fields))
    folded = await adapted.ask(chat(HI, stream=True, **fields))

    for answer in (whole, folded):
        # Each answer has a stamp of its own, from which its id is made.
        assert answer.pop("id").startswith("chatcmpl-")
        for call in answer["choices"][0]["message"].get("tool_calls", ()):
            assert call.pop("id").startswith("call_")
    assert whole == folded


async def test_through_the_adapter_a_whole_tool_conversation_works(adapted: Adapted) -> None:
    first = (await adapted.ask(chat(HI, tools=[WEATHER])))["choices"][0]
    result = {
        "role": "tool",
        "tool_call_id": first["message"]["tool_calls"][0]["id"],
        "content": [{"type": "text", "text": "18"}],
    }
    second = await adapted.ask(chat(HI, first["message"], result, tools=[WEATHER]))

    assert "tool_calls" == first["finish_reason"]
    assert ANSWER == second["choices"][0]["message"]["content"]


async def test_through_the_adapter_parts_images_and_developers_are_accepted(
    adapted: Adapted,
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    parts = {"role": "user", "content": [{"type": "text", "text": "count"}, image]}
    answer = await adapted.ask(
        chat({"role": "developer", "content": "x"}, parts, max_tokens=2, reasoning_effort="none")
    )

    assert " 1 2" == answer["choices"][0]["message"]["content"]


async def test_through_the_adapter_completions_and_embeddings_work(
    adapted: Adapted, double: OllamaDouble
) -> None:
    completion = parse_completion(encode({"model": "route", "prompt": "count", "max_tokens": 6}))
    embeddings = parse_embeddings(encode({"model": "route", "input": ["a", "b"]}))

    text = await adapted.ask(completion)
    vectors = await adapted.ask(embeddings, "tiny-embed")

    assert " 1 2" == text["choices"][0]["text"]
    assert THINKING == text["choices"][0]["reasoning_content"]
    assert [EMBEDDING_LENGTH] * 2 == [len(entry["embedding"]) for entry in vectors["data"]]
    assert double.requests[-1].body["truncate"] is False


async def test_through_the_adapter_a_full_context_is_warned_of(adapted: Adapted) -> None:
    request = chat(HI)
    prepared = adapted.adapter.prepare(request, "tiny", None)
    answer = adapted.adapter.answer(request, prepared, await adapted.send(prepared.http))

    assert ["clamped:messages"] == answer.facts.warnings


async def test_through_the_adapter_failures_have_their_classes(
    adapted: Adapted, double: OllamaDouble
) -> None:
    own = adapted.adapter
    double.next(busy())

    async def failure(name: str, **fields: Any) -> ErrorClass:
        prepared = own.prepare(chat(HI, **fields), name, None)
        return own.failure(await adapted.send(prepared.http)).error

    assert ErrorClass.OVERLOADED is await failure("tiny")
    assert ErrorClass.MODEL_NOT_FOUND is await failure("nope")
    assert ErrorClass.UNSUPPORTED is await failure("tiny", reasoning_effort="high")
    assert ErrorClass.UNSUPPORTED is await failure("tiny-plain", tools=[WEATHER])


async def test_through_the_adapter_probe_and_models_are_read(adapted: Adapted) -> None:
    probe = await adapted.send(adapted.adapter.probe_request(None))
    listed = adapted.adapter.models(await adapted.send(adapted.adapter.models_request(None)))

    assert 200 == probe.status
    assert ("tiny:latest", 32768) == (listed[0].id, listed[0].context_window)
