"""Which code is under test: the sources, or what mypyc has made of them (`make test-compiled`)."""

from __future__ import annotations

import os

IS_COMPILED = os.environ.get("SWITCHGEAR_TESTS") == "compiled"
