"""Checks what is embedded or completed: a text, texts, tokens, or lists of tokens."""

from __future__ import annotations

from typing import Any, Final

from dataplane.wire.checks import INT64_MAX, sequence, text, whole, wrong_type, wrong_value

MAX_INPUTS: Final = 2048
"""Inputs of one request."""

_MAX_TOKENS: Final = 1_000_000
_ANY: Final = "a string, or a list of strings, of tokens, or of lists of tokens"


def has_tokens(value: Any, param: str, *, allow_empty: bool) -> bool:
    """Check an input, and tell whether it is made of tokens. Raises RequestRejected.

    allow_empty: whether a text may be empty. Lists never may.
    """
    if isinstance(value, str):
        _check_text(value, param, allow_empty=allow_empty)
        return False
    if not isinstance(value, list):
        raise wrong_type(param, _ANY)
    first = sequence(value, param, least=1, most=_MAX_TOKENS)[0]
    if _is_token(first):
        _check_tokens(value, param)
        return True
    sequence(value, param, most=MAX_INPUTS)
    if isinstance(first, str):
        for index, entry in enumerate(value):
            _check_text(entry, f"{param}[{index}]", allow_empty=allow_empty)
        return False
    if isinstance(first, list):
        for index, entry in enumerate(value):
            path = f"{param}[{index}]"
            _check_tokens(sequence(entry, path, least=1, most=_MAX_TOKENS), path)
        return True
    raise wrong_type(f"{param}[0]", "a string, a token, or a list of tokens")


def _check_text(value: Any, param: str, *, allow_empty: bool) -> None:
    if not text(value, param) and not allow_empty:
        raise wrong_value(param, "must not be empty")


def _check_tokens(tokens: list[Any], param: str) -> None:
    for index, token in enumerate(tokens):
        # Paths are made for those that fail only: there may be a million tokens.
        if not _is_token(token) or not 0 <= token <= INT64_MAX:
            whole(token, f"{param}[{index}]", low=0)


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
