"""Writes requests for one upstream model of OpenAI's format.

An adapter meets the same few models again and again. What follows from a model's name is worked out
when it is first met; each request only looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from dataplane.provider import HttpRequest, Operation, Prepared, Request
from dataplane.wire.openai_plain import PlainWriter
from dataplane.wire.openai_reading import AnswerRules, Reading
from dataplane.wire.openai_request import Serialized, refuses_functions, serialize
from dataplane.wire.openai_rules import Rules
from dataplane.wire.responses_answer import Bridged
from dataplane.wire.responses_replay import Place
from dataplane.wire.responses_request import serialize as serialize_bridged
from dataplane.wire.thinking_tags import ThinkTags

READING: Final = "reading"
"""Where the context of a request keeps what reading its answer takes: a Reading, or Bridged."""

Envelope = tuple[str, Mapping[str, str]]
"""A URL and the headers that go there."""

_MAX_ENVELOPES: Final = 256
_CHAT: Final = Operation.CHAT


class Addressing(Protocol):
    """What knows where requests go, and what authorises them there."""

    def address(
        self, operation: Operation, model: str, secret: str | None, *, stream: bool, bridged: bool
    ) -> Envelope:
        """Give URL and headers of all requests of a kind. Raises RequestRejected.

        bridged: whether a chat goes to the Responses API.
        """
        ...


class UpstreamModel:
    """One model as an adapter knows it. place: of whom reasoning is that comes from it."""

    __slots__ = (
        "_addressing",
        "_answers",
        "_envelopes",
        "_place",
        "_tags",
        "_writer",
        "name",
        "rules",
    )

    def __init__(
        self,
        name: str,
        rules: Rules,
        *,
        answers: AnswerRules,
        tags: ThinkTags,
        place: Place,
        addressing: Addressing,
    ) -> None:
        """Keep what is known, and work out what follows from it."""
        self.name = name
        self.rules = rules
        self._answers = answers
        self._tags = tags
        self._place = place
        self._writer = PlainWriter(rules)
        self._addressing = addressing
        self._envelopes: dict[tuple[Operation, bool, bool, str | None], Envelope] = {}

    def prepare(self, request: Request, secret: str | None) -> Prepared:
        """Build the request. Raises RequestRejected for what this upstream cannot be told."""
        bridged = self._is_bridged(request)
        serialized = None if bridged else self._plainly(request)
        if serialized is None:
            serialized = (
                serialize_bridged(request, self.name, self.rules, self._place)
                if bridged
                else serialize(request, self.name, self.rules)
            )
        url, headers = self._addressed(request, secret, bridged=bridged)
        reading = Reading(
            request=request,
            upstream_model=self.name,
            rules=self._answers,
            names=serialized.names,
            tags=self._tags,
            provider_type=self._place.origin.type,
        )
        how = Bridged(reading=reading, place=self._place) if bridged else reading
        return Prepared(
            http=HttpRequest(method="POST", url=url, headers=headers, body=serialized.body),
            warnings=serialized.warnings,
            context={READING: how},
        )

    def _is_bridged(self, request: Request) -> bool:
        """Tell whether a request goes to the Responses API."""
        return (
            self.rules.bridge_efforts is not None
            and request.operation is _CHAT
            and refuses_functions(request, self.rules)
        )

    def _plainly(self, request: Request) -> Serialized | None:
        """Write a plain chat, if this model takes it as it is."""
        if request.plain is None:
            return None
        body = self._writer.write(request.plain, self.name)
        return None if body is None else Serialized(body=body)

    def _addressed(self, request: Request, secret: str | None, *, bridged: bool) -> Envelope:
        """Give URL and headers, found once for each kind of request."""
        kind = (request.operation, request.stream, bridged, secret)
        made = self._envelopes.get(kind)
        if made is None:
            made = self._addressing.address(
                request.operation, self.name, secret, stream=request.stream, bridged=bridged
            )
            if len(self._envelopes) >= _MAX_ENVELOPES:
                # Tokens change by the hour, and what was made for old ones is of no use.
                self._envelopes.clear()
            self._envelopes[kind] = made
        return made
