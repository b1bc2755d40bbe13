"""The sections that are made from the code are in step with it; `make golden` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pytest

from tests.docs import (
    command_tables,
    conformance_tables,
    error_tables,
    manifest_tables,
    metric_tables,
    wire_tables,
)
from tests.docs.pages import ROOT, read, sections, with_sections

MADE: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"providers": command_tables.providers},
    "docs/conformance.md": {
        "requests-as-unary": conformance_tables.requests_as_unary,
        "requests-as-stream": conformance_tables.requests_as_stream,
        "answers-as-unary": conformance_tables.answers_as_unary,
        "answers-as-stream": conformance_tables.answers_as_stream,
        "end-to-end": conformance_tables.end_to_end,
    },
    "docs/errors.md": {"errors": conformance_tables.errors},
    "docs/manifests.md": {
        "llmprovider": lambda: manifest_tables.fields_of("LLMProvider"),
        "llmroute": lambda: manifest_tables.fields_of("LLMRoute"),
        "ignored": manifest_tables.ignored_fields,
    },
    "docs/operations.md": {
        "caller-errors": error_tables.caller_errors,
        "metrics": metric_tables.instruments,
        "run-flags": command_tables.run_flags,
        "other-flags": command_tables.other_flags,
    },
    "docs/wire.md": {
        "chat-fields": wire_tables.chat_fields,
        "message-parts": wire_tables.message_parts,
        "completion-fields": wire_tables.completion_fields,
        "embedding-fields": wire_tables.embedding_fields,
        "finish-reasons": error_tables.finish_reasons,
        "statuses": wire_tables.statuses,
        "codes": error_tables.codes,
        "phrases": error_tables.phrases,
        "policies": error_tables.policies,
    },
}


@pytest.mark.parametrize("page", MADE)
def test_a_golden_page_says_what_the_code_does(page: str) -> None:
    written = read(page)

    made = with_sections(written, MADE[page])
    if os.environ.get("SWITCHGEAR_GOLDEN") == "write":
        (ROOT / page).write_text(made, encoding="utf-8")
        return

    assert made == written, f"{page} is out of step: run `make golden`, and read the diff"


@pytest.mark.parametrize("page", MADE)
def test_a_golden_page_has_each_of_its_sections_once(page: str) -> None:
    text = read(page)

    assert sorted(MADE[page]) == sorted(sections(text))
    assert len(MADE[page]) == text.count("<!-- generated: ") == text.count("<!-- end: ")
