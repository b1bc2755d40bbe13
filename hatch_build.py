"""Hatchling's hook that compiles the request path with mypyc while a wheel is built.

It is off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM=true is set: then the modules that pyproject.toml lists
under `[tool.hatch.build.targets.wheel.hooks.custom]` go into the wheel twice, as source and as the
extension module that is imported in its place. Nothing is written into the source tree. It takes a C
compiler, Python's headers, and some minutes.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ENTRY = "switchgear"
"""What the one library is named after that the extension modules are doors to."""

_HIDDEN = "-fvisibility=hidden"
"""Nothing outside the library can put itself between a function in it and its callers, so they call it
without a detour, or have it inlined. The doors to the library get what they need from a table of it."""


class CompileHook(BuildHookInterface):
    """Adds the compiled modules to the wheel, and marks it as one for this Python and machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; the files lie in a temporary folder until the wheel is written.

        Editable installs stay as they are: they read the source tree, which has no extension modules.
        """
        if version != "standard":
            return
        self._folder = TemporaryDirectory(prefix="switchgear-mypyc-")
        folder = Path(self._folder.name)
        for library in _compiled(Path(self.root), self.config["modules"], folder):
            inside = library.relative_to(folder / "lib").as_posix()
            build_data["force_include"][str(library)] = inside
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel."""
        if version == "standard":
            self._folder.cleanup()


def _compiled(root: Path, modules: list[str], folder: Path) -> list[Path]:
    """Compile source files, paths from the root, and give the libraries under `folder / "lib"`.

    One library has all the code, so that calls between its modules are plain calls in C.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(root)
    extensions = mypycify(
        ["--config-file=pyproject.toml", f"--cache-dir={folder / 'cache'}", *modules],
        opt_level="3",
        debug_level="0",
        target_dir=str(folder / "c"),
        group_name=_ENTRY,
    )
    for extension in extensions:
        extension.extra_compile_args = [*extension.extra_compile_args, _HIDDEN]
    command = Distribution({"name": _ENTRY, "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    return sorted((folder / "lib").rglob("*.so"))
