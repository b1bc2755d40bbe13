from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.compile import Compiled, compile_table
from controlplane.last_good import LastGood
from controlplane.table import snapshot
from controlplane.table.schema import Table
from controlplane.verdict import InForce
from tests.controlplane.texts import compiled, joined, provider, read, read_all, route, said

BAD = provider("a", "oops: 1")


def in_force(result: Compiled) -> dict[str, tuple[InForce, str, str]]:
    """Tell of each object what is in force, and the reasons of both judgements."""
    return {
        f"{verdict.key}@{verdict.origin}": (
            verdict.in_force,
            verdict.accepted.reason,
            verdict.resolved.reason,
        )
        for verdict in result.objects
    }


def reach(table: Table) -> dict[str, list[str]]:
    return {
        name: [f"{target.provider}/{target.model}" for target in entry.targets]
        for name, entry in table.routes.items()
    }


def test_a_target_carries_its_provider_s_key() -> None:
    table = compiled({"a.yaml": joined(provider("a"), route("r", ["m"], ["a/x"]))}).table

    assert table.providers["a"].target_key("x") == table.routes["r"].targets[0].key


def test_no_documents_make_an_empty_table() -> None:
    result = compile_table([])

    assert ({}, {}, "") == (result.table.providers, result.table.routes, result.table.wildcard)
    assert [] == said(result)


def test_the_second_object_of_a_name_is_conflicted_and_left_out() -> None:
    result = compiled(
        {
            "b.yaml": provider("a", "suspend: true"),
            "a.yaml": joined(route("r", ["m"], ["a/x"]), provider("a")),
        }
    )

    assert not result.table.providers["a"].suspend
    assert [
        "b.yaml:3: LLMProvider/a: metadata.name: LLMProvider/a is already defined at a.yaml:6"
    ] == said(result)
    assert (InForce.NONE, "Conflicted", "ResolvedRefs") == in_force(result)["LLMProvider/a@b.yaml"]


def test_one_name_in_two_namespaces_is_a_conflict_that_says_so() -> None:
    other = provider("a").replace("name: a", "name: a, namespace: team")

    result = compiled({"a.yaml": provider("a"), "b.yaml": other})

    assert [
        (
            "b.yaml:3: LLMProvider/a: metadata.name: LLMProvider/a is already defined at a.yaml:1"
            " in namespace default; a table holds one object of a name"
        )
    ] == said(result)


def test_a_model_name_belongs_to_the_first_route_by_path() -> None:
    result = compiled(
        {
            "p.yaml": provider("a"),
            "2.yaml": route("late", ["chat", "own"], ["a/x"]),
            "1.yaml": route("early", ["chat", "gpt-*"], ["a/x"]),
        }
    )

    assert {"chat": "early", "own": "late"} == result.table.exact
    assert [
        (
            '2.yaml:4: LLMRoute/late: spec.models[0]: "chat" already belongs to'
            " LLMRoute/early at 1.yaml:1"
        )
    ] == said(result)
    assert (InForce.CURRENT, "Conflicted", "ResolvedRefs") == in_force(result)[
        "LLMRoute/late@2.yaml"
    ]


@pytest.mark.parametrize("pattern", ["*", "gpt-*"])
def test_a_pattern_has_one_owner_too(pattern: str) -> None:
    result = compiled(
        {
            "1.yaml": joined(provider("a"), route("r", [pattern], ["a/x"])),
            "2.yaml": route("s", [pattern], ["a/x"]),
        }
    )

    assert ["r"] == list(result.table.routes)
    assert (InForce.NONE, "Conflicted", "ResolvedRefs") == in_force(result)["LLMRoute/s@2.yaml"]


def test_a_route_of_overlapping_patterns_is_right() -> None:
    text = joined(
        provider("a"),
        route("r", ["gpt-4o", "gpt-*", "*"], ["a/x"]),
        route("s", ["gpt-4*"], ["a/x"]),
    )

    result = compiled({"a.yaml": text})

    assert [] == said(result)
    assert ((5, {"gpt-4": "s"}), (4, {"gpt-": "r"})) == result.table.prefixes


def test_a_target_without_a_provider_is_left_out() -> None:
    result = compiled(
        {"a.yaml": joined(provider("openai"), route("r", ["m"], ["openia/x", "openai/x"]))}
    )

    assert {"r": ["openai/x"]} == reach(result.table)
    assert [
        (
            'a.yaml:9: LLMRoute/r: spec.targets[0].provider: there is no provider "openia";'
            ' did you mean "openai"?'
        )
    ] == said(result)
    assert (InForce.CURRENT, "Accepted", "ProviderNotFound") == in_force(result)[
        "LLMRoute/r@a.yaml"
    ]


def test_a_route_without_any_usable_target_is_not_in_force() -> None:
    result = compiled({"a.yaml": route("r", ["m"], ["zzz/x"])})

    assert {} == reach(result.table)
    assert {} == result.table.exact
    assert [
        (
            "a.yaml:4: LLMRoute/r: spec.targets: none of them can be used,"
            " so the route is not in force as written"
        ),
        'a.yaml:4: LLMRoute/r: spec.targets[0].provider: there is no provider "zzz"',
    ] == said(result)
    assert (InForce.NONE, "Accepted", "ProviderNotFound") == in_force(result)["LLMRoute/r@a.yaml"]


def test_a_target_of_a_wrong_provider_names_the_place() -> None:
    result = compiled(
        {"a.yaml": BAD, "r.yaml": joined(provider("b"), route("r", ["m"], ["a/x", "b/x"]))}
    )

    assert (
        'r.yaml:9: LLMRoute/r: spec.targets[0].provider: provider "a" at a.yaml:1 has errors,'
        " and no earlier version to fall back to"
    ) in said(result)
    assert {"r": ["b/x"]} == reach(result.table)


def test_what_only_one_type_knows_becomes_options() -> None:
    text = joined(
        provider(
            "claude",
            'credentials: {apiKey: {env: K}}, anthropic: {version: "2026-10-21", beta: [a-1, b-2]}',
            kind="Anthropic",
        ),
        provider(
            "bedrock",
            'region: eu-west-3, bedrock: {roleArn: "arn:aws:iam::1:role/x",'
            ' guardrail: {identifier: g, version: "2"}}',
            kind="AWSBedrock",
        ),
        provider(
            "azure",
            'baseUrl: "https://x.openai.azure.com",'
            " azure: {entra: {flow: workloadIdentity, tenantId: t, clientId: c}}",
            kind="AzureOpenAI",
        ),
        route("r", ["m"], ["claude/x", "bedrock/y", "azure/z"], "mode: Strict"),
    )

    result = compiled({"a.yaml": text})

    providers = result.table.providers
    assert [] == said(result)
    assert "https://api.anthropic.com" == providers["claude"].base_url
    assert "https://bedrock-runtime.eu-west-3.amazonaws.com" == providers["bedrock"].base_url
    assert {
        "anthropic.beta": "a-1,b-2",
        "anthropic.version": "2026-10-21",
        "propagation": "none",
    } == providers["claude"].options
    assert {
        "bedrock.guardrailIdentifier": "g",
        "bedrock.guardrailVersion": "2",
        "bedrock.roleArn": "arn:aws:iam::1:role/x",
        "propagation": "none",
        "region": "eu-west-3",
    } == providers["bedrock"].options
    assert {
        "azure.clientId": "c",
        "azure.entra": "workloadIdentity",
        "azure.surface": "v1",
        "azure.tenantId": "t",
        "propagation": "none",
    } == providers["azure"].options
    assert result.table.routes["r"].strict


def test_a_provider_without_the_required_label_is_no_target() -> None:
    text = joined(
        provider("eu", "labels: {residency: eu}"),
        provider("us", "labels: {residency: us}"),
        provider("none"),
        route("r", ["m"], ["eu/x", "us/x", "none/x"], "requires: {labels: {residency: eu}}"),
    )

    result = compiled({"a.yaml": text})

    lacks = "lacks the label residency=eu that spec.requires.labels asks for"
    assert [
        f'a.yaml:19: LLMRoute/r: spec.targets[1].provider: provider "us" at a.yaml:6 {lacks}',
        f'a.yaml:19: LLMRoute/r: spec.targets[2].provider: provider "none" at a.yaml:11 {lacks}',
    ] == said(result)
    assert {"r": ["eu/x"]} == reach(result.table)


def test_a_last_good_route_stays_inside_of_its_labels() -> None:
    eu = {"p.yaml": joined(provider("a", "labels: {r: eu}"), provider("b", "labels: {r: eu}"))}
    good = route("r", ["m"], ["a/x", "b/x"], "requires: {labels: {r: eu}}")
    before = compiled(eu | {"r.yaml": good})
    moved = {"p.yaml": joined(provider("a", "labels: {r: us}"), provider("b", "labels: {r: eu}"))}

    for previous in (before.good, LastGood.of_table(before.table)):
        result = compiled(moved | {"r.yaml": route("r", ["m"], ["a/x"], "oops: 1")}, previous)

        assert {"r": ["b/x"]} == reach(result.table)


def test_a_provider_of_another_namespace_is_no_target() -> None:
    text = joined(
        provider("a").replace("name: a", "name: a, namespace: team"),
        provider("b"),
        route("r", ["m"], ["a/x", "b/x"]),
    )

    result = compiled({"a.yaml": text})

    assert [
        (
            'a.yaml:14: LLMRoute/r: spec.targets[0].provider: provider "a" at a.yaml:1'
            " is in namespace team, the route in default"
        )
    ] == said(result)
    assert {"r": ["b/x"]} == reach(result.table)


def test_a_target_without_a_price_is_odd_for_the_cheapest_first() -> None:
    text = joined(
        provider("a", "models: [{name: x, price: {input: 1, output: 2}}]"),
        route("r", ["m"], ["a/x", "a/y"], "strategy: LowestCost"),
    )

    assert [
        (
            'a.yaml:9: warning: LLMRoute/r: spec.targets[1].model: provider "a" at a.yaml:1'
            ' gives no price for "y": LowestCost puts it last'
        )
    ] == said(compiled({"a.yaml": text}))


def test_a_bad_version_leaves_the_last_good_one_in_force() -> None:
    files = {"a.yaml": provider("a", "suspend: true"), "r.yaml": route("r", ["m"], ["a/x"])}
    before = compiled(files)

    result = compiled(files | {"a.yaml": BAD}, before.good)

    assert before.table == result.table
    assert ['a.yaml:4: LLMProvider/a: spec.oops: unknown field "oops"'] == [
        line.split(";")[0] for line in said(result)
    ]
    assert (InForce.LAST_GOOD, "InvalidSpec", "ResolvedRefs") == in_force(result)[
        "LLMProvider/a@a.yaml"
    ]


def test_the_last_good_version_survives_many_bad_ones_and_a_restart() -> None:
    files = {"a.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
    before = compiled(files)
    bad = files | {"a.yaml": BAD, "r.yaml": route("r", ["m"], [])}
    once = compiled(bad, before.good)
    twice = compiled(bad, once.good)
    restarted = compiled(bad, LastGood.of_table(snapshot.decode(snapshot.encode(before.table))))

    assert before.table == twice.table
    assert before.table == restarted.table


def test_a_route_whose_targets_all_fail_falls_back() -> None:
    files = {"p.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
    before = compiled(files)

    result = compiled(files | {"r.yaml": route("r", ["n"], ["zzz/x"])}, before.good)

    assert before.table == result.table
    assert (InForce.LAST_GOOD, "Accepted", "ProviderNotFound") == in_force(result)[
        "LLMRoute/r@r.yaml"
    ]


def test_a_last_good_version_never_takes_a_name_from_a_current_one() -> None:
    before = compiled({"1.yaml": joined(provider("a"), route("r", ["chat"], ["a/x"]))})

    result = compiled(
        {
            "1.yaml": joined(provider("a"), route("r", ["chat"], [])),
            "2.yaml": route("s", ["chat"], ["a/y"]),
        },
        before.good,
    )

    assert {"s": ["a/y"]} == reach(result.table)


def test_an_object_that_no_file_names_any_more_goes() -> None:
    before = compiled({"a.yaml": provider("a"), "b.yaml": provider("b")})

    assert ["b"] == list(compiled({"b.yaml": provider("b")}, before.good).table.providers)


@pytest.mark.parametrize("unreadable", ["dir/a.yaml", "dir", "dir/"])
def test_what_came_from_an_unreadable_file_stays(unreadable: str) -> None:
    text = joined(provider("a"), route("r", ["m"], ["a/x"]))
    before = compile_table(read_all({"dir/a.yaml": text, "dirt/b.yaml": provider("b")}))

    result = compile_table([], before.good, unreadable=frozenset({unreadable}))

    assert {"r": ["a/x"]} == reach(result.table)
    assert ["a"] == list(result.table.providers)
    assert (InForce.LAST_GOOD, "Remembered", "ResolvedRefs") == in_force(result)[
        "LLMProvider/a@dir/a.yaml"
    ]


def test_after_a_restart_an_unreadable_file_keeps_all_that_is_not_seen() -> None:
    before = compiled({"a.yaml": provider("a"), "b.yaml": provider("b")})
    known = LastGood.of_table(before.table)

    kept = compile_table(read(provider("b"), "b.yaml"), known, unreadable=frozenset({"a.yaml"}))
    gone = compile_table(read(provider("b"), "b.yaml"), known)

    assert ["a", "b"] == list(kept.table.providers)
    assert ["b"] == list(gone.table.providers)


@pytest.mark.parametrize(
    "vague",
    [provider("A!"), "kind: LLMProvidr\n", provider("a").replace("{name: a}", "{}"), "text\n"],
)
def test_a_document_that_does_not_say_what_it_is_keeps_the_objects_of_its_file(vague: str) -> None:
    before = compiled({"a.yaml": joined(provider("a"), provider("b"))})

    result = compiled({"a.yaml": joined(vague, provider("b", "suspend: true"))}, before.good)

    assert ["a", "b"] == list(result.table.providers)
    assert result.table.providers["b"].suspend


def test_an_object_that_moves_to_another_file_is_the_same_object() -> None:
    before = compiled({"a.yaml": provider("a"), "b.yaml": provider("b")})

    result = compiled({"b.yaml": joined(provider("b"), provider("a"))}, before.good)

    assert [] == said(result)
    assert before.table == result.table


def test_generations_count_changes_of_what_is_in_force() -> None:
    files = {"a.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
    first = compiled(files)
    again = compiled(files, first.good)
    bad = compiled(files | {"a.yaml": BAD}, again.good)
    changed = compiled(files | {"a.yaml": provider("a", "suspend: true")}, bad.good)

    assert [1, 1, 1, 2] == [
        result.table.providers["a"].generation for result in (first, again, bad, changed)
    ]
    assert 1 == changed.table.routes["r"].generation
    assert first.table.version == again.table.version != changed.table.version


def test_a_changed_provider_changes_the_targets_but_not_the_route_s_generation() -> None:
    files = {"a.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
    before = compiled(files)

    after = compiled(files | {"a.yaml": provider("a", "baseUrl: http://localhost:1")}, before.good)

    assert before.table.routes["r"].targets[0].key != after.table.routes["r"].targets[0].key
    assert 1 == after.table.routes["r"].generation


def test_a_document_is_looked_at_once() -> None:
    documents = read_all({"a.yaml": provider("a")})
    first = compile_table(documents)

    second = compile_table(documents, first.good)

    assert first.good.memory.checked["a.yaml", 1] is second.good.memory.checked["a.yaml", 1]


MANY = {
    "1.yaml": joined(
        provider("a"), provider("b", "labels: {x: y}"), route("r", ["m", "n*"], ["a/x"])
    ),
    "2.yaml": joined(provider("a", "suspend: true"), route("s", ["m", "*"], ["b/x", "zzz/x"])),
    "3.yaml": joined(BAD, "text\n", route("t", ["n*"], ["a/x"])),
    "4.yaml": route("u", ["q"], ["a/x"], "requires: {labels: {x: y}}"),
}


@given(st.permutations(read_all(MANY)))
def test_the_order_of_documents_does_not_matter(documents: list[object]) -> None:
    expected = compile_table(read_all(MANY))

    result = compile_table(documents)  # type: ignore[arg-type]

    assert snapshot.encode(expected.table) == snapshot.encode(result.table)
    assert said(expected) == said(result)
    assert in_force(expected) == in_force(result)


WRONG = [
    provider("zzz", "oops: 1"),
    provider("zzz", kind="Anthropic"),
    route("zzz", ["m"], ["a/x"]),
    route("zzz", ["new"], ["nowhere/x"]),
    provider("a", "suspend: true"),
    "just text\n",
    "apiVersion: v1\nkind: Secret\n",
]


@given(st.lists(st.sampled_from(WRONG), min_size=1, max_size=4))
def test_adding_what_is_wrong_changes_nothing_else(wrong: list[str]) -> None:
    files = {
        "1.yaml": joined(provider("a"), provider("b"), route("r", ["m", "n*"], ["a/x", "b/y"]))
    }
    expected = compiled(files)

    result = compiled(files | {f"9{index}.yaml": text for index, text in enumerate(wrong)})

    assert expected.table == result.table
    assert said(result)


@given(st.data())
def test_the_table_depends_on_documents_not_on_the_way_there(data: st.DataObject) -> None:
    """From any state of right documents to any other gives the table of that other alone."""
    choices = {
        "a.yaml": [provider("a"), provider("a", "suspend: true")],
        "b.yaml": [provider("b"), provider("b", "labels: {x: y}")],
        "r.yaml": [route("r", ["m"], ["a/x"]), route("r", ["n"], ["b/x", "a/x"])],
    }
    previous = None
    files: dict[str, str] = {}
    for _ in range(data.draw(st.integers(1, 4))):
        files = {name: data.draw(st.sampled_from(texts)) for name, texts in choices.items()}
        result = compiled(files, previous)
        previous = result.good

    assert previous is not None
    assert compiled(files).table.version == compiled(files, previous).table.version


def test_the_lookup_follows_the_routes_in_force() -> None:
    result = compiled(MANY)

    assert {"m": "r"} == result.table.exact
    assert ((1, {"n": "r"}),) == result.table.prefixes
    assert "s" == result.table.wildcard


def test_a_table_survives_the_disk() -> None:
    table = replace(compiled(MANY).table, generation=7)

    assert table == snapshot.decode(snapshot.encode(table))
    assert table.version == snapshot.content_version(table)
