from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataplane import codec, rows
from dataplane.rows import Rows

LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def with_rows(value: Any) -> Any:
    """Make the lists that are values of a document, or of a row, such that are made row by row."""
    if not isinstance(value, dict):
        return value
    return {
        name: Rows(with_rows(row) for row in item) if isinstance(item, list) else item
        for name, item in value.items()
    }


async def written(document: dict[str, Any]) -> bytes:
    return b"".join([chunk async for chunk in rows.encode(document)])


@given(document=st.dictionaries(st.text(max_size=3), VALUES))
def test_rows_are_written_as_the_list_they_stand_for(document: dict[str, Any]) -> None:
    assert document == codec.decode(asyncio.run(written(with_rows(document))))


async def test_a_row_has_a_line_of_its_own() -> None:
    document = {"n": 1, "rows": Rows([{"a": [1, 2]}, {"b": Rows([])}]), "none": Rows([])}

    text = (await written(document)).decode()

    assert [
        "{",
        '  "n":1,',
        '  "rows":[',
        '    {"a":[1,2]},',
        "    {",
        '      "b":[]',
        "    }",
        "  ],",
        '  "none":[]',
        "}",
        "",
    ] == text.split("\n")


async def test_others_run_while_rows_are_made() -> None:
    """Between any few rows the loop gets its turn, long before the first chunk is full."""
    made = 0
    seen: list[int] = []

    def items() -> Any:
        nonlocal made
        for number in range(1000):
            made += 1
            yield number

    async def look() -> None:
        while True:
            seen.append(made)
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    text = await written({"rows": Rows(items())})
    looking.cancel()

    assert list(range(1000)) == json.loads(text)["rows"]
    assert max(after - before for before, after in pairwise(seen)) <= 20


async def test_a_long_document_comes_in_chunks() -> None:
    document = {"rows": Rows("x" * 1000 for _ in range(1000))}

    sizes = [len(chunk) async for chunk in rows.encode(document)]

    assert len(sizes) > 10
    assert max(sizes) < 100_000
