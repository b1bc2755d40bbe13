"""Reads plain answers by their type: whole chat completions in which nothing is to be changed.

A plain answer says texts, each to its end, in the one shape that callers get. What it is made of is
checked to the last key of a message, so that whatever an upstream does otherwise takes the usual way
(`dataplane.wire.openai_answer`), which knows what to do about it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from dataplane.codec import is_text, matcher
from dataplane.provider import ResponseFacts, Usage

_Count = Annotated[int, Meta(ge=0)]


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


class _Usage(Struct, gc=False):
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
    usage: _Usage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None

    def facts(self) -> ResponseFacts:
        """Tell what the answer says of itself."""
        usage = self.usage
        return ResponseFacts(
            response_id=self.id,
            finish_reasons={choice.index: choice.finish_reason for choice in self.choices},
            usage=None if usage is None else _told(usage),
        )


_match = matcher(PlainAnswer)


def match_plain(body: bytes) -> PlainAnswer | None:
    """Read an answer that is plain, else give None."""
    plain = _match(body)
    if plain is None:
        return None
    for choice in plain.choices:
        if not is_text(choice.message.content):
            return None
    return plain


def _told(usage: _Usage) -> Usage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    read = written = None
    if prompt is not None:
        read, written = prompt.cached_tokens, prompt.cache_write_tokens
        if written is None:
            written = prompt.created_cache_tokens
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=None if completion is None else completion.reasoning_tokens,
    )
