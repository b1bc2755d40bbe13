"""A small HTTP server that answers what a test tells it to; for the command's tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dataplane import codec


class Canned:
    """What to answer, by path with its query; `requests` are the bodies that came, `came` counts them."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        """answers: path -> JSON value, or (status, headers, bytes)."""
        self.answers = dict(answers)
        self.requests: list[bytes] = []
        self.came = threading.Semaphore(0)
        self.url = ""


@contextmanager
def canned(answers: Mapping[str, Any]) -> Iterator[Canned]:
    state = Canned(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            state.requests.append(self.rfile.read(int(self.headers["content-length"])))
            state.came.release()
            self._answer()

        def _answer(self) -> None:
            answer = state.answers.get(self.path, (404, {}, b"no such page"))
            status, headers, body = (
                answer if isinstance(answer, tuple) else (200, {}, codec.encode(answer))
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "ready": True,
    "generation": 3,
    "source": {"kind": "files", "path": "/etc/manifests", "state": "synced"},
    "problems": [],
    "providers": [
        {
            "name": "local-a",
            "type": "VLLM",
            "baseUrl": "http://127.0.0.1:8000/v1",
            "suspend": False,
            "healthy": False,
            "healthDetail": "connect failed",
            "credential": "none",
            "credentialOpenSeconds": None,
            "inFlight": 0,
            "maxInFlight": 256,
            "targets": [
                {
                    "model": "tiny",
                    "state": "open",
                    "reopenInSeconds": 12.4,
                    "cooldownSeconds": None,
                    "inFlight": 0,
                    "latencyMs": 8.25,
                    "consecutiveFailures": 3,
                    "trips": 1,
                    "lastError": "connection",
                    "lastErrorAgeSeconds": 75.0,
                    "rampPercent": None,
                    "successes": 40,
                    "failures": 3,
                    "available": False,
                    "refusal": "circuit_open",
                },
                {
                    "model": "big",
                    "state": "closed",
                    "reopenInSeconds": None,
                    "cooldownSeconds": 2.0,
                    "inFlight": 0,
                    "latencyMs": 1234.0,
                    "consecutiveFailures": 0,
                    "trips": 0,
                    "lastError": "",
                    "lastErrorAgeSeconds": None,
                    "rampPercent": 25,
                    "successes": 2,
                    "failures": 0,
                    "available": False,
                    "refusal": "cooldown",
                },
            ],
        },
        {
            "name": "cloud",
            "type": "OpenAI",
            "baseUrl": "https://api.openai.com/v1",
            "suspend": False,
            "healthy": True,
            "healthDetail": "",
            "credential": "present",
            "credentialOpenSeconds": 61.0,
            "inFlight": 2,
            "maxInFlight": 256,
            "targets": [
                {
                    "model": "gpt-4o-mini",
                    "state": "closed",
                    "inFlight": 2,
                    "latencyMs": None,
                    "available": True,
                    "refusal": "",
                }
            ],
        },
        {
            "name": "parked",
            "type": "Ollama",
            "baseUrl": "http://127.0.0.1:11434",
            "suspend": True,
            "healthy": None,
            "credential": "none",
            "inFlight": 0,
            "maxInFlight": 16,
            "targets": [],
        },
    ],
    "routes": [
        {
            "name": "chat",
            "models": ["chat", "gpt-4o*"],
            "strategy": "PriorityWithFallback",
            "targets": [
                {"provider": "local-a", "model": "tiny", "priority": 1, "weight": 1},
                {"provider": "cloud", "model": "gpt-4o-mini", "priority": 2, "weight": 1},
            ],
        }
    ],
}

REQUESTS: dict[str, Any] = {
    "requests": [
        {
            "at": 1_790_000_001.0,
            "id": "req-2",
            "model": "chat",
            "route": "chat",
            "stream": True,
            "outcome": "served",
            "status": 200,
            "path": ["local-a:circuit_open", "cloud:served"],
            "durationMs": 812.0,
        },
        {
            "at": 1_790_000_000.0,
            "id": "req-1",
            "model": "chat",
            "route": "chat",
            "stream": False,
            "outcome": "failed",
            "status": 502,
            "path": ["local-a:503"],
            "durationMs": 3.5,
        },
    ]
}
