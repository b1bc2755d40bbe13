"""`switchgear demo` from end to end: the real command, real servers, and every sub-command."""

from __future__ import annotations

import io
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from click.testing import CliRunner, Result

from dataplane import codec
from switchgear.cli import main
from switchgear.demo.model import ANSWER, EMBEDDING_LENGTH, counted
from switchgear.demo.narrator import Narrator
from switchgear.demo.stage import open_stage
from switchgear.demo.story import StoryError, reckon, tell_story
from switchgear.demo.traffic import Totals

pytest.importorskip("xllamacpp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    process: subprocess.Popen[str]
    folder: Path
    url: str
    admin: str
    printed: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    with subprocess.Popen(
        [sys.executable, "-m", "switchgear", "demo", "--port=0", f"--dir={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": "/usr/bin:/bin", "OPENAI_API_KEY": "sk-very-secret", "HOME": str(folder)},
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if "Ctrl-C ends it all" in line:
                break
        urls = re.findall(r"http://127\.0\.0\.1:\d+", printed)
        try:
            assert "Ctrl-C ends it all" in printed, printed
            yield Demo(process=process, folder=folder, url=urls[0], admin=urls[1], printed=printed)
        finally:
            process.terminate()
            rest = process.stdout.read()
    assert 0 == process.returncode, rest
    assert rest.endswith("stopped\n")
    port = int(urls[0].rpartition(":")[2])
    with socket.socket() as probe:
        assert 0 != probe.connect_ex(("127.0.0.1", port))


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert 0 == result.exit_code, result.output
    return result


def test_the_introduction_names_what_to_call(demo: Demo) -> None:
    assert f"curl -N {demo.url}/v1/chat/completions" in demo.printed
    assert f'OpenAI(base_url="{demo.url}/v1"' in demo.printed
    assert "chat, embed, openai/gpt-4o-mini" in demo.printed
    assert "\x1b" not in demo.printed


def test_a_cloud_whose_key_is_there_is_added_by_reference(demo: Demo) -> None:
    written = "".join(
        path.read_text(errors="replace") for path in demo.folder.rglob("*.*") if path.is_file()
    )
    provider: Any = next(yaml.safe_load_all((demo.folder / "manifests/openai.yaml").read_text()))

    assert {"apiKey": {"env": "OPENAI_API_KEY"}} == provider["spec"]["credentials"]
    assert "sk-very-secret" not in written + demo.printed


def test_openai_s_client_gets_the_answer_the_stream_and_the_vectors(demo: Demo) -> None:
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="unused", max_retries=0) as client:
        plain = client.chat.completions.create(
            model="chat", messages=[{"role": "user", "content": "Hi"}]
        )
        with client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "count"}],
            max_tokens=50,
            stream=True,
        ) as stream:
            text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
        vector = client.embeddings.create(model="embed", input="a").data[0].embedding

    assert ANSWER == plain.choices[0].message.content
    assert counted(50) == text
    assert EMBEDDING_LENGTH == len(vector)


def test_chat_prints_the_answer_and_who_gave_it(demo: Demo) -> None:
    result = run("chat", "chat", "Hi", "--url", demo.url)

    assert ANSWER + "\n" == result.stdout
    assert "-- provider local-a, model tiny, attempts 1, " in result.stderr


def test_chat_with_an_unknown_model_is_told_in_words(demo: Demo) -> None:
    result = CliRunner().invoke(main, ["chat", "nope", "Hi", "--url", demo.url])

    assert 1 == result.exit_code
    assert "nope" in result.stderr
    assert "(HTTP 404)" in result.stderr


def test_get_shows_what_runs(demo: Demo) -> None:
    run("chat", "chat", "Hi", "--url", demo.url)
    providers = codec.decode(run("get", "providers", "-o", "json", "--admin", demo.admin).stdout)
    routes = run("get", "routes", "--admin", demo.admin).stdout.splitlines()
    targets = run("get", "targets", "-o", "wide", "--admin", demo.admin).stdout
    requests = run("get", "requests", "-o", "wide", "--admin", demo.admin).stdout

    assert ["local-a", "local-b", "openai"] == [p["name"] for p in providers["providers"]]
    assert ["NAME", "chat", "embed", "openai"] == [line.split()[0] for line in routes]
    assert re.search(r"^local-a +tiny +closed +yes ", targets, re.MULTILINE)
    assert "local-a served" in requests


def test_explain_knows_the_order_and_the_settings(demo: Demo) -> None:
    online = run("explain", "chat", "-o", "wide", "--admin", demo.admin).stdout
    offline = run("explain", "chat", "-o", "wide", f"--manifests={demo.folder / 'manifests'}")

    for text in (online, offline.stdout):
        assert re.search(r"^1 +local-a/tiny +yes +closed", text, re.MULTILINE)
        assert re.search(r"^2 +local-b/tiny +yes +closed", text, re.MULTILINE)
        assert re.search(r"^circuitBreaker.openFor +2s +2s$", text, re.MULTILINE)


def test_explain_of_an_unknown_model_fails(demo: Demo) -> None:
    result = CliRunner().invoke(main, ["explain", "nope", "--admin", demo.admin])

    assert 1 == result.exit_code
    assert "no route takes this model" in result.output


def test_its_manifests_are_valid(demo: Demo) -> None:
    assert "ok: 3 providers, 3 routes\n" == run("validate", str(demo.folder / "manifests")).stdout


def test_a_second_demo_at_the_same_port_says_so(demo: Demo) -> None:
    result = CliRunner().invoke(main, ["demo", f"--port={demo.url.rpartition(':')[2]}"])

    assert 1 == result.exit_code
    assert "--port 0" in result.output


def test_the_story_loses_no_request(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "switchgear", "demo", "--story", "--port=0", f"--dir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert 0 == told.returncode, told.stdout + told.stderr
    assert ANSWER in told.stdout
    sent = re.search(r"(\d+) requests sent", told.stdout)
    assert sent is not None
    assert int(sent[1]) > 50
    assert re.search(r"^ +0 lost$", told.stdout, re.MULTILINE)
    for line in (
        "local-b served",
        "closed -> open",
        'there is no provider "local-c"',
        "in force",
        "open -> half_open",
        "half_open -> closed",
    ):
        assert line in told.stdout


def test_a_story_that_is_interrupted_leaves_nothing_running(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "switchgear", "demo", "--story", "--port=0", f"--dir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if line.startswith("2. "):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert 130 == process.returncode, printed + rest
    for port in {int(found) for found in re.findall(r"http://127\.0\.0\.1:(\d+)", printed)}:
        with socket.socket() as probe:
            assert 0 != probe.connect_ex(("127.0.0.1", port))


def test_a_story_that_does_not_come_true_is_an_error(tmp_path: Path) -> None:
    """With the second server dead from the start, nothing can fail over."""
    out = io.StringIO()
    with open_stage(tmp_path, port=0, environment={}) as stage:
        stage.second.kill()
        with pytest.raises(StoryError, match=r"a request that failed over did not come in 0\.5 s"):
            tell_story(stage, Narrator(out, colour=False), patience_s=0.5)

    assert "1. A streamed answer" in out.getvalue()


def test_the_count_names_each_loss() -> None:
    out = io.StringIO()
    totals = Totals(sent=9, answered=7, interrupted=1, lost=1)
    reckon(totals, ["HTTP 503 (local-a circuit_open)"], Narrator(out, colour=False))

    assert [
        "9 requests sent",
        "7 answered in full, each compared to the last letter",
        "1 interrupted in mid-stream, told so, and asked again",
        "1 lost",
        "lost: HTTP 503 (local-a circuit_open)",
    ] == [line.strip() for line in out.getvalue().splitlines()[2:]]


def test_streams_that_break_without_a_dead_server_are_not_forgiven() -> None:
    totals = Totals(sent=20, answered=15, interrupted=5, lost=0)

    with pytest.raises(StoryError, match="more streams broke"):
        reckon(totals, [], Narrator(io.StringIO(), colour=False))
