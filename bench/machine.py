"""Which machine, interpreter and libraries figures belong to."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("switchgear", "aiohttp", "uvloop", "msgspec", "pydantic", "opentelemetry-sdk")


def describe() -> Mapping[str, str]:
    """Name what decides over the figures; load is that of the last minute."""
    cpus = len(os.sched_getaffinity(0))
    return {
        "machine": f"{_cpu_model()}, {cpus} CPUs, {_memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "load": f"{os.getloadavg()[0]:.2f}",
    }


def ticks() -> Mapping[str, int]:
    """Tell how the CPUs' time was spent since the machine began, in the kernel's ticks."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return dict(zip(names, map(int, words), strict=False))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
