"""A process that makes spans as its environment says; run by `test_telemetry_process`.

Arguments: how many requests to make, and the seconds that the flush gets. Prints the status.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from controlplane.table.schema import ProviderType
from dataplane.telemetry import Decision, RequestOutcome, TelemetrySettings, build
from tests.dataplane.telemetry_cases import begin, provider, request, target


async def main(count: int, flush_s: float) -> None:
    built = build(os.environ, version="1.2.3", settings=TelemetrySettings())
    vllm = provider(ProviderType.VLLM)
    for _ in range(count):
        span = begin(built)
        attempt = span.attempt(vllm, target(vllm), request(), 1)
        attempt.headers()
        attempt.end(Decision.SERVED)
        span.end(RequestOutcome.SERVED, 200)
    await built.shutdown(flush_s)
    loaded = sorted(name for name in sys.modules if name.startswith("opentelemetry"))
    for thread in threading.enumerate():
        # It has told us that it is done, and may still be on its way out.
        if thread.name == "telemetry-flush":
            thread.join(5.0)
    threads = [thread.name for thread in threading.enumerate()]
    sys.stderr.write(f"{built.status()}\n{loaded}\n{threads}\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
