"""Fits ids and names of tools to what an upstream accepts.

An id is rewritten by a pure function of itself, so a call and its result agree, in this request
and the next, on every target, and no state is kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_GROUP: Final = 10
_GROUP_BASE: Final = 62**_GROUP
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME_HASH_LENGTH: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRule:
    """Which tool call ids an upstream accepts.

    pattern: matches a whole valid id. length: characters of a rewritten one, at most 43.
    """

    pattern: re.Pattern[str]
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule:
    """Which tool names an upstream accepts.

    pattern: matches a whole valid name. max_length: in characters, over 8.
    """

    pattern: re.Pattern[str]
    max_length: int


ANY_UP_TO_64: Final = IdRule(pattern=re.compile(r"(?s).{1,64}"), length=32)
"""OpenAI's: not published; longer ids are rewritten."""

NINE_ALPHANUMERIC: Final = IdRule(pattern=re.compile(r"[A-Za-z0-9]{9}"), length=9)
"""Mistral's, and that of the chat templates of its models elsewhere (error code 3280)."""

FUNCTION_NAME: Final = NameRule(pattern=re.compile(r"[A-Za-z0-9_-]{1,64}"), max_length=64)
"""OpenAI's rule for names of functions."""


def digest62(text: str, length: int) -> str:
    """Hash text to `length` characters of [0-9A-Za-z], at most 43; the same for the same text."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    digits: list[str] = []
    while len(digits) < length:
        # So many at a time as fit a machine word: dividing what does not takes far longer.
        number, group = divmod(number, _GROUP_BASE)
        for _ in range(min(_GROUP, length - len(digits))):
            digits.append(_DIGITS[group % 62])
            group //= 62
    return "".join(digits)


def fit_ids(ids: Iterable[str], rule: IdRule) -> dict[str, str]:
    """Map the ids of one request to valid ones; only those that must change are in the result.

    Valid ids stay. Two ids never end up the same: on a collision the later one of the request is
    hashed once more, which any repetition of the request does alike.
    """
    distinct = list(dict.fromkeys(ids))
    taken = {text for text in distinct if rule.pattern.fullmatch(text)}
    fitted: dict[str, str] = {}
    for text in distinct:
        if rule.pattern.fullmatch(text):
            continue
        candidate = digest62(text, rule.length)
        turn = 0
        while candidate in taken:
            turn += 1
            candidate = digest62(f"{text}\0{turn}", rule.length)
        taken.add(candidate)
        fitted[text] = candidate
    return fitted


def fit_names(names: Iterable[str], rule: NameRule) -> dict[str, str]:
    """Map the tool names of one request to valid ones; only those that must change are in it.

    What does not fit is replaced by `_`, and a short hash of the name is appended, so that two
    names which differ only there stay apart. Turn the result round to read answers.
    """
    distinct = list(dict.fromkeys(names))
    taken = {name for name in distinct if rule.pattern.fullmatch(name)}
    fitted: dict[str, str] = {}
    for name in distinct:
        if rule.pattern.fullmatch(name):
            continue
        room = rule.max_length - _NAME_HASH_LENGTH - 1
        stem = re.sub(r"[^A-Za-z0-9_]", "_", name)[:room]
        if not stem[:1].isalpha():
            # Some upstreams want a letter first.
            stem = f"t{stem}"[:room]
        turn = 0
        while True:
            tag = digest62(f"{name}\0{turn}" if turn else name, _NAME_HASH_LENGTH)
            candidate = f"{stem}_{tag}"
            if candidate not in taken:
                break
            turn += 1
        taken.add(candidate)
        fitted[name] = candidate
    return fitted
