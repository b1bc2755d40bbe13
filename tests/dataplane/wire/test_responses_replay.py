"""Encrypted reasoning goes round: answer, client, next request (section 9.3)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef
from dataplane.codec import decode
from dataplane.wire.side_data import KEY
from tests.dataplane.wire.openai_kit import HELLO, TOOL, adapter, chat
from tests.dataplane.wire.responses_kit import (
    AZ,
    MODEL,
    OAI,
    call,
    custom,
    message,
    read,
    reasoning,
    refusal,
    response,
    sent,
)

CUSTOM = {"type": "custom", "custom": {"name": "shell"}}


def answer(*output: dict[str, Any], kind: Any = OAI) -> dict[str, Any]:
    """Give the message that a client gets."""
    said: dict[str, Any] = read(response(*output), kind, tools=[TOOL, CUSTOM])[0]["choices"][0][
        "message"
    ]
    return said


def conversation(turn: dict[str, Any]) -> list[dict[str, Any]]:
    results = [
        {"role": "tool", "tool_call_id": each["id"], "content": "1"}
        for each in turn.get("tool_calls", ())
    ]
    return [HELLO[0], turn, *results, HELLO[0]]


def replayed(turn: dict[str, Any], kind: Any = OAI) -> list[str]:
    """Send a message back; give the kinds of its items, with ids of reasoning."""
    body, _warnings = sent(kind, messages=conversation(turn), tools=[TOOL, CUSTOM])
    return [
        item.get("id") or item.get("call_id") or item["content"]
        for item in body["input"][1:-1]
        if not item["type"].endswith("_output")
    ]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([reasoning(), message("Hi")], ["rs_1", "Hi"]),
        ([reasoning(), call()], ["rs_1", "call_1"]),
        ([reasoning(), message("Hi"), call()], ["rs_1", "Hi", "call_1"]),
        ([message("Hi"), reasoning(), call()], ["Hi", "rs_1", "call_1"]),
        (
            [reasoning(), message("a"), reasoning("rs_2"), call()],
            ["rs_1", "a", "rs_2", "call_1"],
        ),
        (
            [reasoning(), message("a"), reasoning("rs_2"), message("b", item_id="m2"), call()],
            ["rs_1", "a", "rs_2", "b", "call_1"],
        ),
        (
            [reasoning(), call(), reasoning("rs_2"), call("call_2")],
            ["rs_1", "call_1", "rs_2", "call_2"],
        ),
        ([reasoning(), reasoning("rs_2"), custom()], ["rs_1", "rs_2", "call_c"]),
    ],
)
def test_reasoning_goes_back_before_the_item_that_it_produced(
    output: list[Any], expected: list[str]
) -> None:
    assert expected == replayed(answer(*output))


def test_an_item_goes_back_as_it_came_and_with_nothing_of_ours() -> None:
    turn = answer(reasoning("rs_1", "why"), call())

    body, _warnings = sent(messages=conversation(turn))

    assert {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "why"}],
        "encrypted_content": "sealed",
    } == body["input"][1]


def test_an_item_without_id_and_summary_goes_back_too() -> None:
    bare = {"type": "reasoning", "encrypted_content": "sealed"}

    body, _warnings = sent(messages=conversation(answer(bare, call())))

    assert {**bare, "summary": []} == body["input"][1]


@pytest.mark.parametrize(
    "output",
    [
        [reasoning()],
        [message("Hi"), reasoning()],
        [reasoning(), {"type": "web_search_call"}, message("Hi")],
        [reasoning(), message()],
        [reasoning(sealed=""), message("Hi")],
        [{**reasoning(), "encrypted_content": None}, message("Hi")],
    ],
)
def test_reasoning_that_produced_nothing_to_send_back_is_not_kept(output: list[Any]) -> None:
    assert KEY not in answer(*output)


def test_a_refusal_is_what_reasoning_may_have_produced() -> None:
    body, _warnings = sent(messages=conversation(answer(reasoning(), refusal("no"))))

    assert ["reasoning", "message"] == [item["type"] for item in body["input"][1:3]]


LISTED = [{"type": "text", "text": "a"}]
OUTPUT_LISTED = [{"type": "output_text", "text": "a"}]


def changed(turn: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**deepcopy(turn), **changes}


def test_what_a_client_changed_costs_the_reasoning_and_nothing_else() -> None:
    turn = answer(reasoning(), message("a"), reasoning("rs_2"), call())
    tampered = deepcopy(turn)
    tampered[KEY]["reasoning"][0]["next"] = 1

    assert ["rs_1", "a", "rs_2", "call_1"] == replayed(turn)
    assert ["a", "call_1"] == replayed(tampered)
    assert ["a", "call_1"] == replayed(changed(turn, **{KEY: None}))
    # The order is not known any more: only what surely fits is kept.
    assert ["rs_1", "other", "call_1"] == replayed(changed(turn, content="other"))
    assert ["rs_1", OUTPUT_LISTED, "call_1"] == replayed(changed(turn, content=LISTED))
    assert ["rs_2", "call_1"] == replayed(changed(turn, content=None))


def test_a_call_that_the_client_left_out_takes_its_reasoning_along() -> None:
    turn = answer(reasoning(), call())

    assert ["Hi"] == replayed({"role": "assistant", "content": "Hi", KEY: turn[KEY]})


@pytest.mark.parametrize(
    ("kind", "changes", "kept"),
    [
        (OAI, {}, True),
        (OAI, {"base_url": "https://eu.api.openai.com/v1"}, False),
        (OAI, {"credential": CredentialRef(kind=CredentialKind.ENV, name="OTHER")}, False),
        (AZ, {}, False),
    ],
)
def test_reasoning_goes_back_only_to_whom_it_came_from(
    kind: Any, changes: dict[str, Any], kept: bool
) -> None:
    request = chat(messages=conversation(answer(reasoning(), call())), tools=[TOOL])

    prepared = adapter(kind, **changes).prepare(request, MODEL, "key")

    kinds = {item["type"] for item in decode(prepared.http.body)["input"]}
    assert kept is ("reasoning" in kinds)


def test_another_model_does_not_get_it_but_a_dated_name_of_the_same_does() -> None:
    request = chat(messages=conversation(answer(reasoning(), call())), tools=[TOOL])

    for model, kept in (("gpt-6", False), (f"{MODEL}-20260901", True)):
        body = decode(adapter(OAI).prepare(request, model, None).http.body)
        assert kept is any(item["type"] == "reasoning" for item in body["input"])


def test_chat_completions_never_get_it() -> None:
    request = chat(messages=conversation(answer(reasoning(), call())))

    body = decode(adapter(OAI).prepare(request, "gpt-4o", None).http.body)

    assert {"role", "tool_calls"} == body["messages"][1].keys()
