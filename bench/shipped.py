"""Which code of Switchgear a benchmark starts: the compiled one, as in the image, wherever it is built.

What counts is what `make compiled` has made, and only if it is made of the sources as they are now.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HOW = "make compiled, which needs a C compiler and Python's headers"
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What is started. environ: what the process needs for that, beside its own."""

    is_compiled: bool
    environ: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Tell it in a word."""
        return "compiled" if self.is_compiled else "interpreted"


INTERPRETED = Code(is_compiled=False)


@cache
def code(folder: Path = _ROOT, python: str = sys.executable) -> Code:
    """Look what a clone of the project has; it says itself whether that is up to date."""
    judge = folder / "tools" / "compiled.py"
    if not judge.is_file() or not Path(python).is_file():
        return INTERPRETED
    command = [python, str(judge), "--check"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return INTERPRETED
    # Safe: or what lies in the directory that a benchmark is started in would be imported first.
    environ = {"PYTHONPATH": str(folder / "build" / "compiled"), "PYTHONSAFEPATH": "1"}
    return Code(is_compiled=True, environ=environ)


def described() -> Mapping[str, str]:
    """Name the code of this clone, for the head of a report."""
    found = code()
    told = str(found) if found.is_compiled else f"{found}; what is shipped takes: {HOW}"
    return {"code": told}
