"""Names of headers as text."""

from __future__ import annotations

from typing import Final

_MOST: Final = 512
_LONGEST: Final = 64

_known: Final[dict[bytes, str]] = {}


def name_of(raw: bytes) -> str:
    """Give a name in lower case. Few are used again and again; long ones are not to be kept.

    Raises UnicodeDecodeError if it is not ASCII; llhttp lets no such name pass.
    """
    name = _known.get(raw)
    if name is None:
        name = raw.decode("ascii").lower()
        if len(raw) <= _LONGEST:
            if len(_known) >= _MOST:
                _known.clear()
            _known[raw] = name
    return name
