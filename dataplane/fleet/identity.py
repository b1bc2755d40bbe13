"""Who a worker is for telemetry: an instance of its own, whatever the environment names."""

from __future__ import annotations

from collections.abc import Mapping

_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_INSTANCE = "service.instance.id"


def own_environ(environ: Mapping[str, str], worker: int) -> Mapping[str, str]:
    """Return the environment with the worker's number behind `service.instance.id`.

    All workers inherit one environment, and two instances must not have one identity. Without the
    attribute there is nothing to do, as each process then takes a random one.

    Source: OpenTelemetry semantic conventions, "Service", service.instance.id, read 2026-11-25.
    """
    pairs = environ.get(_ATTRIBUTES, "").split(",")
    named = [
        f"{pair.rstrip()}.{worker}" if pair.partition("=")[0].strip() == _INSTANCE else pair
        for pair in pairs
    ]
    return environ if named == pairs else {**environ, _ATTRIBUTES: ",".join(named)}
