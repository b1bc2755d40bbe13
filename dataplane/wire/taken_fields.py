"""Keeps count of the caller's fields that an adapter has said to its upstream.

What nobody took by the end was not said. Values that ask for nothing are left out without a word,
those that only tune the answer are dropped with a warning, and those that are a part of the
answer's contract are rejected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dataplane.errors import RequestRejected
from dataplane.plain import whole_of
from dataplane.wire.openai_rules import CONTRACT, IDENTITIES

_ENVELOPE: Final = frozenset({"model", "stream", "stream_options"})
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Fields:
    """The fields of one request, and the warnings so far (`action:field`)."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = whole_of(body)
        self._taken = set(_ENVELOPE)
        self._warnings: list[str] = []

    def take(self, name: str) -> Any:
        """Give a field's value, None if absent; the taker answers for it."""
        self._taken.add(name)
        return self._body.get(name)

    def warn(self, *warnings: str) -> None:
        """Note what was changed."""
        self._warnings.extend(warnings)

    def finish(self) -> Sequence[str]:
        """Give all warnings, each once, in order. Raises RequestRejected for a contract's field."""
        for name, value in self._body.items():
            if name in self._taken or is_identity(name, value):
                continue
            if name in CONTRACT:
                raise RequestRejected(
                    f"{name} is not supported by this provider",
                    param=name,
                    code="unsupported_parameter",
                )
            self.warn(f"dropped:{name if _SAFE_NAME.fullmatch(name) else 'unknown'}")
        return tuple(dict.fromkeys(self._warnings))


def is_identity(name: str, value: Any) -> bool:
    """Tell whether a field asks for what happens anyway."""
    return value is None or (name in IDENTITIES and IDENTITIES[name] == value)
