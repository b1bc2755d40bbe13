"""Manifests as text, for the tests of the control plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from textwrap import dedent

from controlplane.compile import Compiled, compile_table
from controlplane.document import Document
from controlplane.last_good import LastGood
from controlplane.sources.documents import read_documents


def provider(name: str, spec: str = "", *, kind: str = "Ollama") -> str:
    """Write a provider; `spec` is flow YAML, like `suspend: true, labels: {a: b}`."""
    more = f", {spec}" if spec else ""
    return (
        "apiVersion: switchgear.dev/v1alpha1\n"
        "kind: LLMProvider\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{type: {kind}{more}}}\n"
    )


def route(name: str, models: Sequence[str], targets: Sequence[str], spec: str = "") -> str:
    """Write a route; targets are `provider/model`."""
    listed = ", ".join(
        "{{provider: {}, model: {}}}".format(*target.split("/", 1)) for target in targets
    )
    quoted = ", ".join(f'"{model}"' for model in models)
    more = f", {spec}" if spec else ""
    return (
        "apiVersion: switchgear.dev/v1alpha1\n"
        "kind: LLMRoute\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{models: [{quoted}], targets: [{listed}]{more}}}\n"
    )


def joined(*documents: str) -> str:
    return "---\n".join(documents)


def read(text: str, origin: str = "a.yaml") -> Sequence[Document]:
    return read_documents(dedent(text).encode(), origin)


def read_all(files: dict[str, str]) -> list[Document]:
    return [document for origin, text in files.items() for document in read(text, origin)]


def compiled(files: dict[str, str], previous: LastGood | None = None) -> Compiled:
    return compile_table(read_all(files), previous)


def said(result: Compiled) -> list[str]:
    return [str(problem) for problem in result.problems]


async def eventually(holds: Callable[[], bool], deadline_s: float = 20.0) -> None:
    """Wait until something outside of the loop's reach has come true; fail after the deadline."""
    async with asyncio.timeout(deadline_s):
        while not holds():
            await asyncio.sleep(0.005)
