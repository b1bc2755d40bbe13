from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from dataplane.logs import LogFormat, configure, unconfigure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream that gets JSON lines."""
    out = io.StringIO()
    handler = configure(LogFormat.AUTO, out)
    yield out
    unconfigure(handler)
