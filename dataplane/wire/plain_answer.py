"""Reads plain answers by their type; see `dataplane.plain`."""

from __future__ import annotations

from typing import Final

from dataplane.codec import is_text, matcher
from dataplane.plain import PlainAnswer, PlainUsage
from dataplane.provider import ResponseFacts, Usage

_match: Final = matcher(PlainAnswer)


def match_plain(body: bytes) -> PlainAnswer | None:
    """Read an answer that is plain, else give None."""
    plain = _match(body)
    if plain is None:
        return None
    for choice in plain.choices:
        if not is_text(choice.message.content):
            return None
    return plain


def facts_of(plain: PlainAnswer) -> ResponseFacts:
    """Give what the answer says of itself."""
    usage = plain.usage
    return ResponseFacts(
        response_id=plain.id,
        finish_reasons={choice.index: choice.finish_reason for choice in plain.choices},
        usage=None if usage is None else _told(usage),
    )


def _told(usage: PlainUsage) -> Usage:
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
