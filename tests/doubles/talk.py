"""What the models of the doubles say, whatever format they are asked in: the same for the same words.

A text is answered by ANSWER. `weather` in the last user's text calls the first tool, `weathers` calls
it twice; a tool's result is told in a sentence; a schema is filled in; a picture is seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.doubles.anthropic_model import THOUGHTS, fill, pieces

__all__ = ["ANSWER", "CITIES", "SEEN_PICTURE", "THOUGHTS", "Asked", "Said", "pieces", "talk"]

ANSWER = "Hello! I am a double, naïve but predictable 🙂."
SEEN_PICTURE = "It is a picture."
CITIES = ("Paris", "Lyon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as far as an answer depends on it.

    text: of the last message. result: whether that is a tool's. tools: name and schema of each.
    forced: the tool that must be called. schema: of the wanted answer.
    """

    text: str
    result: bool = False
    tools: Sequence[tuple[str, Mapping[str, Any]]] = ()
    forced: str = ""
    parallel: bool = True
    schema: Mapping[str, Any] | None = None
    picture: bool = False
    thinks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer: thoughts, then a text or calls, each a name and its arguments."""

    thoughts: str = ""
    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()


def talk(asked: Asked) -> Said:
    """Answer a request."""
    thoughts = THOUGHTS if asked.thinks else ""
    tools = dict(asked.tools)
    if asked.tools and (asked.forced or ("weather" in asked.text and not asked.result)):
        name = asked.forced or asked.tools[0][0]
        cities = CITIES if "weathers" in asked.text and asked.parallel else CITIES[:1]
        return Said(thoughts=thoughts, calls=[(name, fill(tools[name], city)) for city in cities])
    if asked.schema is not None:
        return Said(thoughts=thoughts, text=json.dumps(fill(asked.schema, "Paris")))
    if asked.result:
        return Said(thoughts=thoughts, text=f"It is {asked.text}.")
    return Said(thoughts=thoughts, text=SEEN_PICTURE if asked.picture else ANSWER)
