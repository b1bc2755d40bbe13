"""What is known of an upstream model is found once, and never taken for another request's."""

from __future__ import annotations

from controlplane.table.schema import ProviderType
from dataplane.errors import RequestRejected
from dataplane.provider import Operation, Request
from dataplane.providers.openai_model import Envelope, UpstreamModel
from dataplane.wire.failures import OPENAI
from dataplane.wire.openai_reading import AnswerRules
from dataplane.wire.openai_rules import Rules
from dataplane.wire.request import parse_chat
from dataplane.wire.responses_replay import Place
from dataplane.wire.side_data import Origin
from dataplane.wire.thinking_tags import ThinkTags
from tests.dataplane.wire.openai_kit import chat


class _Addresses:
    """Counts how often it is asked, and knows no way for some."""

    def __init__(self) -> None:
        self.asked = 0

    def address(
        self, operation: Operation, model: str, secret: str | None, *, stream: bool, bridged: bool
    ) -> Envelope:
        self.asked += 1
        if secret == "wrong":
            raise RequestRejected("no way there")
        return f"http://up/{operation}/{model}?{stream}&{bridged}", {"authorization": secret or ""}


def _model(addresses: _Addresses) -> UpstreamModel:
    return UpstreamModel(
        "theirs",
        Rules(passes=frozenset({"temperature"})),
        answers=AnswerRules(table=OPENAI),
        tags=ThinkTags.KEPT,
        place=Place(origin=Origin(type=ProviderType.OPENAI, model="theirs"), scope="here"),
        addressing=addresses,
    )


def _plain() -> Request:
    return parse_chat(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')


def test_an_address_is_found_once_for_each_kind_of_request() -> None:
    addresses = _Addresses()
    model = _model(addresses)
    sent = [
        model.prepare(request, secret).http
        for request in (_plain(), chat(), chat(stream=True))
        for secret in ("a", "b", None, "a")
    ]

    assert 6 == addresses.asked
    assert ["a", "b", "", "a"] * 3 == [http.headers["authorization"] for http in sent]
    assert "http://up/chat/theirs?True&False" == sent[-1].url


def test_addresses_of_old_secrets_do_not_stay() -> None:
    addresses = _Addresses()
    model = _model(addresses)
    for at in range(257):
        model.prepare(_plain(), f"token {at}")
    again = model.prepare(_plain(), "token 0").http

    assert 258 == addresses.asked
    assert "token 0" == again.headers["authorization"]


def test_what_has_no_address_is_rejected_each_time() -> None:
    addresses = _Addresses()
    model = _model(addresses)
    rejected = 0
    for _ in range(2):
        try:
            model.prepare(_plain(), "wrong")
        except RequestRejected:
            rejected += 1

    assert (2, 2) == (rejected, addresses.asked)
