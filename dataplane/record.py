"""Records of the request path: what frozen dataclasses are elsewhere, at a tenth of their cost.

A frozen dataclass takes over a microsecond to make, since Python code sets each field; dozens are made
for each request. These are made in C, and are as immutable.
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

__all__ = ["Struct", "field", "replace"]
