"""Brings the tool calls of one choice's deltas into the one shape.

Upstreams number calls from 0, from 1, all with 0 or not at all; repeat ids and names or send them
empty; cut a call into many deltas or send it whole. What comes out: dense indexes from 0; id, type
and name once, in the first delta of a call; arguments that are never null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dataplane.wire.openai_reading import arguments_text, invented_id, malformed

_CALL_KEYS: Final = frozenset({"index", "id", "type", "function", "custom"})


@dataclass(slots=True)
class _Call:
    """A call under way.

    index, id: ours; the index counts first deltas, as one that waits must leave no gap.
    given_id, name: the upstream's. begun: its first delta has gone out.
    spoke: some of its arguments have. waiting: arguments that came before the name.
    """

    id: str
    given_id: str
    kind: str
    name: str = ""
    index: int = -1
    begun: bool = False
    spoke: bool = False
    waiting: list[str] = field(default_factory=list)


class ToolDeltas:
    """The calls of one choice; fresh for each choice of each stream.

    names: the upstream's tool names -> the caller's. seed: what missing ids are made from.
    """

    __slots__ = ("_begun", "_by_index", "_calls", "_ids", "_names", "_seed")

    def __init__(self, names: Mapping[str, str], seed: str) -> None:
        self._names = names
        self._seed = seed
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._ids: dict[str, _Call] = {}
        self._begun = 0

    @property
    def called(self) -> bool:
        """Whether any tool was called."""
        return bool(self._calls)

    def read(self, entries: Sequence[Any]) -> list[dict[str, Any]]:
        """Read the `tool_calls` of a delta; the result may be empty, and names each index once."""
        written: dict[int, dict[str, Any]] = {}
        for entry in entries:
            if not isinstance(entry, dict):
                raise malformed("a tool call of the stream is not an object")
            call, inner = self._call(entry)
            if call is None:
                continue
            delta = self._delta(call, entry, inner)
            if delta is None:
                continue
            before = written.get(call.index)
            if before is None:
                written[call.index] = delta
            else:
                # Two entries of one call in one delta, as vLLM sends them.
                field_name = _text_field(call.kind)
                before[call.kind][field_name] += delta[call.kind][field_name]
        return list(written.values())

    def close(self) -> list[dict[str, Any]]:
        """Return what is still owed at the end: calls without a name, and missing arguments."""
        owed: list[dict[str, Any]] = []
        for call in self._calls:
            text = "".join(call.waiting) or ("" if call.kind == "custom" else "{}")
            if not call.begun:
                owed.append(self._first(call, text, {}, {}))
            elif not call.spoke and text:
                call.spoke = True
                owed.append({"index": call.index, call.kind: {_text_field(call.kind): text}})
        return owed

    def _call(self, entry: Mapping[str, Any]) -> tuple[_Call | None, Mapping[str, Any]]:
        """Find the call that an entry belongs to, or begin a new one."""
        kind = "custom" if isinstance(entry.get("custom"), dict) else "function"
        inner = entry.get(kind)
        inner = inner if isinstance(inner, dict) else {}
        given = entry.get("id")
        call_id = given if isinstance(given, str) else ""
        name = inner.get("name")
        name = name if isinstance(name, str) else ""
        index = entry.get("index")
        index = index if isinstance(index, int) else None
        if index is not None:
            known = self._by_index.get(index)
            # 1. Old servers number all calls alike: another id, or another name where there are
            #    no ids, is another call. A repeated one is not.
            if known is not None and name and _differs(known, call_id, name):
                known = None
        elif call_id and call_id in self._ids:
            known = self._ids[call_id]
        elif name or call_id:
            # 2. Without a number, a name begins a call.
            known = None
        else:
            known = self._calls[-1] if self._calls else None
            if known is None:
                return None, inner
        if known is None:
            known = self._begin(call_id, kind)
        if index is not None:
            self._by_index[index] = known
        if name and not known.name:
            known.name = name
        return known, inner

    def _begin(self, call_id: str, kind: str) -> _Call:
        at = len(self._calls)
        fresh = call_id if call_id and call_id not in self._ids else invented_id(self._seed, at)
        call = _Call(id=fresh, given_id=call_id, kind=kind)
        self._calls.append(call)
        self._ids[fresh] = call
        return call

    def _delta(
        self, call: _Call, entry: Mapping[str, Any], inner: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        field_name = _text_field(call.kind)
        text = arguments_text(inner.get(field_name))
        if call.begun:
            if not text:
                return None
            call.spoke = True
            return {"index": call.index, call.kind: {field_name: text}}
        if not call.name:
            # The name comes later: it must be in the first delta.
            if text:
                call.waiting.append(text)
            return None
        return self._first(call, "".join([*call.waiting, text]), entry, inner)

    def _first(
        self, call: _Call, text: str, entry: Mapping[str, Any], inner: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a call's first delta; keys that we do not know pass."""
        call.begun = True
        call.index = self._begun
        self._begun += 1
        call.spoke = bool(text)
        rest = {key: value for key, value in entry.items() if key not in _CALL_KEYS}
        name = self._names.get(call.name, call.name)
        inside = {**inner, "name": name, _text_field(call.kind): text}
        return {"index": call.index, "id": call.id, "type": call.kind, call.kind: inside, **rest}


def _differs(known: _Call, call_id: str, name: str) -> bool:
    """Tell whether an entry with a name is another call than the last one of the same number."""
    if call_id and known.given_id:
        return call_id != known.given_id
    return bool(known.name) and name != known.name


def _text_field(kind: str) -> str:
    return "input" if kind == "custom" else "arguments"
