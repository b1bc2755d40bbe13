"""Check files without running anything, for the command line and for pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from controlplane.compile import Compiled, compile_table
from controlplane.document import Document
from controlplane.problems import Problem, by_place
from controlplane.sources.files import FileSource
from controlplane.sources.source import SourceState


def validate_paths(paths: Iterable[str | Path]) -> tuple[Compiled, Sequence[Problem]]:
    """Compile all manifests of some files and directories, as one set.

    Returns what they come to, and all problems: of reading and of compiling, in order of place.
    Blocking. Raises nothing: a path that does not exist is a problem.
    """
    documents: dict[tuple[str, int], Document] = {}
    problems: list[Problem] = []
    unreadable: set[str] = set()
    for path in paths:
        result = FileSource(Path(path)).read_now()
        if result.state is SourceState.MISSING:
            problems.append(Problem(origin=str(path), message="does not exist"))
        problems.extend(result.problems)
        unreadable.update(result.unreadable)
        for document in result.documents:
            documents[document.origin, document.index] = document
    compiled = compile_table(list(documents.values()), unreadable=frozenset(unreadable))
    return compiled, by_place((*problems, *compiled.problems))
