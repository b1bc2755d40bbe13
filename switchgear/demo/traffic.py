"""Steady traffic whose every answer is checked: what is counted as answered was right to the byte.

Each caller asks the model to count, plainly and streamed in turn, and compares the text with
what it must be. So an answer that is cut, doubled or spliced is seen, not only one that failed.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from switchgear import client
from switchgear.demo.model import counted

_LONGEST_BODY: Final = 1 << 20
_TIMEOUT_S: Final = 20.0
# Numbers that a request asks for: short and longer answers in turn.
_LENGTHS: Final = (8, 40, 120, 20, 200)


class Verdict(StrEnum):
    """How a request ended.

    ANSWERED: in full and right. INTERRUPTED: a stream that had begun to speak broke, and its
    caller was told so by an error event; it may ask again. LOST: anything else.
    """

    ANSWERED = "answered"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One request as its caller saw it. at_s: monotonic time of its end.

    provider, attempts, fallback: the answer's headers x-switchgear-provider, -attempts and
    -fallback-reason; empty or 0 if they are missing.
    """

    verdict: Verdict
    stream: bool
    at_s: float
    took_s: float
    provider: str = ""
    attempts: int = 0
    fallback: str = ""
    request_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What became of all requests; those that were interrupted asked again and count once more."""

    sent: int
    answered: int
    interrupted: int
    lost: int


class Traffic:
    """Callers that ask at a steady pace, each in a thread of its own, until `stop`."""

    def __init__(self, url: str, model: str, *, callers: int = 4, pause_s: float = 0.05) -> None:
        """Keep the settings; `start` begins. pause_s: between two requests of a caller."""
        self._url = url
        self._model = model
        self._pause_s = pause_s
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._results: list[Result] = []
        self._threads = [
            threading.Thread(target=self._call, args=(number,), daemon=True)
            for number in range(callers)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each caller finish its request, and end."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def results(self, since: int = 0) -> Sequence[Result]:
        """Return the results from number `since` on, in the order they ended."""
        with self._lock:
            return self._results[since:]

    def totals(self) -> Totals:
        """Count."""
        results = self.results()
        count = {v: sum(r.verdict is v for r in results) for v in Verdict}
        return Totals(
            sent=len(results),
            answered=count[Verdict.ANSWERED],
            interrupted=count[Verdict.INTERRUPTED],
            lost=count[Verdict.LOST],
        )

    def _call(self, number: int) -> None:
        turn = number
        interrupted = False
        # Whoever was interrupted asks again at once, also if the traffic is about to stop.
        while interrupted or not self._stopped.is_set():
            numbers = _LENGTHS[turn % len(_LENGTHS)]
            result = ask(self._url, self._model, numbers, stream=bool(turn % 2))
            with self._lock:
                self._results.append(result)
            interrupted = result.verdict is Verdict.INTERRUPTED
            if not interrupted:
                turn += 1
                self._stopped.wait(self._pause_s)


def ask(url: str, model: str, numbers: int, *, stream: bool) -> Result:
    """Ask for a count of `numbers` through the data port at `url`, and judge the answer."""
    payload = {
        "model": model,
        "messages": [{"role": "user", "content": "count"}],
        "max_tokens": numbers,
        "stream": stream,
    }
    started_s = time.monotonic()
    headers: Mapping[str, str] = {}
    try:
        with client.open_url(
            f"{url}/v1/chat/completions", payload=payload, timeout_s=_TIMEOUT_S
        ) as reply:
            headers = reply.headers
            judge: Callable[[Any, str], tuple[Verdict, str]] = (
                _judge_stream if stream else _judge_answer
            )
            if reply.status == 200:
                verdict, detail = judge(reply.body, counted(numbers))
            else:
                body = reply.body.read(_LONGEST_BODY)
                verdict, detail = Verdict.LOST, client.error_message(reply.status, body)
    except client.ClientError as error:
        verdict, detail = Verdict.LOST, error.message
    now_s = time.monotonic()
    attempts = headers.get("x-switchgear-attempts", "")
    return Result(
        verdict=verdict,
        stream=stream,
        at_s=now_s,
        took_s=now_s - started_s,
        provider=headers.get("x-switchgear-provider", ""),
        attempts=int(attempts) if attempts.isdigit() else 0,
        fallback=headers.get("x-switchgear-fallback-reason", ""),
        request_id=headers.get("x-request-id", ""),
        detail=detail,
    )


def _judge_answer(body: http.client.HTTPResponse, expected: str) -> tuple[Verdict, str]:
    match client.decode(body.read(_LONGEST_BODY), "the data port"):
        case {"choices": [{"message": {"content": str(text)}}]} if text == expected:
            return Verdict.ANSWERED, ""
        case _:
            return Verdict.LOST, "the answer is not the count that was asked for"


def _judge_stream(body: http.client.HTTPResponse, expected: str) -> tuple[Verdict, str]:
    text, finished = "", False
    for event in client.events(body):
        if event == b"[DONE]":
            if finished and text == expected:
                return Verdict.ANSWERED, ""
            return Verdict.LOST, "the stream ended with another text than it had to"
        match client.decode(event, "the data port"):
            case {"error": {"message": str(message)}}:
                if text and expected.startswith(text):
                    return Verdict.INTERRUPTED, message
                return Verdict.LOST, f"an error before any text: {message}"
            case {"choices": [{"delta": dict(delta)} as choice, *_]}:
                text += str(delta.get("content") or "")
                finished = finished or bool(choice.get("finish_reason"))
            case _:
                pass
    return Verdict.LOST, "the stream broke off, and its caller was not told"
