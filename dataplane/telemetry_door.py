"""The calls to OpenTelemetry that happen on the request path, none of which may cost a request."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry import trace  # noqa: TID251 - part of the door
from opentelemetry.context import Context  # noqa: TID251 - as above
from opentelemetry.propagators.textmap import Getter, TextMapPropagator  # noqa: TID251 - as above
from opentelemetry.trace import (  # noqa: TID251 - as above
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
)

from dataplane.telemetry_attributes import Attributes

logger = logging.getLogger(__name__)

NO_CONTEXT = Context()
"""The empty context: neither a parent nor baggage. Passed wherever the current one would be."""


class Door:
    """A tracer and a propagator, guarded.

    A propagator, sampler or processor may be a stranger's, so each call is guarded: what it
    raises is counted in `errors`, told once, and the request goes on without that piece.
    """

    def __init__(self, tracer: Tracer, propagator: TextMapPropagator) -> None:
        """Use this tracer and propagator."""
        self._tracer = tracer
        self._propagator = propagator
        self.errors = 0

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: Context,
        attributes: Attributes,
        *,
        start_ns: int,
        links: Sequence[Link] = (),
    ) -> Span:
        """Start a span, or give the invalid one."""
        try:
            return self._tracer.start_span(
                name, parent, kind, attributes, links, start_time=start_ns
            )
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)
            return trace.INVALID_SPAN

    def event(self, span: Span, name: str, attributes: Attributes, at_ns: int) -> None:
        """Add an event."""
        try:
            span.add_event(name, attributes, at_ns)
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)

    def finish(
        self,
        span: Span,
        attributes: Attributes,
        end_ns: int,
        *,
        failed: bool,
        description: str | None,
    ) -> None:
        """Set the last attributes and the status, and end the span whatever becomes of them."""
        try:
            span.set_attributes(attributes)
            if failed:
                span.set_status(StatusCode.ERROR, description)
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)
        try:
            span.end(end_ns)
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)

    def extract(self, headers: Mapping[str, str]) -> Context:
        """Read the caller's context; an empty one if there is none or it cannot be read."""
        try:
            return self._propagator.extract(headers, NO_CONTEXT, _HEADERS)
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)
            return NO_CONTEXT

    def inject(self, context: Context) -> Mapping[str, str]:
        """Give the headers that carry a context, with lower-case names."""
        carrier: dict[str, str] = {}
        try:
            self._propagator.inject(carrier, context)
        except Exception as error:  # noqa: BLE001 - see the class
            self._note(error)
            return {}
        return {name.lower(): value for name, value in carrier.items()}

    def _note(self, error: Exception) -> None:
        self.errors += 1
        if self.errors == 1:
            logger.warning("telemetry: %s in OpenTelemetry, counted from now on", type(error))


class _HeaderGetter(Getter[Mapping[str, str]]):
    """Reads a caller's headers, repeated ones included (`tracestate` may come in pieces)."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        """Give all values of a header, None if there is none."""
        every = getattr(carrier, "getall", None)
        if every is not None:
            return every(key, None)  # type: ignore[no-any-return]  # a multidict's own method
        value = carrier.get(key)
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        """List the headers' names."""
        names_: Iterable[str] = carrier
        return list(names_)


_HEADERS = _HeaderGetter()
