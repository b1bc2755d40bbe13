"""`switchgear chat`: one streamed request through the data port, shown as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from switchgear import client
from switchgear.cli_params import CONTEXT, data_option

_SILENCE_S: Final = 120.0
_LONGEST_ERROR: Final = 64 * 1024


@click.command(context_settings=CONTEXT)
@click.argument("model")
@click.argument("text")
@click.option("--system", metavar="TEXT", help="A system message to send before.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="The longest answer, in tokens.")
@data_option
def chat(model: str, text: str, system: str | None, max_tokens: int | None, url: str) -> None:
    """Send TEXT to MODEL, print the answer as it comes, then who gave it.

    TEXT `-` reads the message from standard input. Exit code 1 if the answer is not complete.
    """
    message = sys.stdin.read() if text == "-" else text
    payload: dict[str, Any] = {
        "model": model,
        "messages": [
            *([{"role": "system", "content": system}] if system else []),
            {"role": "user", "content": message},
        ],
        "stream": True,
    }
    if max_tokens is not None:
        payload["max_tokens"] = max_tokens
    headers, took_s = stream_chat(url, payload, lambda piece: click.echo(piece, nl=False))
    click.echo()
    click.echo(f"-- {summary(headers, took_s)}", err=True)


def stream_chat(
    url: str, payload: Mapping[str, Any], show: Callable[[str], None]
) -> tuple[Mapping[str, str], float]:
    """Make one streamed chat request; give its response headers, and seconds it took.

    show: gets each piece of text; tool calls come as their name and arguments. Raises ClientError
    for error answers, error events, and streams without an end mark.
    """
    started = time.monotonic()
    endpoint = url.rstrip("/") + "/v1/chat/completions"
    with client.open_url(endpoint, payload=payload, timeout_s=_SILENCE_S) as reply:
        if reply.status != 200:
            body = reply.body.read(_LONGEST_ERROR)
            path = reply.headers.get("x-switchgear-fallback-reason", "")
            raise client.ClientError(
                client.error_message(reply.status, body) + (f"; tried: {path}" if path else ""),
                status=reply.status,
            )
        ended = False
        for event in client.events(reply.body):
            if event == b"[DONE]":
                ended = True
                break
            _show_event(client.decode(event, endpoint), show)
        if not ended:
            raise client.ClientError("the stream broke off before its end mark")
        return reply.headers, time.monotonic() - started


def summary(headers: Mapping[str, str], took_s: float) -> str:
    """Write who answered, in one line."""
    parts = [
        f"provider {headers.get('x-switchgear-provider', 'unknown')}",
        f"model {headers.get('x-switchgear-model', 'unknown')}",
        f"attempts {headers.get('x-switchgear-attempts', '?')}",
        f"{took_s * 1000:.0f} ms",
    ]
    for name, words in (
        ("x-switchgear-fallback-reason", "fell back:"),
        ("x-switchgear-warnings", "warnings:"),
        ("x-request-id", "request"),
    ):
        if headers.get(name):
            parts.append(f"{words} {headers[name]}")
    return ", ".join(parts)


def _show_event(chunk: Any, show: Callable[[str], None]) -> None:
    match chunk:
        case {"error": {"message": str(message)}}:
            raise client.ClientError(f"the stream broke off: {message}")
        case {"choices": [{"delta": dict(delta)}, *_]}:
            for key in ("reasoning_content", "content", "refusal"):
                if delta.get(key):
                    show(str(delta[key]))
            for call in delta.get("tool_calls") or []:
                function = call.get("function") or {}
                show(str(function.get("name") or "") + str(function.get("arguments") or ""))
        case _:
            pass
