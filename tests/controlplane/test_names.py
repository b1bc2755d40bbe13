from __future__ import annotations

import pytest

from controlplane import names
from controlplane.headers import header_fault, is_header_value


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a", True),
        ("openai-primary", True),
        ("a.b-c.d1", True),
        ("a" * 63 + "." + "b" * 63, True),
        ("", False),
        ("A", False),
        ("-a", False),
        ("a-", False),
        ("a..b", False),
        ("a_b", False),
        ("a\n", False),
        (".".join(["a" * 60] * 5), False),
    ],
)
def test_object_names_are_dns_subdomains(text: str, valid: bool) -> None:
    assert valid is names.is_object_name(text)


@pytest.mark.parametrize(("text", "valid"), [("team-a", True), ("a.b", False), ("a" * 64, False)])
def test_namespaces_are_dns_labels(text: str, valid: bool) -> None:
    assert valid is names.is_namespace(text)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("residency", True),
        ("example.com/Team_1", True),
        ("/a", False),
        ("a/", False),
        ("A.com/a", False),
        ("a/b/c", False),
        ("", False),
        ("a" * 64, False),
    ],
)
def test_label_keys_may_have_a_domain(text: str, valid: bool) -> None:
    assert valid is names.is_label_key(text)


@pytest.mark.parametrize(
    ("text", "valid"), [("", True), ("a_B.1", True), ("-", False), ("a b", False)]
)
def test_label_values_may_be_empty(text: str, valid: bool) -> None:
    assert valid is names.is_label_value(text)


@pytest.mark.parametrize(
    ("name", "known", "match"),
    [
        ("base_url", ["baseUrl", "bases"], "baseUrl"),
        ("conect", ["connect", "total"], "connect"),
        ("zzz", ["connect", "total"], None),
        ("a", [], None),
        ("name1", [f"name{number}" for number in range(101)], None),
        ("ab", ["abd", "abc"], "abd"),
        ("ab", ["abc", "abd"], "abd"),
    ],
)
def test_the_nearest_name_is_found(name: str, known: list[str], match: str | None) -> None:
    assert match == names.nearest(name, known)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("X-Team", None),
        ("OpenAI-Organization", None),
        ("User-Agent", None),
        ("authorization", "carries a secret"),
        ("API-Key", "carries a secret"),
        ("x-api-key", "carries a secret"),
        ("Cookie", "carries a secret"),
        ("x-vault-token", "carries a secret"),
        ("Ocp-Apim-Subscription-Key", "carries a secret"),
        ("Transfer-Encoding", "one connection"),
        ("Connection", "one connection"),
        ("Host", "has its own"),
        ("Content-Length", "has its own"),
        ("traceparent", "use propagation"),
        ("a b", "not a header's name"),
        ("a:", "not a header's name"),
        ("", "not a header's name"),
    ],
)
def test_some_headers_may_not_be_set(header: str, says: str | None) -> None:
    fault = header_fault(header)

    assert (says is None) == (fault is None)
    assert (says or "") in (fault or "")


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("a b", True),
        ("", True),
        (" a", False),
        ("a\r\nb: c", False),
        ("é", False),
        ("a" * 4097, False),
    ],
)
def test_header_values_are_printable(value: str, valid: bool) -> None:
    assert valid is is_header_value(value)
