"""A Bedrock that talks by itself: it answers what it is asked instead of what was scripted.

Claude's thoughts are signed for the model, and a signature of anybody else's is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.doubles.anthropic_model import is_signed, sign
from tests.doubles.bedrock import Bedrock, Said, Seen
from tests.doubles.bedrock_rules import Refused
from tests.doubles.talk import Asked, talk

Blocks = Sequence[Mapping[str, Any]]


@dataclass
class TalkingBedrock(Bedrock):
    """Bedrock, with `talk` for whatever is not scripted."""

    call_numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def _call(self, seen: Seen, request: web.Request) -> web.StreamResponse:
        if seen.operation != "invoke":
            _check_signatures(seen)
            if not self._script:
                self.next(self._said(seen))
        return await super()._call(seen, request)

    def _said(self, seen: Seen) -> Said:
        asked = asked_of(seen.body)
        answer = talk(asked)
        blocks: list[Mapping[str, Any]] = []
        if answer.thoughts:
            signature = sign(answer.thoughts, _signer(seen.model))
            thought = {"text": answer.thoughts, "signature": signature}
            blocks.append({"reasoningContent": {"reasoningText": thought}})
        if answer.text:
            blocks.append({"text": answer.text})
        for name, arguments in answer.calls:
            use = {"toolUseId": f"tooluse_{next(self.call_numbers):022d}", "name": name}
            blocks.append({"toolUse": {**use, "input": arguments}})
        return Said(blocks, stop="tool_use" if answer.calls else "end_turn")


def asked_of(body: Mapping[str, Any]) -> Asked:
    """Read a Converse request as far as an answer depends on it."""
    blocks = body["messages"][-1]["content"]
    results = [block["toolResult"] for block in blocks if "toolResult" in block]
    inner: Blocks = results[0]["content"] if results else blocks
    config = body.get("toolConfig", {})
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    choice = config.get("toolChoice", {})
    forced = choice.get("tool", {}).get("name", "") or (specs[0]["name"] if "any" in choice else "")
    return Asked(
        text=" ".join(block["text"] for block in inner if "text" in block),
        result=bool(results),
        tools=[(spec["name"], spec["inputSchema"]["json"]) for spec in specs],
        forced=forced,
        picture=any("image" in block for block in blocks),
        thinks=body.get("additionalModelRequestFields", {}).get("thinking", {}).get("type")
        in {"enabled", "adaptive"},
    )


def _check_signatures(seen: Seen) -> None:
    for message in seen.body["messages"]:
        for block in message["content"]:
            match block:
                case {"reasoningContent": {"reasoningText": {"text": text, "signature": given}}}:
                    thought = {"type": "thinking", "thinking": text, "signature": given}
                    if not is_signed(thought, _signer(seen.model)):
                        raise Refused("Invalid `signature` in `thinking` block")
                case {"reasoningContent": {"reasoningText": _}}:
                    raise Refused("signature: Field required")
                case _:
                    pass


def _signer(model: str) -> str:
    return f"bedrock/{model}"
