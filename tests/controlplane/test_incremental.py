"""What is carried from one compilation to the next spares work, and never changes a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from controlplane.compile import Compiled, compile_table
from controlplane.conditions import evaluate
from controlplane.document import Document
from controlplane.last_good import LastGood, Memory
from controlplane.status import Conditions, circuits_of
from controlplane.table import snapshot
from controlplane.table.layout import EMPTY_LAYOUT, lay_out, prepare
from controlplane.table.live import LiveTable
from controlplane.table.outcome import Outcome, OutcomeKind
from controlplane.table.permit import Permit
from tests.controlplane.texts import compiled, joined, provider, read, read_all, route

FILES = ("a.yaml", "dir/b.yaml", "c.yaml", "dir/d.yaml", "e.yaml")
PROVIDERS = (
    provider("p"),
    provider("p", "baseUrl: http://localhost:1"),
    provider("p", "circuitBreaker: {mode: ForceOpen}, labels: {x: y}"),
    provider("p", "oops: 1"),
    provider("q", "labels: {x: y}"),
    provider("q").replace("name: q", "name: q, namespace: other"),
    provider("q", "models: [{name: m, price: {input: 1, output: 2}}]"),
)
ROUTES = (
    route("r", ["m", "n*"], ["p/m", "q/m"]),
    route("r", ["m"], ["q/m", "p/x"], "strategy: LowestCost"),
    route("r", ["m"], ["nobody/m"]),
    route("r", ["m"], ["p/m"], "oops: 1"),
    route("s", ["m", "s"], ["p/m", "q/m"], "requires: {labels: {x: y}}"),
    route("s", ["s", "*"], ["p/m"]).replace("name: s", "name: s, namespace: other"),
    route("t", ["n*", "*"], ["q/t"]),
)
OTHERS = (
    "kind: LLMProvider\n",
    "kind: Pod\napiVersion: v1\n",
    "just text\n",
)


def forgetful(good: LastGood) -> LastGood:
    """Keep the last good versions, and nothing that spares work."""
    return replace(good, memory=Memory())


class Edits(RuleBasedStateMachine):
    """A directory that is edited at random, compiled on and on, and anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.documents: dict[str, Sequence[Document]] = {}
        self.unreadable: frozenset[str] = frozenset()
        self.keep_absent = False
        self.live = LiveTable(random=lambda: 0.5)
        self.conditions = Conditions()
        self.permits: list[Permit] = []
        self.generation = 0
        self.now_s = 0.0

    @initialize()
    def begin(self) -> None:
        self.result = compile_table([])
        self.anew = self.result

    @rule(
        file=st.sampled_from(FILES[:2]),
        documents=st.lists(st.sampled_from(PROVIDERS), min_size=1, max_size=2),
    )
    def write_providers(self, file: str, documents: list[str]) -> None:
        self.write(file, documents)

    @rule(
        file=st.sampled_from(FILES[2:4]),
        documents=st.lists(st.sampled_from(ROUTES), min_size=1, max_size=3),
    )
    def write_routes(self, file: str, documents: list[str]) -> None:
        self.write(file, documents)

    @rule(documents=st.lists(st.sampled_from((*PROVIDERS, *ROUTES, *OTHERS)), max_size=4))
    def write_anything(self, documents: list[str]) -> None:
        self.write("e.yaml", documents)

    def write(self, file: str, documents: list[str]) -> None:
        text = joined(*documents)
        if self.texts.get(file) != text:
            self.texts[file] = text
            self.documents[file] = read(text, file)
        self.compile()

    @rule(file=st.sampled_from(FILES))
    def delete(self, file: str) -> None:
        self.texts.pop(file, None)
        self.documents.pop(file, None)
        self.compile()

    @rule(unreadable=st.sets(st.sampled_from((*FILES, "dir")), max_size=2), keep=st.booleans())
    def lose_sight(self, unreadable: set[str], keep: bool) -> None:
        self.unreadable = frozenset(unreadable)
        self.keep_absent = keep

    @rule(kind=st.sampled_from([OutcomeKind.SUCCESS, OutcomeKind.FAILURE]))
    def call(self, kind: OutcomeKind) -> None:
        """Give each target an outcome, so that circuits open and conditions move."""
        table = self.live.table
        for entry in table.routes.values():
            for target in entry.targets:
                permit = self.live.admit(target, table, self.now_s)
                if isinstance(permit, Permit):
                    self.live.record(permit, Outcome(kind=kind, latency_s=0.1), self.now_s)

    @rule()
    def read_again(self) -> None:
        """Nothing has changed, or another look shows what could not be seen."""
        self.compile()

    def compile(self) -> None:
        before = self.result.good
        self.now_s += 1.0
        self.result = self._compiled(self.documents, before)
        afresh = {file: read(text, file) for file, text in self.texts.items()}
        self.anew = self._compiled(afresh, forgetful(before))
        self.generation += 1
        table = replace(self.result.table, generation=self.generation)
        prepared = prepare(table, self.live.layout)
        self.live.install(table, self.now_s, prepared)

    def _compiled(self, files: dict[str, Sequence[Document]], good: LastGood) -> Compiled:
        documents = [document for file in sorted(files) for document in files[file]]
        return compile_table(
            documents, good, unreadable=self.unreadable, keep_absent=self.keep_absent
        )

    @invariant()
    def compiling_on_is_compiling_anew(self) -> None:
        assert self.anew.table == self.result.table
        assert list(self.anew.problems) == list(self.result.problems)
        assert list(self.anew.objects) == list(self.result.objects)
        assert self.anew.good.providers == self.result.good.providers
        assert self.anew.good.routes == self.result.good.routes

    @invariant()
    def the_version_is_that_of_the_content(self) -> None:
        assert snapshot.content_version(self.result.table) == self.result.table.version

    @invariant()
    def the_layout_is_that_of_the_table(self) -> None:
        assert lay_out(self.live.table, EMPTY_LAYOUT) == self.live.layout

    @invariant()
    def conditions_are_those_of_now(self) -> None:
        told = list(
            self.conditions.of(self.result.objects, self.live, braked="held", now_s=self.now_s)
        )
        fresh = [
            evaluate(
                verdict,
                circuits=circuits_of(verdict, self.live, self.now_s),
                pending="" if verdict.document else "held",
            )
            for verdict in self.result.objects
        ]

        assert fresh == [
            [replace(condition, since_s=0.0) for condition in item.conditions] for item in told
        ]


Edits.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestEdits = Edits.TestCase


def test_what_did_not_change_is_the_very_same_object() -> None:
    files = {
        "a.yaml": joined(provider("a"), route("r", ["m"], ["a/x"])),
        "b.yaml": joined(provider("b"), route("s", ["n"], ["b/x"])),
    }
    documents = read_all(files)
    before = compile_table(documents)
    changed = [
        *(document for document in documents if document.origin == "a.yaml"),
        *read(joined(provider("b"), route("s", ["other"], ["b/x"])), "b.yaml"),
    ]

    after = compile_table(changed, before.good)

    assert before.table.routes["r"] is after.table.routes["r"]
    assert before.table.providers["a"] is after.table.providers["a"]
    assert before.objects[1] is after.objects[1]
    assert ("n",) != after.table.routes["s"].models
    assert (4, 2) == (before.fresh, after.fresh)


def test_a_route_is_compiled_again_when_its_provider_moves() -> None:
    files = {"a.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
    documents = read_all(files)
    before = compile_table(documents)
    moved = [*read(provider("a", "baseUrl: http://localhost:1")), documents[1]]

    after = compile_table(moved, before.good)

    assert after.table.providers["a"].target_key("x") == after.table.routes["r"].targets[0].key


def test_a_name_that_is_claimed_before_a_settled_route_is_lost_to_it() -> None:
    files = {"b.yaml": joined(provider("a"), route("r", ["m", "n"], ["a/x"]))}
    documents = read_all(files)
    before = compile_table(documents)
    first = read(route("q", ["m"], ["a/x"]), "a.yaml")

    after = compile_table([*first, *documents], before.good)

    assert {"m": "q", "n": "r"} == after.table.exact
    assert compiled(files | {"a.yaml": route("q", ["m"], ["a/x"])}).table == after.table


def test_conditions_that_did_not_move_are_not_made_again() -> None:
    result = compiled({"a.yaml": joined(provider("a"), route("r", ["m"], ["a/x"]))})
    live = LiveTable(random=lambda: 0.5)
    live.install(replace(result.table, generation=1), 0.0)
    conditions = Conditions()

    first = list(conditions.of(result.objects, live, braked="", now_s=1.0))
    second = list(conditions.of(result.objects, live, braked="", now_s=2.0))

    assert [1.0] * 5 == [condition.since_s for condition in second[0].conditions]
    assert all(a.conditions is b.conditions for a, b in zip(first, second, strict=True))


def test_conditions_of_objects_that_are_gone_are_forgotten() -> None:
    """The same object at the same place begins anew when it comes back."""
    result = compiled({"a.yaml": joined(provider("a"), route("r", ["m"], ["a/x"]))})
    live = LiveTable(random=lambda: 0.5)
    live.install(replace(result.table, generation=1), 0.0)
    conditions = Conditions()

    for objects, now_s in ((result.objects, 1.0), (result.objects[:1], 2.0), (result.objects, 3.0)):
        told = list(conditions.of(objects, live, braked="", now_s=now_s))

    assert [1.0, 3.0] == [item.conditions[0].since_s for item in told]
