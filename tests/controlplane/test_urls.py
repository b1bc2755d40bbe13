from __future__ import annotations

import pytest

from controlplane import urls
from controlplane.table.schema import ProviderType


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ftp://host", "must be an absolute URL that begins with https:// or http://"),
        ("host/v1", "must be an absolute URL that begins with https:// or http://"),
        ("", "must be an absolute URL that begins with https:// or http://"),
        ("https://", "names no valid host and port"),
        ("https:///v1", "names no valid host and port"),
        ("https://host:0/v1", "names no valid host and port"),
        ("https://host:99999/v1", "is not a URL; write it like https://host/v1"),
        ("https://host:x/v1", "is not a URL; write it like https://host/v1"),
        ("https://[::1/v1", "is not a URL; write it like https://host/v1"),
        ("https://-host-/v1", "names no valid host and port"),
        ("https://user@host/v1", "must not hold a user name or password; use credentials"),
        ("https://a:b@host/v1", "must not hold a user name or password; use credentials"),
        ("https://host/v1?", "must not hold a query"),
        ("https://host/v1?a=b", "must not hold a query"),
        ("https://host/v1#a", "must not hold a fragment"),
        ("https://ho st/v1", "must be ASCII without spaces and control characters"),
        ("https://host/v1\r\nx: y", "must be ASCII without spaces and control characters"),
        ("https://h\u00f6st/v1", "must be ASCII without spaces and control characters"),
        ("http://169.254.169.254/latest", "must not be a link-local address"),
        ("http://[fe80::1]/", "must not be a link-local address"),
        ("https://host/" + "a" * 2048, "is longer than 2048 characters"),
    ],
)
def test_a_bad_base_url_is_refused(url: str, fault: str) -> None:
    assert fault == urls.fault(url)


@pytest.mark.parametrize(
    "url", ["https://host", "http://host:8000/v1/", "https://10.0.0.1/v1", "http://[::1]:8000"]
)
def test_a_good_base_url_has_no_fault(url: str) -> None:
    assert urls.fault(url) is None


@pytest.mark.parametrize(
    ("kind", "url", "normal"),
    [
        (ProviderType.OPENAI, "https://API.openai.com/v1/", "https://api.openai.com/v1"),
        (ProviderType.OPENAI, "https://host//proxy//v1//", "https://host/proxy/v1"),
        (ProviderType.OLLAMA, "http://localhost:11434/", "http://localhost:11434"),
        (ProviderType.OLLAMA, "http://localhost:11434/v1", "http://localhost:11434"),
        (ProviderType.OLLAMA, "http://localhost:11434/api/", "http://localhost:11434"),
        (ProviderType.MISTRAL, "https://api.mistral.ai/v1", "https://api.mistral.ai"),
        *(
            (ProviderType.AZURE_OPENAI, f"https://r.openai.azure.com{end}", "https://r.openai.azure.com")
            for end in (
                "",
                "/",
                "/openai",
                "/openai/",
                "/openai/v1",
                "/openai/v1/",
                "/openai/deployments",
                "/openai/deployments/gpt-4o",
                "/openai/deployments/gpt-4o/chat/completions",
                "//openai/deployments/gpt-4o/",
                "/models",
            )
        ),
        (ProviderType.AZURE_OPENAI, "https://gw/azure/openai/v1", "https://gw/azure"),
        (ProviderType.AZURE_OPENAI, "https://gw/openai-proxy", "https://gw/openai-proxy"),
    ],
)  # fmt: skip
def test_a_url_has_one_normal_form(kind: ProviderType, url: str, normal: str) -> None:
    assert normal == urls.normal(kind, url)
    assert normal == urls.normal(kind, normal)


@pytest.mark.parametrize(
    ("url", "loopback", "local"),
    [
        ("http://localhost:1", True, True),
        ("http://a.localhost", True, True),
        ("http://127.0.0.1", True, False),
        ("http://[::1]", True, False),
        ("http://vllm", False, True),
        ("http://vllm.ml.svc", False, True),
        ("http://vllm.ml.svc.cluster.local.", False, True),
        ("http://host.docker.internal", False, True),
        ("http://10.0.0.1", False, False),
        ("http://example.com", False, False),
        ("http://localhost.example.com", False, False),
    ],
)
def test_where_a_host_is(url: str, loopback: bool, local: bool) -> None:
    assert (loopback, local) == (urls.is_loopback(url), urls.is_cluster_local(url))
