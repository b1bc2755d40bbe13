"""Reads plain chats by their type; see `dataplane.plain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET, to_builtins

from dataplane.codec import matcher
from dataplane.plain import PlainChat
from dataplane.provider import Feature, Operation, Request

_match = matcher(PlainChat)
_FEATURES = frozenset({Feature.CHAT})
_NESTED = frozenset({"messages", "stream_options"})


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
        if message.role == "system":
            if message is not plain.messages[0]:
                return False
        elif not message.content and message.role == "assistant":
            return False
    return (
        last.role == "user"
        and plain.model.isprintable()
        and (plain.stream is True or plain.stream_options is UNSET)
        and (plain.max_tokens is UNSET or plain.max_completion_tokens is UNSET)
    )


class PlainBody(Mapping[str, Any]):
    """The body of a plain chat, made when somebody asks for more than an option of it."""

    __slots__ = ("_made", "_plain")

    def __init__(self, plain: PlainChat) -> None:
        """Make nothing yet."""
        self._plain = plain
        self._made: Mapping[str, Any] | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """Give a member, and make nothing if it is an option or not there."""
        if name in _NESTED:
            return self.whole.get(name, default)
        value = getattr(self._plain, name, UNSET)
        return default if value is UNSET else value

    def __contains__(self, name: object) -> bool:
        """Tell whether a member is there."""
        return isinstance(name, str) and self.get(name) is not None

    def __getitem__(self, name: str) -> Any:
        """Give a member. Raises KeyError."""
        return self.whole[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the members."""
        return iter(self.whole)

    def __len__(self) -> int:
        """Count the members."""
        return len(self.whole)

    @property
    def whole(self) -> Mapping[str, Any]:
        """All of it, as one dictionary."""
        if self._made is None:
            self._made = to_builtins(self._plain)
        return self._made
