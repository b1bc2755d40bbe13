"""Native answers with one value changed: still in the upstream's framing, but not what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from controlplane.table.schema import ProviderType
from dataplane.codec import decode, encode
from dataplane.wire.eventstream import FrameSplitter
from tests.doubles.bedrock_frames import frame

_OBJECT = re.compile(rb"\{.*\}")


def replaced(text: bytes, place: int, value: Any) -> bytes:
    """Put a value in one of the places of a JSON text, whichever `place` comes to."""
    document = [decode(text)]
    places = list(_places(document))
    holder, key = places[place % len(places)]
    holder[key] = value
    return encode(document[0])


def stream_replaced(kind: ProviderType, raw: bytes, event: int, place: int, value: Any) -> bytes:
    """Do the same to one event of a stream."""
    if kind is ProviderType.AWS_BEDROCK:
        frames = list(FrameSplitter().feed(raw))
        chosen = event % len(frames)
        return b"".join(
            frame(each.headers, replaced(each.payload, place, value))
            if at == chosen
            else frame(each.headers, each.payload)
            for at, each in enumerate(frames)
        )
    # A line holds one object at most, whether events or lines are the framing.
    found = list(_OBJECT.finditer(raw))
    match = found[event % len(found)]
    return raw[: match.start()] + replaced(match.group(), place, value) + raw[match.end() :]


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Give every value below, as what holds it and by which key."""
    pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(pairs):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)
