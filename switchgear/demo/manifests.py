"""The manifests of the demo: two local servers, and the clouds whose keys the environment has.

Breaker and probe times are far shorter than a deployment's would be: a story should not make
people wait. Keys are named, never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dataplane import codec

CHAT_MODEL: Final = "chat"
EMBED_MODEL: Final = "embed"
FIRST: Final = "local-a"
SECOND: Final = "local-b"
UPSTREAM_MODEL: Final = "tiny"

# How long a breaker stays open: at first, and at most.
OPEN_S: Final = 2
MAX_OPEN_S: Final = 3

_LOCAL: Final = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: VLLM  # llama.cpp's server speaks OpenAI's format, as vLLM does
  baseUrl: {base_url}
  models:
    - {{name: tiny, contextWindow: 8192, capabilities: [chat, completions, embeddings, tools]}}
  timeouts: {{connect: 500ms, firstEvent: 5s, idle: 5s, total: 30s}}
  healthCheck: {{interval: 1s, timeout: 500ms, unhealthyThreshold: 3, healthyThreshold: 1}}
  circuitBreaker: {{consecutiveFailures: 3, openFor: {open_s}s, maxOpenFor: {max_open_s}s}}
"""

_ROUTE: Final = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMRoute
metadata: {{name: {name}}}
spec:
  models: [{model}]
  strategy: {strategy}
  targets:
{targets}
"""

_CLOUD: Final = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {{name: {name}}}
spec:
  type: {type}
{base_url}  credentials: {{apiKey: {{env: {variable}}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A hosted service that the demo adds when its key is in the environment.

    variable: names the key. model: what the demo asks it for.
    endpoint_variable, model_variable: hold the base URL and the model, if it needs them said.
    """

    name: str
    type: str
    variable: str
    model: str
    endpoint_variable: str = ""
    model_variable: str = ""


CLOUDS: Final[Sequence[Cloud]] = (
    Cloud(name="openai", type="OpenAI", variable="OPENAI_API_KEY", model="gpt-4o-mini"),
    Cloud(name="mistral", type="Mistral", variable="MISTRAL_API_KEY", model="mistral-small-latest"),
    Cloud(
        name="scaleway",
        type="Scaleway",
        variable="SCW_SECRET_KEY",
        model="mistral-small-3.2-24b-instruct-2506",
    ),
    Cloud(
        name="ovhcloud",
        type="OVHcloud",
        variable="OVH_AI_ENDPOINTS_ACCESS_TOKEN",
        model="Mistral-Small-3.2-24B-Instruct-2506",
    ),
    Cloud(
        name="azure",
        type="AzureOpenAI",
        variable="AZURE_OPENAI_API_KEY",
        model="gpt-4o-mini",
        endpoint_variable="AZURE_OPENAI_ENDPOINT",
        model_variable="AZURE_OPENAI_DEPLOYMENT",
    ),
)


def local_providers(first_url: str, second_url: str) -> str:
    """Write the two local providers; base URLs end in `/v1`."""
    return "---\n".join(
        _LOCAL.format(name=name, base_url=url, open_s=OPEN_S, max_open_s=MAX_OPEN_S)
        for name, url in ((FIRST, first_url), (SECOND, second_url))
    )


def local_routes() -> str:
    """Write the routes `chat`, first and then second, and `embed`, in turn."""
    return "---\n".join(
        (
            route("chat", CHAT_MODEL, "PriorityWithFallback", [FIRST, SECOND]),
            route("embed", EMBED_MODEL, "RoundRobin", [FIRST, SECOND]),
        )
    )


def route(
    name: str, model: str, strategy: str, providers: Sequence[str], upstream: str = UPSTREAM_MODEL
) -> str:
    """Write one route for one model name; the providers' priorities follow their order."""
    targets = "\n".join(
        f"    - {{provider: {provider}, model: {_quoted(upstream)}, priority: {priority}}}"
        for priority, provider in enumerate(providers, 1)
    )
    return _ROUTE.format(name=name, model=_quoted(model), strategy=strategy, targets=targets)


def clouds_in(environment: Mapping[str, str]) -> Sequence[Cloud]:
    """List the clouds that the environment has a key for, and an endpoint where one is needed."""
    return [
        cloud
        for cloud in CLOUDS
        if environment.get(cloud.variable)
        and (not cloud.endpoint_variable or environment.get(cloud.endpoint_variable))
    ]


def cloud_model(cloud: Cloud, environment: Mapping[str, str]) -> str:
    """Return the model to ask a cloud for."""
    return environment.get(cloud.model_variable, "") or cloud.model


def cloud_manifests(cloud: Cloud, environment: Mapping[str, str]) -> str:
    """Write the provider and the route `NAME/MODEL` of a cloud. Its key is referred to by name."""
    endpoint = environment.get(cloud.endpoint_variable, "")
    provider = _CLOUD.format(
        name=cloud.name,
        type=cloud.type,
        variable=cloud.variable,
        base_url=f"  baseUrl: {_quoted(endpoint)}\n" if endpoint else "",
    )
    model = cloud_model(cloud, environment)
    return (
        provider
        + "---\n"
        + route(
            cloud.name,
            f"{cloud.name}/{model}",
            "PriorityWithFallback",
            [cloud.name],
            upstream=model,
        )
    )


def _quoted(text: str) -> str:
    """Write text so that YAML reads it back, whatever is in it."""
    return codec.encode(text).decode()
