"""What the pages point to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import PAGES, ROOT, read

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_MODULE = re.compile(r"`([a-z_/*.]+\.py)`")
_TARGET = re.compile(r"\bmake ([a-z]+)\b")
_PACKAGES = ("controlplane", "dataplane", "switchgear")


def links(page: str) -> Iterator[str]:
    return (found[1] for found in _LINK.finditer(_FENCE.sub("", read(page))))


def anchors(text: str) -> set[str]:
    """Name the headings as GitHub does in links to them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_each_relative_link_leads_to_a_file_and_a_heading(page: str) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)

    assert [] == broken


def test_each_page_is_linked_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in links("README.md")}

    assert {page for page in PAGES if page != "README.md"} <= linked


def test_each_module_that_the_architecture_names_is_there() -> None:
    named = set(_MODULE.findall(read("ARCHITECTURE.md")))
    found = {
        name
        for name in named
        if any(
            list((ROOT / package).rglob(name.removeprefix(f"{package}/"))) for package in _PACKAGES
        )
    }

    assert named
    assert named == found


@pytest.mark.parametrize("page", PAGES)
def test_each_make_target_that_is_named_is_there(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    code = "\n".join(re.findall(r"`[^`\n]+`", read(page)) + _FENCE.findall(read(page)))

    for target in _TARGET.findall(code):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
