"""Every metric there is: names, units, buckets and labels.

`gen_ai.*` are the names of semantic conventions 1.41, which released libraries, gateways and
dashboards use today; the GenAI conventions' own repository is renaming them. `http.server.*` is
stable. All others are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from dataplane import telemetry_names as names
from dataplane.metric_points import Instrument, Kind

METHOD = names.HTTP_METHOD
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - a name
OTHER = "_other"
"""A model's name beyond what is kept apart."""

_SECONDS = tuple(0.01 * 2**step for step in range(14))
_TOKENS = tuple(float(4**step) for step in range(14))
_HTTP = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_OVERHEAD = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)

_CALL = (
    names.OPERATION,
    names.PROVIDER,
    names.REQUEST_MODEL,
    names.RESPONSE_MODEL,
    names.SERVER_ADDRESS,
    names.SERVER_PORT,
)

OPERATION_DURATION = Instrument(
    name="gen_ai.client.operation.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time of one provider call, failed ones included",
    labels=(*_CALL, names.ERROR_TYPE),
    bounds=_SECONDS,
)
FIRST_CHUNK = Instrument(
    name="gen_ai.client.operation.time_to_first_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time of one streamed provider call until its first content",
    labels=_CALL,
    bounds=_SECONDS,
)
TOKEN_USAGE = Instrument(
    name="gen_ai.client.token.usage",
    kind=Kind.HISTOGRAM,
    unit="{token}",
    description="Tokens of one provider call, as the provider counted them",
    labels=(*_CALL, TOKEN_TYPE),
    bounds=_TOKENS,
)
REQUEST_DURATION = Instrument(
    name="http.server.request.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time of one request, until its last byte was handed on",
    labels=(
        *(METHOD, names.URL_SCHEME, names.HTTP_ROUTE, names.HTTP_STATUS, names.ERROR_TYPE),
        *(names.ROUTE, names.OUTCOME),
    ),
    bounds=_HTTP,
)
REQUEST_FIRST_CHUNK = Instrument(
    name=f"{names.NS}.request.time_to_first_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time of one streamed request until its first byte out",
    labels=(names.ROUTE,),
    bounds=_SECONDS,
)
OVERHEAD = Instrument(
    name=f"{names.NS}.overhead.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Time of one request that was neither a provider call nor a pause",
    labels=(names.ROUTE,),
    bounds=_OVERHEAD,
)
ATTEMPTS = Instrument(
    name=f"{names.NS}.attempts",
    kind=Kind.COUNTER,
    unit="{attempt}",
    description="Provider calls that have ended",
    labels=(names.ENDPOINT, names.DECISION, names.ERROR_TYPE),
)
SKIPPED = Instrument(
    name=f"{names.NS}.targets.skipped",
    kind=Kind.COUNTER,
    unit="{target}",
    description="Targets passed over; of one request the last 16 steps count",
    labels=(names.ENDPOINT, names.REASON),
)
WASTED = Instrument(
    name=f"{names.NS}.wasted",
    kind=Kind.COUNTER,
    unit="s",
    description="Time inside provider calls that did not serve",
    labels=(names.ENDPOINT,),
)
CIRCUIT_STATE = Instrument(
    name=f"{names.NS}.circuit.state",
    kind=Kind.GAUGE,
    unit="1",
    description="0 closed, 1 half open, 2 open",
    labels=(names.ENDPOINT, names.REQUEST_MODEL),
)
REQUESTS_ACTIVE = Instrument(
    name=f"{names.NS}.requests.active",
    kind=Kind.UP_DOWN,
    unit="{request}",
    description="Requests under way",
)
UPSTREAM_ACTIVE = Instrument(
    name=f"{names.NS}.upstream.active",
    kind=Kind.UP_DOWN,
    unit="{attempt}",
    description="Provider calls under way",
    labels=(names.ENDPOINT,),
)
GENERATION = Instrument(
    name=f"{names.NS}.generation",
    kind=Kind.GAUGE,
    unit="1",
    description="Number of the table in force",
)
PROBLEMS = Instrument(
    name=f"{names.NS}.manifests.problems",
    kind=Kind.GAUGE,
    unit="{problem}",
    description="Errors and warnings in the manifests",
)

INSTRUMENTS: Sequence[Instrument] = (
    OPERATION_DURATION,
    FIRST_CHUNK,
    TOKEN_USAGE,
    REQUEST_DURATION,
    REQUEST_FIRST_CHUNK,
    OVERHEAD,
    ATTEMPTS,
    SKIPPED,
    WASTED,
    CIRCUIT_STATE,
    REQUESTS_ACTIVE,
    UPSTREAM_ACTIVE,
    GENERATION,
    PROBLEMS,
)
