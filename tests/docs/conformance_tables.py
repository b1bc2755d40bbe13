"""What is proven of each provider type, with the proof behind each cell: asked of adapters and golden files."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from controlplane.table.schema import ProviderType
from dataplane.codec import decode
from tests import matrix, shape
from tests.docs.error_tables import EFFECTS
from tests.docs.pages import ROOT, table
from tests.matrix import GOLDEN, Canonical

NINE = tuple(ProviderType)
_HEADS = [kind.value for kind in NINE]
_ACTIONS = ("emulated", "clamped", "dropped")
_END_TO_END = (
    "tests/e2e/test_nine_providers.py",
    "tests/e2e/test_nine_errors.py",
    "tests/e2e/test_openai_responses.py",
    "tests/e2e/test_failover_pairs.py",
)


def requests_as_unary() -> str:
    """Write what becomes of each canonical request for a whole answer."""
    return _requests("unary")


def requests_as_stream() -> str:
    """Write what becomes of each canonical request for a stream."""
    return _requests("stream")


def answers_as_unary() -> str:
    """Write what whole answers were shown to say, each with a golden file that shows it."""
    return _answers("answers", "*.out.json", _read_answer, {**_SHOWN, **_ONLY_UNARY})


def answers_as_stream() -> str:
    """Write what streams were shown to say, each with a golden file that shows it."""
    return _answers("streams", "*.out.sse", _read_stream, _SHOWN)


def end_to_end() -> str:
    """Write the tests that drive OpenAI's client through the sidecar to all nine."""
    rows = []
    for path in _END_TO_END:
        module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        for each in module.body:
            if isinstance(each, ast.AsyncFunctionDef) and each.name.startswith("test_"):
                said = each.name.removeprefix("test_").replace("_", " ")
                rows.append([said, f"[{Path(path).name}]({_link(ROOT / path)})"])
    return table(["Proven", "Test"], rows)


def errors() -> str:
    """Write each vendor's errors, and what they lead to."""
    rows = []
    for kind in NINE:
        for path in matrix.errors(kind):
            case = path.name.removesuffix(".in.json")
            failure = matrix.failed(kind, path)
            told = matrix.told(failure)
            error = told["caller"]["body"]["error"]
            rows.append(
                [
                    kind.value,
                    f"[{case.replace('_', ' ')}]({_link(path)})",
                    str(matrix.native(path).status),
                    f"`{told['class']}`",
                    f"{told['caller']['status']} `{error['type']}` `{error['code'] or 'null'}`",
                    "once" if told["retried_here"] else "no",
                    "yes" if told["next_target"] else "no",
                    EFFECTS[failure.policy.effect],
                ]
            )
    head = ["Type", "Case", "It says", "Class", "The caller gets", "Retried here", "Next target"]
    return table([*head, "For the breaker"], rows)


def _link(path: Path) -> str:
    return os.path.relpath(path, ROOT / "docs")


def _requests(mode: str) -> str:
    rows = [
        [case.feature, *(_request_cell(kind, case, mode) for kind in NINE)]
        for case in matrix.canonical()
    ]
    return table(["Feature", *_HEADS], rows)


def _request_cell(kind: ProviderType, case: Canonical, mode: str) -> str:
    made = matrix.written(kind, case).get(mode)
    if made is None or _has_no(kind, case):
        return "n/a"
    if "rejected" in made:
        word = "rejected"
    else:
        actions = {warning.partition(":")[0] for warning in made["warnings"]}
        word = next((action for action in _ACTIONS if action in actions), "pass")
    return f"[{word}]({_link(matrix.golden_of(kind, case))})"


def _has_no(kind: ProviderType, case: Canonical) -> bool:
    """Tell whether a type has no such operation at all."""
    word = {"completion": "completions", "embeddings": "embeddings"}.get(case.operation, "chat")
    return word not in matrix.adapter(kind).capabilities(case.model(kind))


Shown = Callable[[Mapping[str, Any], str], bool]
_SHOWN: Mapping[str, Shown] = {
    "text": lambda said, _finish: bool(said.get("content")),
    "a call": lambda said, _finish: len(said.get("tool_calls") or ()) >= 1,
    "parallel calls": lambda said, _finish: len(said.get("tool_calls") or ()) >= 2,
    "a call of the old form": lambda said, _finish: "function_call" in said,
    "reasoning text": lambda said, _finish: bool(said.get("reasoning_content")),
    "signed reasoning, to be sent back": lambda said, _finish: bool(
        said.get("switchgear", {}).get("reasoning")
    ),
    "the finish `stop`": lambda _said, finish: finish == "stop",
    "the finish `length`": lambda _said, finish: finish == "length",
    "the finish `tool_calls`": lambda _said, finish: finish == "tool_calls",
    "the finish `content_filter`": lambda _said, finish: finish == "content_filter",
    "usage": lambda said, _finish: bool(said.get("usage")),
    "a failure inside a 200": lambda said, _finish: bool(said.get("failed")),
}
_ONLY_UNARY: Mapping[str, Shown] = {"vectors": lambda said, _finish: bool(said.get("vectors"))}


# Who signs its reasoning, and who has a word for an answer that its filter ended; who has vectors.
_SIGNS = frozenset(
    {
        ProviderType.OPENAI,
        ProviderType.AZURE_OPENAI,
        ProviderType.AWS_BEDROCK,
        ProviderType.ANTHROPIC,
    }
)
_ONLY_AT: Mapping[str, frozenset[ProviderType]] = {
    "signed reasoning, to be sent back": _SIGNS,
    "the finish `content_filter`": _SIGNS,
    "vectors": frozenset(NINE) - {ProviderType.ANTHROPIC},
}


def _answers(
    folder: str, pattern: str, read: Callable[[Path], tuple[Any, str]], shown: Mapping[str, Shown]
) -> str:
    found = {
        kind: [
            (path, *read(path))
            for path in sorted((GOLDEN / matrix.FOLDERS[kind] / folder).glob(pattern))
        ]
        for kind in NINE
    }
    rows = []
    for words, is_shown in shown.items():
        cells = []
        for kind in NINE:
            paths = (path for path, said, finish in found[kind] if is_shown(said, finish))
            proof = next(paths, None)
            exists = kind in _ONLY_AT.get(words, NINE)
            assert exists is (proof is not None), f"{kind}: {words} needs a golden file, or is none"
            cells.append("n/a" if proof is None else f"[pass]({_link(proof)})")
        rows.append([words, *cells])
    return table(["It says", *_HEADS], rows)


def _read_answer(path: Path) -> tuple[Mapping[str, Any], str]:
    answer = decode(path.read_bytes())
    if failed := answer.get("failed") or answer.get("failure"):
        return {"failed": failed}, ""
    if "choices" not in answer:
        return {"vectors": answer.get("data")}, ""
    choice = answer["choices"][0]
    said = choice.get("message") or {"content": choice.get("text")}
    return {**said, "usage": answer.get("usage")}, choice["finish_reason"]


def _read_stream(path: Path) -> tuple[Mapping[str, Any], str]:
    events, ending = _events(path)
    if any("text" in choice for event in events for choice in event["choices"]):
        return {}, ""
    folded = shape.fold(events)
    usage = next((event["usage"] for event in events if event.get("usage")), None)
    failed = ending.startswith((": failed", ": failure"))
    said: Sequence[tuple[str, Any]] = (("usage", usage), ("failed", failed))
    return {**folded.message, **dict(said)}, folded.finish_reason or ""


def _events(path: Path) -> tuple[list[Mapping[str, Any]], str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return events, next(_comments(lines), "")


def _comments(lines: Sequence[str]) -> Iterator[str]:
    yield from (line for line in lines if line.startswith(": "))
