"""What a candidate is, and what it takes to start one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

KEY = "bench-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a candidate is to run: its port, the upstream's, and a folder of its own.

    more_routes: routes that nobody calls, beside those that are called. rereads: whether manifests
    are read anew from time to time though nothing has changed, as by default.
    """

    port: int
    upstream_port: int
    folder: Path
    more_routes: int = 0
    rereads: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How it is started.

    admin_port: where Switchgear tells of its spans, 0 for others. manifests: where it reads them.
    """

    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    admin_port: int = 0
    manifests: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One proxy.

    version: empty if it is not installed; `how` tells how to install it then.
    headers: lines that each request to it needs beside the usual ones.
    translates: whether it is set up for upstreams of other formats too.
    is_ours: whether it is Switchgear. is_variant: whether another candidate is the same, but for
    one setting. is_heavy: it gets fewer requests where they are counted.
    is_alone: it is only started, and loaded, on its own: for its memory.
    """

    name: str
    version: str
    how: str
    launch: Callable[[Site], Launch]
    headers: Callable[[Site], Mapping[str, str]] = lambda _: {}
    translates: bool = False
    is_ours: bool = False
    is_variant: bool = False
    is_heavy: bool = False
    is_alone: bool = False
