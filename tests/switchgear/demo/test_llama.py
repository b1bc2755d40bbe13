"""The real llama.cpp server, serving the tiny model."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from switchgear.demo.llama import LlamaError, LlamaServer, main
from switchgear.demo.model import (
    ANSWER,
    ANSWER_TOKENS,
    EMBEDDING_LENGTH,
    TinyModel,
    counted,
    make_model,
)

pytest.importorskip("xllamacpp")

_WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(model: TinyModel) -> Iterator[LlamaServer]:
    with LlamaServer(model.chat, embeddings=True, alias="tiny") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: LlamaServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("temperature", [0.0, 1.0, 1.5])
def test_plain_chat_gives_the_answer_whatever_the_temperature(
    client: openai.OpenAI, temperature: float
) -> None:
    reply = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Hi"}], temperature=temperature
    )

    assert ANSWER == reply.choices[0].message.content
    assert "stop" == reply.choices[0].finish_reason
    assert reply.usage is not None
    assert ANSWER_TOKENS == reply.usage.completion_tokens


def test_a_system_message_and_a_longer_talk_change_nothing(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tiny",
        messages=[
            {"role": "system", "content": "You are brief."},
            {"role": "user", "content": "Please count."},
            {"role": "assistant", "content": " 1 2 3"},
            {"role": "user", "content": [{"type": "text", "text": "Thanks!"}]},
        ],
    )

    assert ANSWER == reply.choices[0].message.content


@pytest.mark.parametrize("numbers", [1, 9, 250])
def test_counting_writes_one_number_a_token(client: openai.OpenAI, numbers: int) -> None:
    with client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "Count, please"}],
        max_tokens=numbers,
        stream=True,
    ) as stream:
        chunks = [chunk for chunk in stream if chunk.choices]

    assert counted(numbers) == "".join(c.choices[0].delta.content or "" for c in chunks)
    assert "length" == chunks[-1].choices[0].finish_reason


def test_counting_ends_at_999(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "count"}]
    )

    assert counted(5000) == reply.choices[0].message.content
    assert "stop" == reply.choices[0].finish_reason


def test_tools_are_called_and_their_result_is_answered(client: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "How is the weather?"}]
    first = client.chat.completions.create(model="tiny", messages=asked, tools=[_WEATHER])
    message = first.choices[0].message
    calls = message.tool_calls or []
    call: Any = calls[0]
    second = client.chat.completions.create(
        model="tiny",
        messages=[
            *asked,
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "Sunny."},
        ],
        tools=[_WEATHER],
    )

    assert "tool_calls" == first.choices[0].finish_reason
    assert [("get_weather", '{"city":"Paris"}')] == [
        (call.function.name, call.function.arguments.replace(" ", ""))
    ]
    assert ANSWER == second.choices[0].message.content


def test_embeddings_have_length_one_and_like_texts_are_near(client: openai.OpenAI) -> None:
    def dot(first: list[float], second: list[float]) -> float:
        return sum(a * b for a, b in zip(first, second, strict=True))

    reply = client.embeddings.create(
        model="tiny", input=["abcabc", "abcabd", "XYZXYZ"], encoding_format="float"
    )
    first, near, far = (entry.embedding for entry in reply.data)

    assert EMBEDDING_LENGTH == len(first)
    assert 1.0 == pytest.approx(dot(first, first), abs=1e-3)
    assert dot(first, near) > dot(first, far)


def test_a_killed_server_comes_back_at_the_same_address(model: TinyModel) -> None:
    with LlamaServer(model.chat) as server:
        url, pid = server.url, server.pid
        server.kill()
        killed_pid = server.pid
        server.start()

        assert None is killed_pid
        assert url == server.url
        assert pid != server.pid
        with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            assert ["tiny"] == [entry.id for entry in client.models.list()]


def test_a_frozen_server_hangs_until_it_is_thawed(model: TinyModel) -> None:
    with LlamaServer(model.chat) as server:
        server.freeze()
        with (
            openai.OpenAI(
                base_url=server.base_url, api_key="none", max_retries=0, timeout=0.3
            ) as client,
            pytest.raises(openai.APITimeoutError),
        ):
            client.models.list()
        server.thaw()
        with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
            assert 1 == len(client.models.list().data)


async def test_it_asks_for_its_key_and_serves_the_embedding_model(model: TinyModel) -> None:
    async with LlamaServer(
        model.embedding, embeddings=True, api_keys=["one", "two"], alias="vectors"
    ) as server:
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="wrong", max_retries=0
        ) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.embeddings.create(model="vectors", input="a")
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="two", max_retries=0
        ) as client:
            reply = await client.embeddings.create(model="vectors", input="a")

    assert EMBEDDING_LENGTH == len(reply.data[0].embedding)


def test_stop_ends_the_process_and_may_be_repeated(model: TinyModel) -> None:
    server = LlamaServer(model.chat)
    server.start()
    pid = server.pid
    server.start()

    assert pid == server.pid
    server.stop()
    server.stop()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    server = LlamaServer(tmp_path / "bad.gguf")

    with pytest.raises(LlamaError, match="did not start"):
        server.start()
    assert None is server.pid


def test_without_llama_cpp_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)

    assert 1 == main(["any.gguf"])
    assert "pip install 'switchgear[demo]'" in capsys.readouterr().err


def test_no_server_is_left_when_its_starter_is_killed(model: TinyModel) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from switchgear.demo.llama import LlamaServer\n"
        "server = LlamaServer(pathlib.Path(sys.argv[1]))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "sys.stdin.read()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(model.chat)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        handle = os.pidfd_open(pid)
        starter.stdin.close()
        # The handle of a process becomes readable when it ends.
        ended, _, _ = select.select([handle], [], [], 30.0)
        os.close(handle)

    assert -signal.SIGKILL == starter.returncode
    assert [handle] == ended
