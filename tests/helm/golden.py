"""The golden files of the chart. `make golden` writes them, and the table in the README, anew.

Each `golden/NAME.values.yaml` has its rendering beside it, in `golden/NAME.golden.yaml`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
USER_CHART = FOLDER / "user-chart.golden.yaml"


def cases() -> Sequence[Path]:
    """List the files of values."""
    found = sorted(FOLDER.glob("*.values.yaml"))
    assert found
    return found


def of(values: Path) -> Path:
    """Name the golden file that belongs to a file of values."""
    return values.with_name(values.name.replace(".values.", ".golden."))


def is_written() -> bool:
    """Tell whether this run writes golden files instead of judging by them."""
    return "write" == os.getenv("SWITCHGEAR_GOLDEN")


def expected(path: Path, actual: str) -> str:
    """Return what the file says; when golden files are being written, it says `actual` from now."""
    if is_written():
        path.write_text(actual)
    return path.read_text()
