"""Each double that has a vendor's shapes says where they are from."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent
# Of no vendor: what the models say, plumbing, and what only puts doubles together.
SHAPELESS = {"bedrock_talk", "relay", "talk", "upstream", "upstream_exchange", "vendors"}


def test_every_double_names_the_source_of_its_shapes() -> None:
    modules = {path.stem: path for path in HERE.glob("*.py") if not path.stem.startswith("test_")}
    documented = {name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
                  for name, path in modules.items()}  # fmt: skip

    silent = {name for name, text in documented.items() if "Source" not in text}
    assert SHAPELESS == silent
