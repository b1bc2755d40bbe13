"""Canaries are planted wherever a secret or a prompt may be, and looked for in all that leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.table import snapshot
from tests import sink as receiver
from tests.e2e.process import sidecar
from tests.e2e.test_faults import SSE, chunk, unary
from tests.raw import head, raw_server

KEYS = {
    "env": "sk-canary-env-0123456789abcdef",
    "file": "sk-canary-file-0123456789abcdef",
    "mounted": "sk-canary-mounted-0123456789abcdef",
}
PROMPT = "canary-prompt-5c1a"
TOOL = "canary-tool-argument-77e2"
INBOUND = "sk-canary-inbound-0123456789abcdef"
QUERY = "canary-query-90bb"
UPSTREAM = "canary-upstream-message-3f3f"

ERROR = json.dumps(
    {"error": {"message": f"Incorrect key {KEYS['env']} {UPSTREAM}", "code": "invalid_api_key"}}
).encode()
ANSWERS = {
    "unauthorized": b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(ERROR), ERROR),
    "failing": b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(ERROR), ERROR),
    "broken": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{" + UPSTREAM.encode()[:8],
    "error event": SSE + b"data: " + ERROR + b"\n\n",
    "dying": SSE + chunk("", role="assistant") + chunk("one") + b"data: " + ERROR + b"\n\n",
    "good": unary(),
}


def manifests(folder: Path, url: str, keys: dict[str, object]) -> None:
    folder.mkdir()
    documents: list[object] = []
    for name, ref in keys.items():
        documents.append(
            {
                "apiVersion": "switchgear.dev/v1alpha1",
                "kind": "LLMProvider",
                "metadata": {"name": f"by-{name}"},
                "spec": {
                    "type": "OpenAI",
                    "baseUrl": f"{url}/v1",
                    "credentials": {"apiKey": ref},
                    "timeouts": {"firstEvent": "2s"},
                },
            }
        )
        documents.append(
            {
                "apiVersion": "switchgear.dev/v1alpha1",
                "kind": "LLMRoute",
                "metadata": {"name": name},
                "spec": {
                    "models": [name],
                    "targets": [{"provider": f"by-{name}", "model": "m"}],
                    "retry": {"attempts": 1},
                },
            }
        )
    (folder / "all.yaml").write_text("\n---\n".join(json.dumps(item) for item in documents))


def planted() -> Iterator[str]:
    yield from KEYS.values()
    yield from (PROMPT, TOOL, INBOUND, QUERY, UPSTREAM)


async def test_no_secret_and_no_content_leaves_the_process(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    (secrets / "llm").mkdir(parents=True)
    (secrets / "llm" / "key").write_text(KEYS["mounted"] + "\n")
    (tmp_path / "key").write_text(KEYS["file"])
    refs: dict[str, object] = {
        "env": {"env": "CANARY"},
        "file": {"file": str(tmp_path / "key")},
        "mounted": {"secretKeyRef": {"name": "llm", "key": "key"}},
    }
    seen: list[bytes] = []
    answer = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(answer)
        await writer.drain()

    shown: list[str] = []
    async with raw_server(talk) as url, receiver.running() as sink:
        manifests(tmp_path / "m", url, refs)
        async with sidecar(
            tmp_path / "m",
            tmp_path / "state",
            f"--secrets-root={secrets}",
            "--log-level=debug",
            environ={
                "CANARY": KEYS["env"],
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
                "OTEL_BSP_SCHEDULE_DELAY": "50",
            },
        ) as process:
            requests = 0
            for model in refs:
                for answer in ANSWERS.values():  # noqa: B007 - `talk` reads it
                    for stream in (False, True):
                        body = {
                            "model": model,
                            "stream": stream,
                            "user": PROMPT,
                            "messages": [{"role": "user", "content": PROMPT}],
                            "tools": [
                                {"type": "function", "function": {"name": "f", "description": TOOL}}
                            ],
                        }
                        async with process.http.post(
                            f"{process.url}/v1/chat/completions?secret={QUERY}",
                            json=body,
                            headers={
                                "authorization": f"Bearer {INBOUND}",
                                "x-api-key": INBOUND,
                                "cookie": INBOUND,
                            },
                        ) as response:
                            shown.append(str(response.headers))
                            shown.append((await response.read()).decode())
                        requests += 1
            for bad in ('{"model": "' + PROMPT, "[" * 9999 + PROMPT, json.dumps({"x": PROMPT})):
                async with process.http.post(
                    f"{process.url}/v1/chat/completions", data=bad
                ) as response:
                    shown.append(str(response.headers))
            for path in ("status", "table", "requests?limit=256", "explain?model=env", "readyz"):
                async with process.http.get(f"{process.admin_url}/{path}") as response:
                    shown.append(await response.text())
            await sink.wait_for_spans(requests)
            shown.append(process.log)
        shown.extend(str(received.message) for received in sink.received)
        shown.extend(received.raw.decode("latin-1") for received in sink.received)
    on_disk = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    shown.extend(path.read_text() for path in on_disk)

    everything = "\n".join(shown)
    assert [] == [canary for canary in planted() if canary in everything]
    # The canaries were there: each key went to its upstream, and so did the prompt.
    sent = b"".join(seen).decode()
    assert all(key in sent for key in KEYS.values())
    assert PROMPT in sent
    assert TOOL in sent
    # And a caller's own credentials, cookies and query went nowhere.
    assert INBOUND not in sent
    assert QUERY not in sent
    assert on_disk
    assert snapshot.decode(on_disk[0].read_bytes()).providers


@pytest.mark.parametrize("value", ["", "two\nlines", "\N{SNOWMAN}"])
async def test_a_key_that_cannot_be_used_is_a_reason_to_skip(tmp_path: Path, value: str) -> None:
    (tmp_path / "key").write_text(value)

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with raw_server(talk) as url:
        manifests(tmp_path / "m", url, {"chat": {"file": str(tmp_path / "key")}})
        async with sidecar(tmp_path / "m", tmp_path / "state") as process:
            status, body = await process.ask()
            document = await process.status()
            async with process.http.get(f"{process.admin_url}/explain?model=chat") as response:
                (target,) = (await response.json())["targets"]

    assert 503 == status
    assert "overloaded" == json.loads(body)["error"]["code"]
    assert "missing" == document["providers"][0]["credential"]
    assert "credential_missing" == target["reason"]
