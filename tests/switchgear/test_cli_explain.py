"""`switchgear explain`, by a canned admin API and by manifests alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controlplane.compile import compile_table
from controlplane.document import Document
from controlplane.table import snapshot
from dataplane import codec
from switchgear.cli import main
from switchgear.demo import manifests
from tests.switchgear.faked_admin import canned

_ANSWER: dict[str, Any] = {
    "model": "gpt-4o/x",
    "route": "chat",
    "strategy": "PriorityWithFallback",
    "matched": "prefix",
    "generation": 3,
    "retry": {"attempts": 4, "attemptsPerTarget": 2, "deadlineSeconds": 120.0},
    "targets": [
        {
            "order": 1,
            "provider": "local-a",
            "model": "tiny",
            "available": False,
            "reason": "circuit_open",
            "detail": "3 failures in a row",
            "reopenInSeconds": 12.0,
            "state": "open",
            "latencyMs": 8.0,
        },
        {
            "order": 2,
            "provider": "local-b",
            "model": "tiny",
            "available": True,
            "reason": "",
            "detail": "",
            "reopenInSeconds": None,
            "state": "closed",
            "latencyMs": None,
        },
    ],
}


def table() -> bytes:
    import yaml

    text = manifests.local_providers("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    documents = [
        Document(origin="p.yaml", index=index, content=content)
        for index, content in enumerate(yaml.safe_load_all(text), 1)
    ]
    return snapshot.encode(compile_table(documents).table)


def explain(*arguments: str, answers: dict[str, Any] | None = None) -> Result:
    known = {"/explain?model=gpt-4o%2Fx": _ANSWER, "/table": (200, {}, table())}
    with canned(known if answers is None else answers) as admin:
        return CliRunner().invoke(main, ["explain", *arguments, "--admin", admin.url])


def test_targets_come_in_order_each_with_the_reason_why_not() -> None:
    result = explain("gpt-4o/x")

    assert 0 == result.exit_code
    lines = result.output.splitlines()
    assert 'model "gpt-4o/x" is taken by route chat (prefix match)' == lines[0]
    assert (
        "strategy PriorityWithFallback, at most 4 attempts, 2 on one target, 2m00s in all"
        == lines[1]
    )
    assert (
        "1       local-a/tiny   no          open      8.0ms     "
        "circuit_open: 3 failures in a row, again in 12s" == lines[4]
    )
    assert lines[5].startswith("2       local-b/tiny   yes         closed")


def test_wide_shows_each_setting_in_force() -> None:
    result = explain("gpt-4o/x", "-o", "wide")
    cells = {
        line.split("   ")[0]: [cell for cell in line.split("   ")[1:] if cell.strip()]
        for line in result.output.splitlines()
    }

    assert 0 == result.exit_code
    assert ["local-a", "local-b"] == [name.strip() for name in cells["SETTING"]]
    assert ["500ms", "500ms"] == [value.strip() for value in cells["timeouts.connect"]]
    assert ["2s", "2s"] == [value.strip() for value in cells["circuitBreaker.openFor"]]


def test_json_is_the_admin_api_s_own() -> None:
    assert _ANSWER == codec.decode(explain("gpt-4o/x", "-o", "json").output)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {"/explain?model=m": (404, {}, b'{"error":{"message":"no route takes this model"}}')},
            "no route takes this model (HTTP 404)",
        ),
        ({"/explain?model=m": {"hello": 1}}, "is it switchgear's admin address?"),
        (
            {"/explain?model=m": _ANSWER, "/table": (200, {}, b"{}")},
            "/table cannot be read",
        ),
    ],
)
def test_what_cannot_be_explained_is_an_error(answers: dict[str, Any], message: str) -> None:
    result = explain("m", "-o", "wide", answers=answers)

    assert 1 == result.exit_code
    assert message in result.output


def test_manifests_alone_will_do(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        manifests.local_providers("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
        + "---\n"
        + manifests.local_routes()
    )
    result = CliRunner().invoke(main, ["explain", "chat", f"--manifests={tmp_path}", "-o", "wide"])

    assert 0 == result.exit_code, result.output
    lines = result.output.splitlines()
    assert 'model "chat" is taken by route chat (exact match)' == lines[0]
    assert lines[4].startswith("1       local-a/tiny   yes         closed")
    assert "circuitBreaker.openFor" in result.output


def test_an_unknown_model_lists_the_known(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        manifests.local_providers("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
        + "---\n"
        + manifests.local_routes()
    )
    result = CliRunner().invoke(main, ["explain", "nope", f"--manifests={tmp_path}"])

    assert 1 == result.exit_code
    assert f'no route in {tmp_path} takes "nope"; models: chat, embed' in result.output


def test_bad_manifests_are_told_and_the_rest_is_explained(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        manifests.local_providers("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
        + "---\n"
        + manifests.local_routes()
    )
    (tmp_path / "bad.yaml").write_text(manifests.route("x", "x", "Weighted", ["local-c"]))
    result = CliRunner().invoke(main, ["explain", "chat", f"--manifests={tmp_path}"])

    assert 0 == result.exit_code
    assert "bad.yaml:" in result.stderr
    assert "local-c" in result.stderr
    assert "explained by what is right in them:" in result.stderr
