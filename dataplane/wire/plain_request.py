"""Reads plain chats by their type; see `dataplane.plain`."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Raw

from dataplane.codec import is_text, matcher
from dataplane.plain import PlainBody, PlainChat
from dataplane.provider import Feature, Operation, Request

_match: Final = matcher(PlainChat)
_FEATURES: Final = frozenset({Feature.CHAT})
_EMPTY: Final = Raw(b'""')


def read_plain(body: bytes) -> Request | None:
    """Read a chat that is plain, else give None.

    shape: at most one system message, and that first; then texts of user and assistant, none of the
        assistant's empty, and the user's turn last. Its `body` is the same as the usual way's.
    """
    plain = _match(body)
    if plain is None or not _is_plain(plain):
        return None
    options = plain.stream_options
    return Request(
        operation=Operation.CHAT,
        model=plain.model,
        body=PlainBody(plain),
        stream=plain.stream is True,
        include_usage=options is not UNSET and options.include_usage,
        features=_FEATURES,
        plain=plain,
    )


def _is_plain(plain: PlainChat) -> bool:
    """Check what a type cannot say."""
    last = plain.messages[-1]
    for message in plain.messages:
        if not is_text(message.content):
            return False
        if message.role == "system":
            if message is not plain.messages[0]:
                return False
        elif message.role == "assistant" and message.content == _EMPTY:
            return False
    return (
        last.role == "user"
        and plain.model.isprintable()
        and (plain.stream is True or plain.stream_options is UNSET)
        and (plain.max_tokens is UNSET or plain.max_completion_tokens is UNSET)
    )
