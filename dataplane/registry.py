"""Which adapter serves which provider type: one line each.

A type's module is imported when a provider of it is first built, so that nobody pays for the
providers that they do not use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

from controlplane.table.schema import Provider, ProviderType
from dataplane.provider import Adapter

# Type -> module under dataplane.providers, and the class in it.
_ADAPTERS: Mapping[ProviderType, tuple[str, str]] = {
    ProviderType.OLLAMA: ("ollama", "OllamaAdapter"),
    ProviderType.VLLM: ("vllm", "VllmAdapter"),
    ProviderType.OVHCLOUD: ("ovhcloud", "OvhcloudAdapter"),
    ProviderType.SCALEWAY: ("scaleway", "ScalewayAdapter"),
    ProviderType.OPENAI: ("openai", "OpenAIAdapter"),
    ProviderType.AZURE_OPENAI: ("azure_openai", "AzureOpenAIAdapter"),
    ProviderType.MISTRAL: ("mistral", "MistralAdapter"),
}


class UnknownType(LookupError):  # noqa: N818 - says what it found
    """No adapter is registered for a provider's type."""


def build(provider: Provider) -> Adapter:
    """Make the adapter of a configured provider. Raises UnknownType if its type has none."""
    try:
        module, name = _ADAPTERS[provider.type]
    except KeyError:
        raise UnknownType(
            f"provider {provider.name}: type {provider.type} is not supported by this version"
        ) from None
    adapter: Adapter = getattr(import_module(f"dataplane.providers.{module}"), name)(provider)
    return adapter


def preload(kinds: Iterable[ProviderType]) -> None:
    """Import what these types need, so that no request has to wait for it."""
    for kind in set(kinds) & _ADAPTERS.keys():
        import_module(f"dataplane.providers.{_ADAPTERS[kind][0]}")


def types() -> frozenset[ProviderType]:
    """Return the types that `build` knows."""
    return frozenset(_ADAPTERS)
