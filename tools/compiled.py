"""Builds the wheel with compiled modules, and unpacks it where it can be run from.

    python tools/compiled.py            # make compiled: builds if anything has changed since
    python tools/compiled.py --check    # builds nothing; exit code 1 if there is nothing up to date

    PYTHONPATH=build/compiled .venv/bin/python -P -m switchgear run --manifests DIR

The checkout itself stays as it is: only `build/compiled/` has extension modules. Without -P, Python
would import from the directory that it is started in before it looks there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMPILED = ROOT / "build" / "compiled"
_STAMP = COMPILED / "made-of"
_TELL_S = 10.0


def main() -> int:
    """Build unless it is up to date, and tell what is going on."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    args = parser.parse_args()
    if _STAMP.is_file() and _STAMP.read_text() == fingerprint():
        _tell(f"{_shown(COMPILED)} is up to date")
        return 0
    if args.check:
        _tell(f"{_shown(COMPILED)} is {'out of date' if _STAMP.is_file() else 'not there'}")
        return 1
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if lacking := missing(shlex.split(compiler)[0], Path(sysconfig.get_path("include"))):
        for line in lacking:
            _tell(f"{line}; everything but compiled code works without")
        return 1
    return build()


def fingerprint() -> str:
    """Digest all that decides what comes out: sources, settings, pinned tools, the interpreter."""
    settings = _project()
    told = {
        "project": settings["project"],
        "tool": {name: settings["tool"][name] for name in ("hatch", "mypy")},
        "python": [sys.version, sysconfig.get_config_var("EXT_SUFFIX")],
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    packages = _wheel(settings)["packages"]
    sources = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    for path in (*sorted(sources), ROOT / "hatch_build.py", ROOT / "requirements/build.txt"):
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def missing(compiler: str, include: Path) -> Sequence[str]:
    """Tell what of the system is not there that compiling takes, and how to get it.

    compiler: a program. include: where Python's headers are to be.
    """
    lines = []
    if shutil.which(compiler) is None:
        lines.append(
            f"no C compiler: {compiler} was not found (on Debian: apt-get install gcc libc6-dev)"
        )
    header = include / "Python.h"
    if not header.is_file():
        lines.append(
            f"no headers of Python: {header} was not found (on Debian: apt-get install python3-dev)"
        )
    return lines


def build() -> int:
    """Build anew, in place of what there was if that succeeds; give the exit code."""
    count = len(_wheel(_project())["hooks"]["custom"]["modules"])
    _tell(f"compiling {count} modules with mypyc and the C compiler: some minutes")
    made_of = fingerprint()
    COMPILED.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compiling-", dir=COMPILED.parent) as name:
        folder = Path(name)
        code, said = _run(folder)
        if code:
            _tell(f"{said}\nnothing was built; what it says is above")
            return 1
        (wheel,) = folder.glob("*.whl")
        unpacked = folder / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        (unpacked / _STAMP.name).write_text(made_of)
        if COMPILED.exists():
            COMPILED.rename(folder / "replaced")
        unpacked.rename(COMPILED)
    _tell(f"{_shown(COMPILED)} is new; to run it: PYTHONPATH={_shown(COMPILED)} python -P -m ...")
    return 0


def _run(folder: Path) -> tuple[int, str]:
    """Build the wheel into a folder, and say now and then that it goes on: exit code, and output."""
    command = [
        *(str(Path(sys.executable).with_name("uv")), "build", "--wheel", "--out-dir", str(folder)),
        *("--build-constraints", str(ROOT / "requirements/build.txt"), "--require-hashes"),
        *("--python", sys.executable, str(ROOT)),
    ]
    log, began_s = folder / "log", time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=_environ(), stdout=output, stderr=output) as process,
    ):
        while True:
            try:
                process.wait(_TELL_S)
                break
            except subprocess.TimeoutExpired:
                _tell(f"  {time.monotonic() - began_s:.0f} s ...")
    return process.returncode, log.read_text(errors="replace")


def _environ() -> Mapping[str, str]:
    """Give our environment with the hook on, and without what would have Python look elsewhere."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "HATCH_BUILD_HOOK_ENABLE_CUSTOM": "true"}


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _wheel(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    wheel: Mapping[str, Any] = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    return wheel


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
