"""Plain chats: requests that most upstreams of OpenAI's format take as they are.

A plain chat has roles and texts, sampling options, and nothing that needs thought. It is read by its type
in one go, into far fewer objects than JSON of any shape comes to, and written from there. Whatever is not
plain, or not valid, takes the usual way (`dataplane.wire.request_chat`), which also words what is wrong.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

# Numbers stay what they are: 1 is not made 1.0.
_Penalty = Annotated[int, Meta(ge=-2, le=2)] | Annotated[float, Meta(ge=-2, le=2)] | UnsetType
_Temperature = Annotated[int, Meta(ge=0, le=2)] | Annotated[float, Meta(ge=0, le=2)] | UnsetType
_Share = Annotated[int, Meta(ge=0, le=1)] | Annotated[float, Meta(ge=0, le=1)] | UnsetType
_Limit = Annotated[int, Meta(ge=1, le=2**63 - 1)] | UnsetType
_Stop = Annotated[str, Meta(min_length=1)]


class PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    """A message that is a text."""

    role: Literal["system", "user", "assistant"]
    content: str


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
