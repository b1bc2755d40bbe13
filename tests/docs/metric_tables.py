"""Metrics as a table: every instrument, its labels, and its name for Prometheus."""

from __future__ import annotations

from dataplane.metric_instruments import INSTRUMENTS
from dataplane.metric_text import name_of
from tests.docs.pages import table


def instruments() -> str:
    """Write what each instrument measures."""
    rows = [
        [
            f"`{one.name}`<br>`{name_of(one)}`",
            one.kind.value,
            f"`{one.unit}`",
            one.description,
            ", ".join(f"`{label}`" for label in one.labels) or "none",
        ]
        for one in INSTRUMENTS
    ]
    return table(["Name, and for Prometheus", "Kind", "Unit", "What", "Labels"], rows)
