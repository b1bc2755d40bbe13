import pytest

from controlplane.table.schema import Model, Provider, ProviderType
from dataplane.codec import decode
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import (
    Adapter,
    Feature,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Operation,
    Request,
)
from dataplane.providers.ollama import FEATURES, OllamaAdapter
from tests.dataplane.wire.ollama_samples import (
    chat_request,
    done,
    embeddings_request,
    lines,
    native,
    response,
    text_request,
)
from tests.fakes import provider

URL = "http://ollama.test:11434"


def configured(*models: Model, **changes: object) -> Provider:
    return provider("o", kind=ProviderType.OLLAMA, base_url=URL, models=models, **changes)


def adapter(*models: Model, **changes: object) -> Adapter:
    return OllamaAdapter(configured(*models, **changes))


def body(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers={}, body=text.encode())


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (chat_request(), "/api/chat"),
        (text_request(), "/api/generate"),
        (embeddings_request("a"), "/api/embed"),
    ],
)
def test_each_operation_is_posted_to_its_native_path(request_: Request, path: str) -> None:
    http = adapter().prepare(request_, "llama3.1", None).http

    assert ("POST", URL + path) == (http.method, http.url)
    assert {"content-type": "application/json"} == http.headers
    assert "llama3.1" == decode(http.body)["model"]


def test_the_secret_is_a_bearer_token_beside_the_manifests_headers() -> None:
    own = adapter(headers={"X-Team": "a", "Authorization": "Basic x"})

    assert {
        "x-team": "a",
        "authorization": "Bearer s3",
        "content-type": "application/json",
    } == own.prepare(chat_request(), "m", "s3").http.headers
    assert {"x-team": "a", "authorization": "Bearer s3"} == own.probe_request("s3").headers
    assert "Basic x" == own.models_request(None).headers["authorization"]


def test_the_probe_loads_no_model_and_the_list_is_of_tags() -> None:
    assert HttpRequest(
        method="GET", url=URL + "/api/version", headers={}
    ) == adapter().probe_request(None)
    assert HttpRequest(method="GET", url=URL + "/api/tags", headers={}) == adapter().models_request(
        None
    )


def test_what_the_wire_lacks_is_no_capability() -> None:
    assert FEATURES == adapter().capabilities("any")
    assert {
        Feature.TOKEN_INPUT,
        Feature.CUSTOM_TOOLS,
        Feature.TOOL_CHOICE_REQUIRED,
        Feature.TOOL_CHOICE_NAMED,
        Feature.IMAGE_URL,
        Feature.AUDIO_INPUT,
        Feature.AUDIO_OUTPUT,
        Feature.FILE,
        Feature.MULTIPLE_CHOICES,
    } == set(Feature) - FEATURES


def test_the_manifest_cuts_capabilities_but_adds_none_that_the_wire_lacks() -> None:
    declared = Model(name="m", capabilities=frozenset({"chat", "imageUrl", "tools", "magic"}))
    own = adapter(declared, Model(name="plain"))

    assert {Feature.CHAT, Feature.TOOLS} == own.capabilities("m")
    assert FEATURES == own.capabilities("plain")


def test_the_manifests_window_and_limit_reach_the_wire_and_the_answer() -> None:
    own = adapter(Model(name="m", context_window=10, max_output_tokens=5))
    request = Request(
        operation=Operation.CHAT,
        model="route",
        body={"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    )
    prepared = own.prepare(request, "m", None)
    answer = own.answer(request, prepared, response(native({"content": "x"}, **done())))
    decoder = own.decoder(request, prepared)
    batch = decoder.feed(lines(native({"content": "x"}, **done())))

    assert {"num_predict": 5, "num_ctx": 10} == decode(prepared.http.body)["options"]
    assert ("clamped:max_tokens",) == prepared.warnings
    assert ["clamped:messages"] == answer.facts.warnings
    assert ["clamped:messages"] == decoder.facts.warnings
    assert batch.done


def test_without_a_window_nothing_is_sent_or_warned_of() -> None:
    own = adapter()
    prepared = own.prepare(chat_request(), "m", None)
    answer = own.answer(chat_request(), prepared, response(native({"content": "x"}, **done())))

    assert "options" not in decode(prepared.http.body)
    assert [] == answer.facts.warnings


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (400, '{"error":"unexpected EOF"}', ErrorClass.BAD_REQUEST),
        (400, '{"error":"model is required"}', ErrorClass.BAD_REQUEST),
        (400, '{"error":"\\"tiny\\" does not support thinking"}', ErrorClass.UNSUPPORTED),
        (400, '{"error":"tiny does not support tools"}', ErrorClass.UNSUPPORTED),
        (
            400,
            '{"error":"the input length exceeds the context length"}',
            ErrorClass.CONTEXT_LENGTH,
        ),
        (
            400,
            '{"error":"the request exceeds the available context size, try increasing it"}',
            ErrorClass.CONTEXT_LENGTH,
        ),
        (401, '{"error":"unauthorized","signin_url":"https://x"}', ErrorClass.AUTH),
        (403, '{"error":"cloud models are disabled"}', ErrorClass.PERMISSION),
        (404, """{"error":"model 'nope' not found"}""", ErrorClass.MODEL_NOT_FOUND),
        (404, "404 page not found", ErrorClass.CONFIG),
        (405, "405 method not allowed", ErrorClass.CONFIG),
        (413, "", ErrorClass.TOO_LARGE),
        (429, '{"error":"too many requests"}', ErrorClass.RATE_LIMIT),
        (499, '{"error":"request canceled"}', ErrorClass.CLIENT_CANCELLED),
        (500, '{"error":"model requires more system memory"}', ErrorClass.UPSTREAM_ERROR),
        (501, '{"error":"this model does not support embeddings"}', ErrorClass.UNSUPPORTED),
        (502, '{"error":"cloud unreachable"}', ErrorClass.UPSTREAM_ERROR),
        (
            503,
            '{"error":"server busy, please try again.  maximum pending requests exceeded"}',
            ErrorClass.OVERLOADED,
        ),
    ],
)
def test_every_error_of_the_wire_has_its_class(status: int, text: str, error: ErrorClass) -> None:
    failure = adapter().failure(body(text, status))

    assert (error, status) == (failure.error, failure.status)


def test_models_have_their_names_and_windows() -> None:
    listed = adapter().models(
        body(
            '{"models":[{"name":"tiny:latest","model":"tiny:latest","details":'
            '{"family":"qwen2","context_length":32768}},{"name":"old:7b","details":{}}]}'
        )
    )

    assert [
        ModelInfo(id="tiny:latest", context_window=32768),
        ModelInfo(id="old:7b"),
    ] == listed


@pytest.mark.parametrize(
    "text", ["", "Ollama is running", "[]", "{}", '{"models":{}}', '{"models":["x"]}']
)
def test_a_list_of_models_that_is_none_is_a_bad_response(text: str) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        adapter().models(body(text))

    assert ErrorClass.BAD_RESPONSE is failed.value.error
