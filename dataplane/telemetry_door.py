"""The calls to OpenTelemetry's API that happen on the request path, none of which may cost one.

Only loaded where something of a stranger's is asked for: a propagator that is not W3C's, or a
provider that an instrumenting launcher has made global before us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from opentelemetry import trace  # noqa: TID251 - part of the door
from opentelemetry.context import Context  # noqa: TID251 - as above
from opentelemetry.propagators.composite import CompositePropagator  # noqa: TID251 - as above
from opentelemetry.propagators.textmap import TextMapPropagator  # noqa: TID251 - as above
from opentelemetry.trace import (  # noqa: TID251 - as above
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
)

from dataplane.telemetry_attributes import Attribute
from dataplane.telemetry_guard import Guard
from dataplane.telemetry_records import Kind, Shared, SpanContext, SpanEvent, SpanRecord
from dataplane.telemetry_settings import SettingsError
from dataplane.telemetry_tracer import Followed
from dataplane.telemetry_w3c import Inbound

NO_CONTEXT = Context()
"""The empty context: neither a parent nor baggage. Passed wherever the current one would be."""

_NOWHERE = SpanContext("", "", 0, "", remote=False)
"""Of a span that could not be started: no trace to tell of, nothing to pass on."""


def propagator(chosen: Sequence[str]) -> TextMapPropagator:
    """Load propagators by the names of OTEL_PROPAGATORS. Raises SettingsError."""
    found: list[TextMapPropagator] = []
    for name in chosen:
        matching = tuple(entry_points(group="opentelemetry_propagator", name=name))
        if not matching:
            raise SettingsError(f'OTEL_PROPAGATORS: "{name}" is unknown or not installed')
        try:
            found.append(matching[0].load()())
        except (ImportError, AttributeError) as error:
            raise SettingsError(f'OTEL_PROPAGATORS: "{name}" cannot be loaded: {error}') from error
    return CompositePropagator(found)


def api_context(context: SpanContext) -> trace.SpanContext:
    """Give the API's form of a context."""
    return trace.SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        context.remote,
        trace.TraceFlags(context.flags),
        trace.TraceState.from_header([context.state]),
    )


class ApiPropagation:
    """Propagators of the API, guarded. Baggage is kept as their context."""

    def __init__(self, propagator: TextMapPropagator, guard: Guard) -> None:
        """Use this propagator."""
        self._propagator = propagator
        self._guard = guard

    def extract(self, headers: Mapping[str, str]) -> Inbound:
        """Read the caller's context; an empty one if there is none or it cannot be read."""
        try:
            context = self._propagator.extract(headers, NO_CONTEXT)
            found = trace.get_current_span(context).get_span_context()
            return Inbound(_own(found) if found.is_valid else None, context)
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)
            return Inbound(None, NO_CONTEXT)

    def inject(self, context: SpanContext, baggage: object) -> Mapping[str, str]:
        """Give the headers that carry a context, with lower-case names."""
        if not context.trace_id:
            return {}
        carrier: dict[str, str] = {}
        base = baggage if isinstance(baggage, Context) else NO_CONTEXT
        span = trace.NonRecordingSpan(api_context(context))
        try:
            self._propagator.inject(carrier, trace.set_span_in_context(span, base))
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)
            return {}
        return {name.lower(): value for name, value in carrier.items()}


class ApiSpan:
    """A span that another's provider keeps."""

    __slots__ = ("context", "span")

    def __init__(self, span: Span) -> None:
        """Follow a started span."""
        self.context = _own(span.get_span_context())
        self.span = span


class ApiTracer:
    """A tracer of the API, guarded: what it raises is counted, and the request goes on."""

    def __init__(self, tracer: Tracer, guard: Guard) -> None:
        """Use this tracer."""
        self._tracer = tracer
        self._guard = guard

    def start(
        self,
        name: str,
        inbound: Inbound,
        *,
        first: Shared,
        start_ns: int,
        links: Sequence[SpanContext],
    ) -> ApiSpan:
        """Start a server span, or follow the invalid one."""
        parent = inbound.baggage if isinstance(inbound.baggage, Context) else NO_CONTEXT
        linked = [Link(api_context(link)) for link in links]
        return self._start(
            name, Kind.SERVER, parent, attributes=first.attributes, start_ns=start_ns, links=linked
        )

    def child(self, above: Followed, start: SpanRecord) -> ApiSpan:
        """Start a client span, or follow the invalid one."""
        assert isinstance(above, ApiSpan), "started by this tracer"
        return self._start(
            start.name,
            Kind.CLIENT,
            trace.set_span_in_context(above.span, NO_CONTEXT),
            attributes=start.all_attributes(),
            start_ns=start.start_ns,
            links=(),
        )

    def new_span_id(self) -> str:
        """Give the invalid id: here each attempt has a span of its own."""
        return trace.format_span_id(trace.INVALID_SPAN_ID)

    def end(self, followed: Followed, record: SpanRecord) -> None:
        """Set events, all attributes and the status, and end the span whatever happens."""
        assert isinstance(followed, ApiSpan), "started by this tracer"
        span = followed.span
        try:
            for event in record.events:
                _add(span, event)
            span.set_attributes(record.all_attributes())
            if record.failed:
                span.set_status(StatusCode.ERROR, record.description or None)
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)
        try:
            span.end(record.end_ns)
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)

    def _start(
        self,
        name: str,
        kind: Kind,
        parent: Context,
        *,
        attributes: Mapping[str, Attribute],
        start_ns: int,
        links: Sequence[Link],
    ) -> ApiSpan:
        try:
            span = self._tracer.start_span(
                name, parent, SpanKind[kind.name], attributes, links, start_time=start_ns
            )
        except Exception as error:  # noqa: BLE001 - see Guard
            self._guard.note(error)
            span = trace.INVALID_SPAN
        return ApiSpan(span)


def _add(span: Span, event: SpanEvent) -> None:
    span.add_event(event.name, event.attributes, event.at_ns)


def _own(context: trace.SpanContext) -> SpanContext:
    if not context.is_valid:
        return _NOWHERE
    return SpanContext(
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        int(context.trace_flags),
        context.trace_state.to_header(),
        remote=context.is_remote,
    )
