"""The cycle collector, once a process is ready to serve."""

from __future__ import annotations

import gc

_THRESHOLDS = (50_000, 20, 100)


def freeze() -> None:
    """Turn the collector on, for what is made from now on: what exists now lives for ever."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
