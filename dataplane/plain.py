"""Plain chats: requests that most upstreams of OpenAI's format take as they are, and their answers.

A plain chat has roles and texts, sampling options, and nothing that needs thought. It is read by its type
in one go, into far fewer objects than JSON of any shape comes to, and written from there. Whatever is not
plain, or not valid, takes the usual way (`dataplane.wire.request_chat`), which also words what is wrong.

A plain answer says texts, each to its end, in the one shape that callers get. What it is made of is
checked to the last key of a message, so that whatever an upstream does otherwise takes the usual way
(`dataplane.wire.openai_answer`), which knows what to do about it.

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
_Count = Annotated[int, Meta(ge=0)]
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


def whole_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a body as what is quickest to ask for many members."""
    return body.whole if isinstance(body, PlainBody) else body


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["assistant"]
    content: Raw
    refusal: None = None
    annotations: Raw = Raw()
    # A null of it is left out, which is a change.
    reasoning_content: str | UnsetType = UNSET


class _Choice(Struct, forbid_unknown_fields=True, gc=False):
    index: int
    message: _Message
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: Raw = Raw()


class _InputDetails(Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    created_cache_tokens: _Count | None = None


class _OutputDetails(Struct, gc=False):
    reasoning_tokens: _Count | None = None


class PlainUsage(Struct, gc=False):
    """What a plain answer has used, in tokens."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class PlainAnswer(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A whole chat completion of which only the model's name may change."""

    id: Annotated[str, Meta(min_length=1)]
    object: Literal["chat.completion"]
    created: int
    model: Annotated[str, Meta(min_length=1)]
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: PlainUsage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
