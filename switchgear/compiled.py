"""Whether the request path that runs here was compiled when it was packaged."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

_ONE_OF_THEM = "dataplane.forward"


def is_compiled() -> bool:
    """Tell it by one of the modules that are compiled, all or none; it need not be imported."""
    spec = find_spec(_ONE_OF_THEM)
    return spec is not None and str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))
