"""OpenAI's own client reads what comes out of the golden streams and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from dataplane.codec import decode

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDERS = ("openai", "azure_openai", "vllm", "ovhcloud", "scaleway", "mistral")

# Finishes that the client takes for its caller's business.
_REFUSES: Mapping[str, type[Exception]] = {
    "length": openai.LengthFinishReasonError,
    "content_filter": openai.ContentFilterFinishReasonError,
}


def _files(kind: str, ending: str) -> list[Path]:
    found = [
        path
        for folder in FOLDERS
        for path in sorted((GOLDEN / folder / kind).glob(f"*{ending}"))
        if not {"text", "embed", "legacy"} & set(path.name.split(".")[0].split("+"))
    ]
    assert found
    return found


@pytest.mark.parametrize("path", _files("streams", ".out.sse"), ids=str)
def test_the_client_adds_a_stream_up(path: Path) -> None:
    events = path.read_bytes().split(b"\n\n")
    ended_well = b": done\n" == events.pop()
    state = ChatCompletionStreamState()
    for event in events:
        chunk = ChatCompletionChunk.model_validate(decode(event.removeprefix(b"data: ")))
        state.handle_chunk(chunk)
    if not ended_well:
        return
    finish = state.current_completion_snapshot.choices[0].finish_reason
    if refused := _REFUSES.get(finish):
        with pytest.raises(refused):
            state.get_final_completion()
        return

    completion = state.get_final_completion()

    message = completion.choices[0].message
    assert "assistant" == message.role
    assert "route" == completion.model
    calls = message.tool_calls or []
    assert bool(calls) is ("tool_calls" == completion.choices[0].finish_reason)
    assert message.content or calls
    for call in calls:
        assert "function" == call.type
        assert "get_time" == call.function.name
        decode(call.function.arguments)
    assert (completion.usage is not None) is ("+usage" in path.name)


@pytest.mark.parametrize("path", _files("answers", ".out.json"), ids=str)
def test_the_client_reads_a_whole_answer(path: Path) -> None:
    body = decode(path.read_bytes())
    if "failed" in body:
        return

    completion = ChatCompletion.model_validate(body)

    assert "route" == completion.model
    assert completion.choices[0].message.tool_calls != []
