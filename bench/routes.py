"""Manifests for Switchgear in a benchmark: one provider a format, and as many routes as are wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

LENGTHS = (20, 200, 2000)
MODELS: Sequence[str] = (
    "bench",
    *(f"{pace}-{length}" for pace in ("burst", "spaced") for length in LENGTHS),
)
"""Model names of the fake upstream; `native/upstream.c` tells what they mean."""

TRANSLATED: Sequence[str] = ("ollama", "anthropic", "bedrock")
"""Formats that are not passed on. Callers ask for `FORMAT.MODEL`."""

_ROUTES_A_FILE = 500
_TYPES = {"openai": "OpenAI", "ollama": "Ollama", "anthropic": "Anthropic", "bedrock": "AWSBedrock"}


def write(folder: Path, upstream_port: int, *, more_routes: int = 0) -> None:
    """Write manifests for all models of all formats, and `more_routes` routes that nobody calls."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.yaml").write_text("---\n".join(_documents(upstream_port)))
    names = [f"unused-{number}" for number in range(more_routes)]
    for at in range(0, len(names), _ROUTES_A_FILE):
        routes = (_route(name, "openai", name) for name in names[at : at + _ROUTES_A_FILE])
        (folder / f"unused-{at}.yaml").write_text("---\n".join(routes))


def add(folder: Path, name: str) -> None:
    """Write one more route, `name`, as an editor does: whole, and then under its name."""
    written = folder / f".{name}"
    written.write_text(_route(name, "openai", name))
    written.rename(folder / f"{name}.yaml")


def _documents(port: int) -> Iterator[str]:
    for name, kind in _TYPES.items():
        spec = {
            "type": kind,
            "baseUrl": f"http://127.0.0.1:{port}" + ("/v1" if name == "openai" else ""),
            "healthCheck": {"interval": "0s"},
            "limits": {"maxInFlight": 100_000},
        }
        if name in {"openai", "anthropic"}:
            spec["credentials"] = {"apiKey": {"env": "BENCH_KEY"}}
        if name == "bedrock":
            spec["region"] = "eu-west-3"
        yield _object("LLMProvider", name, spec)
    for model in MODELS:
        yield _route(model, "openai", model)
        for name in TRANSLATED:
            yield _route(f"{name}.{model}", name, model)


def _route(model: str, provider: str, upstream_model: str) -> str:
    targets = [{"provider": provider, "model": upstream_model}]
    return _object("LLMRoute", model, {"models": [model], "targets": targets})


def _object(kind: str, name: str, spec: object) -> str:
    # A line of JSON is YAML too.
    head = {"apiVersion": "switchgear.dev/v1alpha1", "kind": kind, "metadata": {"name": name}}
    return json.dumps({**head, "spec": spec}) + "\n"
