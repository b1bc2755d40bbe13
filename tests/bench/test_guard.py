"""The guard tells a request that has become dearer."""

from __future__ import annotations

import json
from pathlib import Path

from guard import compared, figures


def test_a_tenth_more_is_good_and_more_is_not() -> None:
    published = {"switchgear": 1000.0, "switchgear-off": 1000.0}

    found = list(compared(published, {"switchgear": 1100.0, "switchgear-off": 1101.0}))

    assert [True, False] == [is_good for _, is_good in found]
    assert "1,101 instructions a request, 1.10 times the published 1,000" in found[1][0]


def test_a_figure_that_is_missing_is_not_good() -> None:
    found = list(compared({"switchgear": 1000.0}, {"switchgear-off": 1000.0}))

    assert [False, False] == [is_good for _, is_good in found]
    assert ["switchgear: this run", "switchgear-off: results.json"] == [
        line.partition(" has")[0] for line, _ in found
    ]


def test_the_last_round_counts(tmp_path: Path) -> None:
    series = {"instructions.request": {"switchgear": [3.0, 2.0], "bare": [None], "empty": []}}
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"record": {"series": series}}))

    assert {"switchgear": 2.0} == figures(results)


def test_what_is_published_has_the_figures() -> None:
    published = figures(Path(__file__).parents[2] / "bench" / "results.json")

    assert {"switchgear", "switchgear-off"} <= published.keys()
