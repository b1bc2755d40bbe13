"""Manifests in, table and problems out, as pairs of files found by glob.

`SWITCHGEAR_GOLDEN=write` writes the second of each pair again; read the difference as if someone
else had made it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.compile import compile_table
from controlplane.sources.documents import read_documents
from controlplane.table import snapshot
from controlplane.table.schema import Table
from dataplane.codec import decode, encode_pretty

FOLDER = Path(__file__).parent / "golden"
INPUTS = sorted(FOLDER.glob("*.yaml"))


def written(table: Table, problems: list[str]) -> str:
    content = decode(snapshot.encode(table))
    content.pop("checksum")
    return encode_pretty(content | {"problems": problems}).decode() + "\n"


def test_there_are_golden_files() -> None:
    assert INPUTS


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_manifests_give_the_table_in_the_file(path: Path) -> None:
    result = compile_table(read_documents(path.read_bytes(), path.name))
    actual = written(result.table, [str(problem) for problem in result.problems])

    golden = path.with_suffix(".json")
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        golden.write_text(actual)
    assert golden.read_text() == actual
