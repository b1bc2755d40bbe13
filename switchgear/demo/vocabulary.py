"""The tokens of the tiny model, and which token follows which.

A byte-level BPE vocabulary: the 256 bytes, a few real merges, one token for each piece of the
three texts, and the special tokens of the chat template. Each piece has exactly one successor;
that is the whole "knowledge" of the model.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from switchgear.demo.template import (
    CALL_END,
    CALL_START,
    DO_CALL,
    DO_COUNT,
    END_OF_TEXT,
    TURN_END,
    TURN_START,
)

COUNT_TO: Final = 999

# "naïve" has a two-byte letter, and the smiley's four bytes are split over two tokens, as large
# vocabularies do: a stream of this text shows whether someone cuts UTF-8 in the middle.
_SMILEY: Final = "🙂".encode()
ANSWER_PIECES: Final[Sequence[bytes]] = (
    *(b"Hello", b"!", b" I", b" am", b" a", b" tiny", b" model", b","),
    *(" naïve".encode(), b" but", b" predictable", b" ", _SMILEY[:2], _SMILEY[2:], b"."),
)
CALL_PIECES: Final[Sequence[bytes]] = (
    *(b'\n{"name": "', b"get_weather", b'", "arguments": {"', b"city", b'": "'),
    *(b"Par", b"is", b'"}}\n'),
)
COUNT_PIECES: Final[Sequence[bytes]] = tuple(b" %d" % n for n in range(1, COUNT_TO + 1))

# Each makes its right-hand word from two parts that exist by then.
_MERGES: Final[Sequence[tuple[bytes, bytes]]] = (
    *((b" ", b"t"), (b"h", b"e"), (b" t", b"he"), (b"i", b"n"), (b"e", b"r"), (b"o", b"n")),
    *((b"r", b"e"), (b"a", b"t"), (b"o", b"u"), (b" ", b"s"), (b"s", b"er"), (b"u", b"ser")),
    *((b"a", b"s"), (b"as", b"s"), (b"i", b"s"), (b"is", b"t"), (b"a", b"n"), (b"an", b"t")),
    *((b"ass", b"ist"), (b"assist", b"ant")),
)


class TokenKind(IntEnum):
    """What a token is to the tokenizer; the values are GGUF's.

    CONTROL tokens never show in text, MARKER ("user defined") ones do.
    """

    NORMAL = 1
    CONTROL = 3
    MARKER = 4


_SPECIAL: Final[Mapping[str, TokenKind]] = {
    END_OF_TEXT: TokenKind.CONTROL,
    TURN_START: TokenKind.CONTROL,
    TURN_END: TokenKind.CONTROL,
    DO_CALL: TokenKind.CONTROL,
    DO_COUNT: TokenKind.CONTROL,
    CALL_START: TokenKind.MARKER,
    CALL_END: TokenKind.MARKER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All tokens, by id.

    tokens: spelled in the letters of byte-level BPE; the position is the id.
    merges: pairs of such spellings, in order of rank.
    successors: the one token that follows, by id; tokens of no chain are absent.
    first: the token that begins the plain answer.
    """

    tokens: Sequence[str]
    kinds: Sequence[TokenKind]
    merges: Sequence[tuple[str, str]]
    successors: Mapping[int, int]
    first: int

    def id(self, token: str) -> int:
        """Return the id of a token. Raises ValueError if there is none."""
        return self.tokens.index(token)


def build_vocabulary() -> Vocabulary:
    """Build the vocabulary; the same each time."""
    kinds: dict[str, TokenKind] = {}
    for byte in range(256):
        kinds[_LETTERS[byte]] = TokenKind.NORMAL
    for left, right in _MERGES:
        kinds[_spell(left + right)] = TokenKind.NORMAL
    # A piece may be spelled like a byte or a merge ("!", "is"); it is the same token then.
    for piece in itertools.chain(ANSWER_PIECES, CALL_PIECES, COUNT_PIECES):
        kinds.setdefault(_spell(piece), TokenKind.NORMAL)
    kinds |= _SPECIAL

    ids = {token: number for number, token in enumerate(kinds)}
    return Vocabulary(
        tokens=tuple(kinds),
        kinds=tuple(kinds.values()),
        merges=tuple((_spell(left), _spell(right)) for left, right in _MERGES),
        successors=_successors(ids),
        first=ids[_spell(ANSWER_PIECES[0])],
    )


def _successors(ids: Mapping[str, int]) -> dict[int, int]:
    chains: Iterable[Sequence[str]] = (
        (*map(_spell, ANSWER_PIECES), TURN_END),
        (DO_CALL, CALL_START, *map(_spell, CALL_PIECES), CALL_END, TURN_END),
        (DO_COUNT, *map(_spell, COUNT_PIECES), TURN_END),
    )
    successors: dict[int, int] = {}
    for chain in chains:
        for here, there in itertools.pairwise(chain):
            if successors.setdefault(ids[here], ids[there]) != ids[there]:
                raise ValueError(f"token {here!r} has two successors")
    return successors


def _byte_letters() -> Sequence[str]:
    """Map each byte to the printable letter that stands for it in a byte-level vocabulary.

    Source: GPT-2's published encoder: printable Latin-1 bytes stand for themselves, the others
    take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = itertools.count(256)
    return tuple(chr(byte if byte in printable else next(spare)) for byte in range(256))


_LETTERS: Final = _byte_letters()


def _spell(piece: bytes) -> str:
    return "".join(_LETTERS[byte] for byte in piece)
