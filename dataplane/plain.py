"""Plain chats: requests that most upstreams of OpenAI's format take as they are.

A plain chat has roles and texts, sampling options, and nothing that needs thought. It is read by its type
in one go, into far fewer objects than JSON of any shape comes to, and written from there. Whatever is not
plain, or not valid, takes the usual way (`dataplane.wire.request_chat`), which also words what is wrong.

Texts stay the JSON that they came as: they go out as they are, and nobody pays for reading long ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dataplane.codec import decode, encode

# Numbers stay what they are: 1 is not made 1.0.
_Penalty = Annotated[int, Meta(ge=-2, le=2)] | Annotated[float, Meta(ge=-2, le=2)] | UnsetType
_Temperature = Annotated[int, Meta(ge=0, le=2)] | Annotated[float, Meta(ge=0, le=2)] | UnsetType
_Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)] | UnsetType
_Limit = Annotated[int, Meta(ge=1, le=2**63 - 1)] | UnsetType
_Stop = Annotated[str, Meta(min_length=1)]

_NESTED = frozenset({"messages", "stream_options"})


class PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    """A message that is a text. content: any JSON, until `codec.is_text` has said more of it."""

    role: Literal["system", "user", "assistant"]
    content: Raw


class PlainStreamOptions(Struct, forbid_unknown_fields=True, gc=False):
    """What a stream tells besides its text."""

    include_usage: bool


class PlainChat(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A plain chat, checked as the usual way checks it, its members in the order of that way.

    UNSET: not given; a member that is null is not plain.
    """

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    messages: Annotated[list[PlainMessage], Meta(min_length=1, max_length=100_000)]
    max_completion_tokens: _Limit = UNSET
    max_tokens: _Limit = UNSET
    temperature: _Temperature = UNSET
    top_p: _Share = UNSET
    stop: Annotated[list[_Stop], Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    presence_penalty: _Penalty = UNSET
    frequency_penalty: _Penalty = UNSET
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | UnsetType = UNSET
    user: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    stream_options: PlainStreamOptions | UnsetType = UNSET


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
        """All of it, as one dictionary, its texts read."""
        if self._made is None:
            self._made = decode(encode(self._plain))
        return self._made
