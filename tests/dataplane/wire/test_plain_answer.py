"""Plain answers come out as the usual way would give them, or are not taken for plain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.table.schema import ProviderType
from dataplane.codec import encode
from dataplane.errors import UpstreamFailed
from dataplane.provider import HttpResponse
from dataplane.record import replace
from dataplane.wire.openai_answer import read_answer, read_any_answer
from dataplane.wire.openai_reading import Reading
from dataplane.wire.plain_answer import match_plain
from dataplane.wire.thinking_tags import ThinkTags
from tests.dataplane.wire.openai_kit import adapter, chat
from tests.dataplane.wire.test_plain import literals

counts = st.one_of(st.integers(-1, 9), st.none(), st.booleans(), st.just("1"))
texts = st.text(max_size=6)
details = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {}, optional={"cached_tokens": counts, "created_cache_tokens": counts, "odd": texts}
    ),
)
usages = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"prompt_tokens": counts, "completion_tokens": counts},
        optional={
            "total_tokens": counts,
            "prompt_tokens_details": details,
            "completion_tokens_details": st.fixed_dictionaries(
                {}, optional={"reasoning_tokens": counts}
            ),
        },
    ),
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "user", ""])},
    optional={
        "content": st.one_of(texts, st.none(), st.just('<think>a</think>"model"')),
        "refusal": st.one_of(st.none(), texts),
        "annotations": st.just([]),
        "reasoning_content": st.one_of(st.none(), texts),
        "reasoning": st.one_of(st.none(), texts),
        "tool_calls": st.sampled_from([[], None]),
    },
)
choices = st.fixed_dictionaries(
    {
        "message": messages,
        "finish_reason": st.sampled_from(
            ["stop", "length", "content_filter", "abort", "eos", None]
        ),
    },
    optional={
        "index": st.integers(0, 2),
        "logprobs": st.one_of(st.none(), st.just({"content": []})),
        "stop_reason": st.none(),
    },
)
answers = st.fixed_dictionaries(
    {"model": st.sampled_from(["theirs", "mine", "", 'q"uote', "é"])},
    optional={
        "id": st.sampled_from(["a", "", None]),
        "object": st.sampled_from(["chat.completion", "error", ""]),
        "created": st.one_of(st.integers(0, 9), st.none()),
        "choices": st.lists(choices, max_size=2),
        "usage": usages,
        "system_fingerprint": st.one_of(st.none(), texts),
        "service_tier": st.just("default"),
        "error": st.none(),
        "odd": texts,
    },
)
ANSWER = {
    "id": "a",
    "object": "chat.completion",
    "created": 1,
    "model": "theirs",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def _reading(kind: ProviderType = ProviderType.OPENAI, **changes: Any) -> Reading:
    made = adapter(kind)
    reading = made.prepare(chat(), "theirs", "key").context["reading"]
    assert isinstance(reading, Reading)
    return replace(reading, **changes)


def _outcome(read: Any, body: bytes, reading: Reading) -> object:
    try:
        answer = read(HttpResponse(status=200, headers={}, body=body), reading)
    except UpstreamFailed as failure:
        return failure.error, failure.message
    return answer.body, answer.facts


@pytest.mark.parametrize("kind", [ProviderType.OPENAI, ProviderType.OVHCLOUD, ProviderType.MISTRAL])
@given(answer=answers, tags=st.sampled_from(ThinkTags), spaced=st.booleans())
def test_a_plain_answer_is_what_the_usual_way_gives(
    kind: ProviderType, answer: dict[str, Any], tags: ThinkTags, spaced: bool
) -> None:
    body = encode(answer)
    if spaced:
        body = body.replace(b'"model":', b'"model": ')
    reading = _reading(kind, tags=tags)
    assert _outcome(read_any_answer, body, reading) == _outcome(read_answer, body, reading)


@settings(max_examples=400)
@given(
    content=literals,
    member=st.sampled_from([b"", b',"annotations":%b', b',"refusal":%b', b',"content":%b']),
    value=literals,
)
def test_however_an_answer_is_spelled_the_usual_way_gives_the_same(
    content: bytes, member: bytes, value: bytes
) -> None:
    member = member % value if member else b""
    body = encode(ANSWER).replace(b'"hi","refusal":null,"annotations":[]', content + member)
    assert _outcome(read_any_answer, body, _reading()) == _outcome(read_answer, body, _reading())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"usage": None},
        {"system_fingerprint": "fp", "service_tier": "default"},
        {"model": "route"},
    ],
)
def test_a_common_answer_is_plain(change: dict[str, Any]) -> None:
    assert match_plain(encode(ANSWER | change)) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"error": {"message": "no"}},
        {"id": ""},
        {"prompt_filter_results": []},
        {"choices": []},
        {"choices": [{"index": 0, "message": {"role": "assistant"}, "finish_reason": "stop"}]},
    ],
)
def test_an_answer_that_is_to_be_changed_is_not_plain(change: dict[str, Any]) -> None:
    assert match_plain(encode(ANSWER | change)) is None


def test_only_the_name_of_the_model_changes_in_the_bytes_of_a_plain_answer() -> None:
    body = encode(ANSWER).replace(b'"hi"', b'"\\u00e9  1.50"')
    answer = read_answer(HttpResponse(status=200, headers={}, body=body), _reading())
    assert body.replace(b'"theirs"', b'"route"') == answer.body
