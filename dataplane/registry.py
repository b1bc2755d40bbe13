"""Which adapter serves which provider type: one line each.

A type's module is imported when a provider of it is first built, so that nobody pays for the
providers that they do not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from controlplane.table import schema
from controlplane.table.schema import ProviderType
from dataplane.credentials import Credentials
from dataplane.provider import Adapter, Provider
from dataplane.transport import Transport
from dataplane.upstream import HttpProvider

Adapters = Mapping[str, tuple[str, str]]
"""Type -> module, and the adapter's class in it."""

_HERE = "dataplane.providers"
ADAPTERS: Adapters = {
    ProviderType.OLLAMA: (f"{_HERE}.ollama", "OllamaAdapter"),
    ProviderType.VLLM: (f"{_HERE}.vllm", "VllmAdapter"),
    ProviderType.OVHCLOUD: (f"{_HERE}.ovhcloud", "OvhcloudAdapter"),
    ProviderType.SCALEWAY: (f"{_HERE}.scaleway", "ScalewayAdapter"),
    ProviderType.OPENAI: (f"{_HERE}.openai", "OpenAIAdapter"),
    ProviderType.AZURE_OPENAI: (f"{_HERE}.azure_openai", "AzureOpenAIAdapter"),
    ProviderType.MISTRAL: (f"{_HERE}.mistral", "MistralAdapter"),
    ProviderType.ANTHROPIC: (f"{_HERE}.anthropic", "AnthropicAdapter"),
    ProviderType.AWS_BEDROCK: (f"{_HERE}.bedrock", "BedrockAdapter"),
}

# Types whose API takes more than one HTTP request a call, or one for a token: module under dataplane,
# and what makes a Provider in it, called like an HttpProvider, but for the adapter.
_PROVIDERS: Mapping[ProviderType, tuple[str, str]] = {
    ProviderType.AZURE_OPENAI: ("entra", "provider"),
    ProviderType.AWS_BEDROCK: ("bedrock", "BedrockProvider"),
}


class UnknownType(LookupError):  # noqa: N818 - says what it found
    """No adapter is registered for a provider's type."""


def build(provider: schema.Provider, adapters: Adapters = ADAPTERS) -> Adapter:
    """Make the adapter of a configured provider. Raises UnknownType if its type has none."""
    try:
        module, name = adapters[provider.type]
    except KeyError:
        raise UnknownType(
            f"provider {provider.name}: type {provider.type} is not supported by this version"
        ) from None
    adapter: Adapter = getattr(import_module(module), name)(provider)
    return adapter


def connect(
    config: schema.Provider,
    transport: Transport,
    credentials: Credentials,
    clock: Callable[[], float],
    adapters: Adapters = ADAPTERS,
) -> Provider:
    """Make a configured provider, with its I/O. Raises UnknownType if its type has no adapter."""
    own = _PROVIDERS.get(config.type)
    if own is None:
        return HttpProvider(config, build(config, adapters), transport, credentials, clock)
    module, name = own
    made: Provider = getattr(import_module(f"dataplane.{module}"), name)(
        config, transport, credentials, clock
    )
    return made


def preload(kinds: Iterable[ProviderType], adapters: Adapters = ADAPTERS) -> None:
    """Import what these types need, so that no request has to wait for it."""
    for kind in set(kinds) & adapters.keys():
        import_module(adapters[kind][0])
        if kind in _PROVIDERS:
            import_module(f"dataplane.{_PROVIDERS[kind][0]}")


def types() -> frozenset[ProviderType]:
    """Return the types that `build` knows."""
    return frozenset(kind for kind in ProviderType if kind in ADAPTERS)
