"""`switchgear validate`, `import` and `schema`, on real files."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from dataplane import codec
from switchgear.cli import main

GOOD = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {name: local}
spec: {type: Ollama}
"""
ROUTE = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMRoute
metadata: {name: chat}
spec:
  models: [chat]
  targets:
    - {provider: local, model: llama3.1}
"""
LEGACY = """{"LLMProviders": {"Providers": [
  {"Type": "OpenAI", "Name": "openai-primary", "Enabled": true, "Priority": 1,
   "Configuration": {"ApiKey": "${OPENAI_API_KEY}", "DefaultModel": "gpt-4o"}},
  {"Type": "Ollama", "Name": "local", "Enabled": true, "Priority": 2,
   "Configuration": {"BaseUrl": "http://localhost:11434", "DefaultModel": "llama3.1"}}],
 "Routing": {"Strategy": "PriorityWithFallback", "HealthCheckInterval": "00:00:30",
             "FailoverThreshold": 3}}}"""


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "providers.yaml").write_text(GOOD)
    (tmp_path / "routes.yaml").write_text(ROUTE)
    return tmp_path


def test_good_manifests_are_summed_up(good: Path) -> None:
    result = run("validate", str(good))

    assert (0, "ok: 1 provider, 1 route\n") == (result.exit_code, result.stdout)
    assert "" == result.stderr


def test_files_are_checked_together(good: Path) -> None:
    both = run("validate", str(good / "routes.yaml"), str(good / "providers.yaml"))
    alone = run("validate", str(good / "routes.yaml"))

    assert 0 == both.exit_code
    assert 1 == alone.exit_code
    assert "local" in alone.stderr


def test_a_problem_names_file_line_object_and_field(good: Path) -> None:
    (good / "routes.yaml").write_text(ROUTE.replace("provider: local", "provider: remote"))
    result = run("validate", str(good))
    place = f"{good / 'routes.yaml'}:7: LLMRoute/chat: spec.targets[0].provider: "
    messages = [line.removeprefix(place) for line in result.stderr.splitlines() if place in line]

    assert 1 == result.exit_code
    assert 1 == len(messages)
    assert "remote" in messages[0]
    assert "not ok: " in result.stdout


def test_an_unknown_field_gets_a_guess(good: Path) -> None:
    (good / "providers.yaml").write_text(GOOD.replace("type: Ollama", "type: Ollama, baseURL: x"))
    result = run("validate", str(good))

    assert 1 == result.exit_code
    assert "baseUrl" in result.stderr


def test_json_output_holds_the_same_for_programs(good: Path) -> None:
    (good / "routes.yaml").write_text(ROUTE.replace("provider: local", "provider: remote"))
    result = run("validate", str(good), "-o", "json")
    report = codec.decode(result.stdout)

    assert 1 == result.exit_code
    assert not report["valid"]
    assert ["local"] == report["providers"]
    assert [7] == [p["line"] for p in report["problems"] if p["path"] == "spec.targets[0].provider"]


def test_a_path_that_does_not_exist_is_a_usage_error() -> None:
    result = run("validate", "/nowhere/at/all")

    assert 2 == result.exit_code
    assert "does not exist" in result.stderr


def test_text_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\nb: {")
    result = run("validate", str(tmp_path))

    assert 1 == result.exit_code
    assert "broken.yaml:" in result.stderr


def test_an_import_is_valid_and_holds_references_only(tmp_path: Path) -> None:
    imported = run("import", "-", stdin=LEGACY)
    (tmp_path / "imported.yaml").write_text(imported.stdout)
    checked = run("validate", str(tmp_path))

    assert 0 == imported.exit_code, imported.output
    assert 0 == checked.exit_code, checked.output
    assert {"openai-primary", "local"} <= {
        document["metadata"]["name"] for document in yaml.safe_load_all(imported.stdout)
    }
    assert "env: OPENAI_API_KEY" in imported.stdout


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    result = run("import", "-", stdin=text)

    assert 1 == result.exit_code
    assert "Error: standard input: " in result.stderr
    assert "" == result.stdout


def test_an_import_s_warnings_stay_out_of_the_manifests(tmp_path: Path) -> None:
    file = tmp_path / "appsettings.json"
    file.write_text(LEGACY.replace('"Enabled": true, "Priority": 2', '"Color": 1, "Priority": 2'))
    result = run("import", str(file))

    assert 0 == result.exit_code, result.output
    assert "warning: " in result.stderr
    assert "color" in result.stderr
    assert "warning" not in result.stdout


def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    file = tmp_path / "appsettings.json"
    file.write_text("{}")

    assert f"Error: {file}: " in run("import", str(file)).stderr


def test_warnings_fail_only_a_strict_check(good: Path) -> None:
    extra = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
    (good / "other.yaml").write_text(extra)
    lenient, strict = run("validate", str(good)), run("validate", "--strict", str(good))

    assert (0, 1) == (lenient.exit_code, strict.exit_code)
    assert "other.yaml:1: warning: " in lenient.stderr
    assert "ok: 0 errors, 1 warning; what is right comes to 1 provider, 1 route\n" == lenient.stdout


def test_the_schema_takes_good_manifests_and_refuses_bad_ones() -> None:
    validator = jsonschema.Draft202012Validator(codec.decode(run("schema").stdout))

    assert validator.is_valid(yaml.safe_load(GOOD))
    assert validator.is_valid(yaml.safe_load(ROUTE))
    assert not validator.is_valid(yaml.safe_load(GOOD.replace("Ollama", "Olama")))
