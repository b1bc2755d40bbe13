"""Every vendor's errors, as its golden files have them, reach OpenAI's client as OpenAI's own errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import openai
import pytest

from controlplane.table.schema import ProviderType
from dataplane.codec import decode
from tests import matrix
from tests.doubles.upstream import Exchange, Upstream
from tests.e2e.nine import HOUSES, NINE, Entrance, calling, of_vendor, table_of
from tests.fakes import RETRY

# The client's own classes, by the caller's status; everything else from 500 on is one class.
CLASSES: Mapping[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    429: openai.RateLimitError,
}


def playing(kind: ProviderType) -> Upstream:
    """An upstream that answers with the golden error that the request's path begins with."""
    answers = {path.name.removesuffix(".in.json"): path for path in matrix.errors(kind)}

    async def behave(exchange: Exchange) -> None:
        case = exchange.request.path.split("/")[1]
        answer = matrix.native(answers[case])
        exchange.whole(answer.body, code=answer.status, headers=answer.headers)

    return Upstream(default=behave)


@pytest.mark.parametrize("kind", NINE)
async def test_each_error_is_told_as_its_golden_file_says(kind: ProviderType) -> None:
    """One provider a case, so that no breaker of another one is in the way."""
    paths = {path.name.removesuffix(".in.json"): path for path in matrix.errors(kind)}
    async with playing(kind) as upstream:
        known: Entrance = of_vendor(kind, upstream)
        root = upstream.url.removesuffix("/v1")
        places = {
            case: [
                (
                    replace(known.configured(case), base_url=f"{root}/{case}/v1"),
                    HOUSES[kind].model,
                )
            ]
            for case in paths
        }
        table = table_of(places, retry=replace(RETRY, attempts=1))
        async with calling(table) as caller:
            for case, path in paths.items():
                expected = decode(path.with_name(f"{case}.out.json").read_bytes())["caller"]
                with pytest.raises(CLASSES.get(expected["status"], openai.InternalServerError)):
                    await caller.client.chat.completions.create(
                        model=case, messages=[{"role": "user", "content": "hello"}]
                    )
                heard = caller.heard[-1]

                assert expected["status"] == heard.status, case
                assert expected["body"] == decode(bytes(heard.raw)), case
                assert expected["headers"].items() <= heard.headers.items(), case
                assert [] == heard.complaints()
