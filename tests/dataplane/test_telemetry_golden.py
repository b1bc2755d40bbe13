from __future__ import annotations

import os

import pytest

from controlplane.table.schema import ProviderType
from tests.dataplane.telemetry_cases import BASE_URLS
from tests.dataplane.telemetry_golden import FOLDER, path_of, render


@pytest.mark.parametrize("kind", list(BASE_URLS))
async def test_spans_are_the_golden_ones(kind: ProviderType) -> None:
    """T1: one SERVER and one CLIENT span, plain and streamed, with every attribute and its type."""
    rendered = await render(kind)
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        path_of(kind).write_text(rendered)

    assert path_of(kind).read_text() == rendered


def test_no_golden_file_is_left_over() -> None:
    assert {path_of(kind) for kind in BASE_URLS} == set(FOLDER.glob("*.json"))
