"""Each mistake in one document, and the exact line that a person reads about it."""

from __future__ import annotations

from textwrap import indent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.accept import check
from controlplane.document import Document
from controlplane.problems import has_errors
from tests.controlplane.texts import compiled, read, said

PROVIDER = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMProvider
metadata: {name: a}
spec:
"""
ROUTE = """\
apiVersion: switchgear.dev/v1alpha1
kind: LLMRoute
metadata: {name: r}
spec:
"""
KEY = "credentials: {apiKey: {env: KEY}}\n"
LITERAL = (
    "must be a reference, never the key itself: {env: NAME}, {file: PATH}"
    " or {secretKeyRef: {name: NAME, key: KEY}}"
)
ELSEWHERE = "is no field: keys stand in credentials only, as a reference like {env: NAME}"
REFER = "write credentials: {apiKey: {env: NAME}}, or file, or secretKeyRef"


def provider_problems(spec: str) -> list[str]:
    return said(compiled({"a.yaml": PROVIDER + indent(spec, "  ")}))


def route_problems(spec: str) -> list[str]:
    (checked,) = [check(document) for document in read(ROUTE + indent(spec, "  "), "a.yaml")]
    return [str(problem) for problem in checked.problems]


@pytest.mark.parametrize(
    ("spec", "line", "path", "message"),
    [
        ("baseUrl: http://x\n", 4, "spec.type", "is required"),
        ("type: Ollma\n", 5, "spec.type", '"Ollma" is not known; did you mean "Ollama"?'),
        ("type: openai\n", 5, "spec.type", '"openai" is not known; did you mean "OpenAI"?'),
        (
            "type: Cohere\n",
            5,
            "spec.type",
            ('"Cohere" is not known; it must be one of Ollama, VLLM, OVHcloud, Scaleway, OpenAI,'
            " AzureOpenAI, AWSBedrock, Anthropic, Mistral"),
        ),
        (
            "type: 3\n",
            5,
            "spec.type",
            ("must be one of Ollama, VLLM, OVHcloud, Scaleway, OpenAI,"
            " AzureOpenAI, AWSBedrock, Anthropic, Mistral, got the number 3"),
        ),
        (
            "type: Anthropic\n",
            4,
            "spec.credentials",
            f"is required for Anthropic; {REFER}",
        ),
        (
            "type: AWSBedrock\n",
            4,
            "spec.region",
            "is required for AWSBedrock, like eu-west-3",
        ),
        (
            f"type: AWSBedrock\n{KEY}region: eu-west-3\nbedrock: {{profile: dev}}\n",
            8,
            "spec.bedrock",
            "roleArn and profile are of no use with a Bedrock API key",
        ),
        (
            f"type: OpenAI\n{KEY}bedrock: {{}}\n",
            7,
            "spec.bedrock",
            "is for AWSBedrock only, not for OpenAI",
        ),
        (
            f"type: OpenAI\n{KEY}anthropic: {{}}\n",
            7,
            "spec.anthropic",
            "is for Anthropic only, not for OpenAI",
        ),
        (
            "type: AzureOpenAI\nbaseUrl: https://x\nazure: {entra: {flow: clientSecret}}\n",
            4,
            "spec.credentials",
            f"is required for the flow clientSecret; {REFER}",
        ),
        (
            f"type: AzureOpenAI\nbaseUrl: https://x\n{KEY}azure: {{entra: {{flow: managedIdentity}}}}\n",
            7,
            "spec.credentials",
            "must not be given with azure.entra.flow managedIdentity",
        ),
        (
            "type: AzureOpenAI\nbaseUrl: https://x\nazure: {entra: {flow: magic}}\n",
            7,
            "spec.azure.entra.flow",
            '"magic" is not known; it must be one of clientSecret, workloadIdentity, managedIdentity',
        ),
        (
            "type: Ollama\nbaseURL: http://localhost\n",
            6,
            "spec.baseURL",
            'unknown field "baseURL"; did you mean "baseUrl"?',
        ),
        (
            "type: Ollama\ntimeouts:\n  firstevent: 3s\n",
            7,
            "spec.timeouts.firstevent",
            'unknown field "firstevent"; did you mean "firstEvent"?',
        ),
        (
            "type: Ollama\nlimits:\n  zzz: 3\n",
            7,
            "spec.limits.zzz",
            'unknown field "zzz"; known are maxInFlight',
        ),
        (
            "type: Ollama\nmodels:\n- name: x\n- name: y\n  contextwindow: 1\n",
            9,
            "spec.models[1].contextwindow",
            'unknown field "contextwindow"; did you mean "contextWindow"?',
        ),
        ("type: Ollama\ntimeouts: 30s\n", 6, "spec.timeouts", 'must be a mapping, got the text "30s"'),
        ("type: Ollama\nmodels: {name: x}\n", 6, "spec.models", "must be a list, got a mapping"),
        (
            "type: Ollama\ntimeouts: {connect: 3}\n",
            6,
            "spec.timeouts.connect",
            "must be a duration like 30s, got the number 3",
        ),
        (
            "type: Ollama\ntimeouts: {connect: 3 s}\n",
            6,
            "spec.timeouts.connect",
            '"3 s" is not a duration; write it like 250ms, 30s or 1m30s',
        ),
        (
            "type: Ollama\ntimeouts: {connect: 10m}\n",
            6,
            "spec.timeouts.connect",
            "must be from 1ms to 5m, got 10m",
        ),
        (
            "type: Ollama\nhealthCheck: {interval: 10ms}\n",
            6,
            "spec.healthCheck.interval",
            "must be 0s or from 1s to 24h, got 10ms",
        ),
        (
            "type: Ollama\ntimeouts: {connect: [1s]}\n",
            6,
            "spec.timeouts.connect",
            "must be a duration like 30s, got a list",
        ),
        (
            f"type: Ollama\ncircuitBreaker: {{rampUp: {list(range(1, 22))}}}\n",
            6,
            "spec.circuitBreaker.rampUp",
            "must not have more than 20 entries",
        ),
        (
            f"type: Ollama\nmodels: [{{name: {'x' * 257}}}]\n",
            6,
            "spec.models[0].name",
            (
                "must be a model's name, 1 to 256 characters without spaces,"
                f' got "{"x" * 60}…"'
            ),
        ),
        (
            "type: Ollama\nbaseUrl: 3\n",
            6,
            "spec.baseUrl",
            "must be an absolute URL, got the number 3",
        ),
        (
            "type: Ollama\nlimits: {maxInFlight: 0}\n",
            6,
            "spec.limits.maxInFlight",
            "must be at least 1, got 0",
        ),
        (
            "type: Ollama\nlimits: {maxInFlight: 1000000}\n",
            6,
            "spec.limits.maxInFlight",
            "must be at most 100000, got 1000000",
        ),
        (
            "type: Ollama\nlimits: {maxInFlight: 1.5}\n",
            6,
            "spec.limits.maxInFlight",
            "must be a whole number, got the number 1.5",
        ),
        (
            'type: Ollama\nlimits: {maxInFlight: "12"}\n',
            6,
            "spec.limits.maxInFlight",
            'must be a whole number, got the text "12"',
        ),
        (
            "type: Ollama\ncircuitBreaker: {failureRatio: 0}\n",
            6,
            "spec.circuitBreaker.failureRatio",
            "must be more than 0, got 0",
        ),
        (
            "type: Ollama\ncircuitBreaker: {failureRatio: half}\n",
            6,
            "spec.circuitBreaker.failureRatio",
            'must be a number, got the text "half"',
        ),
        (
            "type: Ollama\ncircuitBreaker: {failureRatio: .nan}\n",
            6,
            "spec.circuitBreaker.failureRatio",
            "must be a number, got the number nan",
        ),
        (
            "type: Ollama\nsuspend: maybe\n",
            6,
            "spec.suspend",
            'must be true or false, got the text "maybe"',
        ),
        (
            "type: Ollama\nlabels: {residency: no}\n",
            6,
            "spec.labels.residency",
            ("must be letters, digits, `-`, `_` and `.`, at most 63 long, got the boolean false;"
            " put it in quotes"),
        ),
        (
            "type: Ollama\nlabels: {-x: a}\n",
            6,
            "spec.labels.-x",
            ("must be a label's name: letters, digits, `-`, `_` and `.`, perhaps after `domain/`,"
            ' got "-x"'),
        ),
        (
            "type: Ollama\ncircuitBreaker: {mode: Forced}\n",
            6,
            "spec.circuitBreaker.mode",
            '"Forced" is not known; did you mean "ForceClosed"?',
        ),
        *(
            (
                f"type: Ollama\ncircuitBreaker: {{rampUp: {steps}}}\n",
                6,
                "spec.circuitBreaker.rampUp",
                "must ascend from at least 1 and end in 100",
            )
            for steps in ("[]", "[10, 50]", "[50, 50, 100]", "[50, 10, 100]", "[0, 100]")
        ),
        (
            "type: Ollama\ncircuitBreaker: {openFor: 1m, maxOpenFor: 30s}\n",
            6,
            "spec.circuitBreaker.maxOpenFor",
            "must not be shorter than openFor, which is 1m",
        ),
        (
            "type: Ollama\nmodels: [{name: x}, {name: y}, {name: x}]\n",
            6,
            "spec.models[2].name",
            'model "x" stands here twice',
        ),
        (
            "type: Ollama\nmodels: [{name: x, capabilities: [tool]}]\n",
            6,
            "spec.models[0].capabilities[0]",
            '"tool" is not known; did you mean "tools"?',
        ),
        (
            "type: Ollama\nmodels: [{name: x, price: {input: 1}}]\n",
            6,
            "spec.models[0].price.output",
            "is required",
        ),
        (
            "type: Ollama\nmodels: [{name: a b}]\n",
            6,
            "spec.models[0].name",
            'must be a model\'s name, 1 to 256 characters without spaces, got "a b"',
        ),
        ("type: OpenAI\n", 4, "spec.credentials", f"is required for OpenAI; {REFER}"),
        ("type: Mistral\n", 4, "spec.credentials", f"is required for Mistral; {REFER}"),
        ("type: Scaleway\n", 4, "spec.credentials", f"is required for Scaleway; {REFER}"),
        (
            "type: OVHcloud\n",
            4,
            "spec.credentials",
            f"is required for OVHcloud, or anonymous: true; {REFER}",
        ),
        (
            f"type: OVHcloud\nanonymous: true\n{KEY}",
            6,
            "spec.anonymous",
            "must not be true where credentials are given",
        ),
        (
            "type: Ollama\nanonymous: true\n",
            6,
            "spec.anonymous",
            "is for OVHcloud only, not for Ollama",
        ),
        (f"type: OpenAI\n{KEY}region: x\n", 7, "spec.region", "is for AWSBedrock only, not for OpenAI"),
        (f"type: OpenAI\n{KEY}azure: {{}}\n", 7, "spec.azure", "is for AzureOpenAI only, not for OpenAI"),
        (
            f"type: AzureOpenAI\n{KEY}",
            4,
            "spec.baseUrl",
            "is required for AzureOpenAI: the endpoint of the resource",
        ),
        (
            f"type: AzureOpenAI\n{KEY}baseUrl: https://x\nazure: {{surface: classic}}\n",
            8,
            "spec.azure.apiVersion",
            'is required for the classic surface, like "2024-10-21"',
        ),
        (
            "type: OpenAI\ncredentials: {apiKey: {}}\n",
            6,
            "spec.credentials.apiKey",
            "must hold exactly one of env, file and secretKeyRef, got none",
        ),
        (
            "type: OpenAI\ncredentials: {apiKey: {env: A, file: /b}}\n",
            6,
            "spec.credentials.apiKey",
            "must hold exactly one of env, file and secretKeyRef, got env and file",
        ),
        (
            "type: OpenAI\ncredentials: {apiKey: {secretKeyRef: {name: a}}}\n",
            6,
            "spec.credentials.apiKey.secretKeyRef.key",
            "is required",
        ),
        (
            "type: OpenAI\ncredentials: {}\n",
            6,
            "spec.credentials.apiKey",
            "is required",
        ),
        (
            "type: OpenAI\ncredentials: {apiKey: {evn: A}}\n",
            6,
            "spec.credentials.apiKey.evn",
            'unknown field "evn"; did you mean "env"?',
        ),
        (
            "type: Ollama\nbaseUrl: localhost:11434\n",
            6,
            "spec.baseUrl",
            "must be an absolute URL that begins with https:// or http://",
        ),
        (
            "type: Ollama\nheaders: {Authorization: x}\n",
            6,
            "spec.headers.Authorization",
            "must not be set here: it carries a secret; use credentials",
        ),
        (
            "type: Ollama\nheaders: {x-a: b, X-A: c}\n",
            6,
            "spec.headers.X-A",
            'is the same header as "x-a"',
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_provider_is_named_by_line_and_path(
    spec: str, line: int, path: str, message: str
) -> None:
    assert [f"a.yaml:{line}: LLMProvider/a: {path}: {message}"] == provider_problems(spec)


@pytest.mark.parametrize(
    ("spec", "line", "path", "message"),
    [
        ("targets: [{provider: a, model: m}]\n", 4, "spec.models", "is required"),
        ("models: []\ntargets: [{provider: a, model: m}]\n", 5, "spec.models", "must not be empty"),
        ("models: [a]\ntargets: []\n", 6, "spec.targets", "must not be empty"),
        (
            'models: ["a*b"]\ntargets: [{provider: a, model: m}]\n',
            5,
            "spec.models[0]",
            'must be a model\'s name, a prefix that ends in `*`, or `*`, got "a*b"',
        ),
        (
            "models:\n- a\n- b\n- a\ntargets: [{provider: a, model: m}]\n",
            8,
            "spec.models[2]",
            'model name "a" stands here twice',
        ),
        (
            "models: [a]\ntargets:\n- {provider: a, model: m}\n- {provider: a, model: m, priority: 2}\n",
            8,
            "spec.targets[1]",
            'names provider "a" and model "m" again, as spec.targets[0] does',
        ),
        (
            "models: [a]\ntargets:\n- {provider: a, modell: m}\n",
            7,
            "spec.targets[0].model",
            "is required",
        ),
        (
            "models: [a]\nstrategy: Priority\ntargets: [{provider: a, model: m}]\n",
            6,
            "spec.strategy",
            ('"Priority" is not known; it must be one of PriorityWithFallback, Weighted,'
            " RoundRobin, LeastBusy, LowestLatency, LowestCost"),
        ),
        (
            "models: [a]\ntargets: [{provider: a, model: m}]\nretry: {backoff: 2s, maxBackoff: 1s}\n",
            7,
            "spec.retry.maxBackoff",
            "must not be shorter than backoff, which is 2s",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_route_is_named_by_line_and_path(
    spec: str, line: int, path: str, message: str
) -> None:
    assert f"a.yaml:{line}: LLMRoute/r: {path}: {message}" in route_problems(spec)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("just text", 'a.yaml:1: must be a mapping with apiVersion, kind, metadata and spec, got the text "just text"'),
        ("- a\n", "a.yaml:1: must be a mapping with apiVersion, kind, metadata and spec, got a list"),
        ("apiVersion: switchgear.dev/v1alpha1\n", "a.yaml:1: kind: is required: LLMProvider or LLMRoute"),
        ("kind: [x]\n", "a.yaml:1: kind: must be LLMProvider or LLMRoute, got a list"),
        (
            "apiVersion: switchgear.dev/v1alpha1\nkind: LLMprovider\n",
            'a.yaml:2: kind: "LLMprovider" is not known; did you mean "LLMProvider"?',
        ),
        (
            "apiVersion: switchgear.dev/v1alpha1\nkind: Gateway\n",
            'a.yaml:2: kind: "Gateway" is not known; it must be LLMProvider or LLMRoute',
        ),
        (
            "apiVersion: v1\nkind: LLMRuote\n",
            'a.yaml:2: kind: "LLMRuote" is not known; did you mean "LLMRoute"?',
        ),
        (
            "apiVersion: route.openshift.io/v1\nkind: Route\nmetadata: {name: x}\n",
            'a.yaml:1: warning: ignored: "Route" of "route.openshift.io/v1" is not a kind of switchgear.dev',
        ),
        (
            "apiVersion: switchgear.de/v1alpha1\nkind: Gateway\n",
            'a.yaml:2: kind: "Gateway" is not known; it must be LLMProvider or LLMRoute',
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
            'a.yaml:1: warning: ignored: "ConfigMap" of "v1" is not a kind of switchgear.dev',
        ),
        (
            PROVIDER.replace("v1alpha1", "v1") + "  type: Ollama\n",
            ("a.yaml:1: LLMProvider/a: apiVersion: must be switchgear.dev/v1alpha1,"
            ' got "switchgear.dev/v1"'),
        ),
        (
            "kind: LLMProvider\nmetadata: {name: a}\nspec: {type: Ollama}\n",
            "a.yaml:1: LLMProvider/a: apiVersion: is required",
        ),
        (
            PROVIDER.replace("{name: a}", "{}") + "  type: Ollama\n",
            "a.yaml:3: metadata.name: is required",
        ),
        (
            PROVIDER.replace("{name: a}", "{name: A_b}") + "  type: Ollama\n",
            ("a.yaml:3: metadata.name: must be a name of lower-case letters, digits, `-` and `.`,"
            ' at most 253 long, got "A_b"'),
        ),
        (
            PROVIDER.replace("name: a", "name: a, namespace: a.b") + "  type: Ollama\n",
            ("a.yaml:3: LLMProvider/a: metadata.namespace: must be a name of lower-case letters,"
            ' digits and `-`, at most 63 long, got "a.b"'),
        ),
        (
            PROVIDER.replace("name: a", "name: a, label: {}") + "  type: Ollama\n",
            'a.yaml:3: LLMProvider/a: metadata.label: unknown field "label"; did you mean "labels"?',
        ),
        ("apiVersion: switchgear.dev/v1alpha1\nkind: LLMProvider\nmetadata: {name: a}\n",
            "a.yaml:1: LLMProvider/a: spec: is required"),
        (PROVIDER + "  type: Ollama\nextra: 1\n",
            ('a.yaml:6: LLMProvider/a: extra: unknown field "extra";'
            " known are apiVersion, kind, metadata, spec, status")),
    ],
)  # fmt: skip
def test_what_is_not_quite_a_manifest_is_named(text: str, problem: str) -> None:
    assert [problem] == said(compiled({"a.yaml": text}))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("credentials: {apiKey: sk-live-1}", "spec.credentials.apiKey"),
        ("credentials: {apiKey: 12345678}", "spec.credentials.apiKey"),
        ("credentials: {apiKey: [sk-live-1]}", "spec.credentials.apiKey"),
        ("credentials: sk-live-1", "spec.credentials"),
        ("credentials: {sk-live-1: }", "spec.credentials"),
        ("credentials: {apiKey: {sk-live-1: }}", "spec.credentials.apiKey"),
        ("credentials: {apiKey: {secretKeyRef: sk-live-1}}", "spec.credentials.apiKey.secretKeyRef"),
    ],
)  # fmt: skip
def test_a_literal_key_is_refused_and_never_repeated(spec: str, path: str) -> None:
    problems = provider_problems(f"type: OpenAI\n{spec}\n")

    assert f"a.yaml:6: LLMProvider/a: {path}: {LITERAL}" in problems
    assert not [problem for problem in problems if "live" in problem or "12345678" in problem]


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        ("apiKey: sk-live-1", "spec.apiKey", ELSEWHERE),
        ("api_key: sk-live-1", "spec.api_key", ELSEWHERE),
        ("token: sk-live-1", "spec.token", ELSEWHERE),
        ("azure: {apiKey: sk-live-1}", "spec.azure.apiKey", ELSEWHERE),
        (
            "credentials: {apiKey: {env: sk-live-1}}",
            "spec.credentials.apiKey.env",
            "must be the name of an environment variable, not the key itself",
        ),
        (
            "credentials: {apiKey: {file: sk-live-1}}",
            "spec.credentials.apiKey.file",
            "must be the absolute path of a file, not the key itself",
        ),
        (
            "credentials: {apiKey: {env: 12345678}}",
            "spec.credentials.apiKey.env",
            "must be the name of an environment variable, not the key itself",
        ),
        (
            "credentials: {apiKey: {secretKeyRef: {name: SK-live-1, key: k}}}",
            "spec.credentials.apiKey.secretKeyRef.name",
            "must be the name of a Secret, not the key itself",
        ),
        (
            "credentials: {apiKey: {secretKeyRef: {name: k, key: 'sk live 1'}}}",
            "spec.credentials.apiKey.secretKeyRef.key",
            "must be the name of a key in the Secret, not the key itself",
        ),
        (
            "credentials: {apiKey: {value: sk-live-1}}",
            "spec.credentials.apiKey.value",
            'unknown field "value"; known are env, file, secretKeyRef',
        ),
        (
            "headers: {x-api-key: sk-live-1}",
            "spec.headers.x-api-key",
            "must not be set here: it carries a secret; use credentials",
        ),
        (
            'headers: {x-a: "sk-live-1\\n"}',
            "spec.headers.x-a",
            "must be printable ASCII, at most 4096 long",
        ),
        (
            "baseUrl: https://me:sk-live-1@host/v1",
            "spec.baseUrl",
            "must not hold a user name or password; use credentials",
        ),
        ("baseUrl: https://host/v1?key=sk-live-1", "spec.baseUrl", "must not hold a query"),
        ("baseUrl: https://host/v1#sk-live-1", "spec.baseUrl", "must not hold a fragment"),
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_refused_and_never_repeated(
    spec: str, path: str, message: str
) -> None:
    problems = provider_problems(f"type: OpenAI\n{spec}\n")

    assert f"a.yaml:6: LLMProvider/a: {path}: {message}" in problems
    assert not [problem for problem in problems if "live" in problem or "12345678" in problem]


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        (
            f"type: OpenAI\nbaseUrl: http://example.com/v1\n{KEY}",
            "spec.baseUrl",
            "is http, not https: prompts and the key travel in the clear",
        ),
        (
            "type: VLLM\nbaseUrl: http://10.0.0.7:8000/v1\n",
            "spec.baseUrl",
            "is http, not https: prompts travel in the clear",
        ),
        (
            "type: Ollama\ntimeouts: {firstEvent: 5m, total: 1m}\n",
            "spec.timeouts.firstEvent",
            "is never reached: total ends the call after 1m",
        ),
    ],
)
def test_what_is_only_odd_is_a_warning_and_in_force(spec: str, path: str, message: str) -> None:
    result = compiled({"a.yaml": PROVIDER + indent(spec, "  ")})

    assert [f"a.yaml:6: warning: LLMProvider/a: {path}: {message}"] == said(result)
    assert not has_errors(result.problems)
    assert ["a"] == list(result.table.providers)


@pytest.mark.parametrize(
    "spec",
    [
        "type: OpenAI\nbaseUrl: http://127.0.0.1:9/v1\n",
        "type: Mistral\nbaseUrl: http://localhost:9\n",
        "type: OVHcloud\nbaseUrl: http://[::1]:9/v1\n",
        "type: OVHcloud\nanonymous: true\n",
        "type: AzureOpenAI\nbaseUrl: http://localhost:9\n",
        "type: VLLM\nbaseUrl: http://vllm.ml.svc.cluster.local:8000/v1\n",
        "type: VLLM\nbaseUrl: http://vllm:8000/v1\n",
        "type: Ollama\ncredentials:\nmodels: null\n",
        "type: Ollama\nhealthCheck: {interval: 0s}\n",
        "type: Ollama\nhealthCheck: {interval: 0}\n",
    ],
)
def test_what_is_right_has_no_problem(spec: str) -> None:
    assert [] == provider_problems(spec)


def test_what_the_api_server_adds_is_taken() -> None:
    text = """\
    apiVersion: switchgear.dev/v1alpha1
    kind: LLMProvider
    metadata:
      name: a
      uid: 0b9f
      resourceVersion: "12"
      generation: 3
      creationTimestamp: 2026-11-24T10:00:00Z
      managedFields: [{manager: kubectl}]
      labels: {app.kubernetes.io/name: x}
      annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
    spec: {type: Ollama}
    status: {conditions: [{type: Ready}], anything: 1}
    """

    assert [] == said(compiled({"a.yaml": text}))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
_fields = st.sampled_from(
    [
        "type",
        "baseUrl",
        "credentials",
        "models",
        "timeouts",
        "healthCheck",
        "circuitBreaker",
        "limits",
        "labels",
        "suspend",
        "headers",
        "propagation",
        "azure",
        "region",
        "anonymous",
        "strategy",
        "targets",
        "requires",
        "retry",
    ]
)


@given(
    kind=st.sampled_from(["LLMProvider", "LLMRoute"]),
    metadata=_json,
    spec=st.dictionaries(_fields, _json, max_size=4) | _json,
)
def test_any_content_gives_a_result(kind: str, metadata: object, spec: object) -> None:
    content = {
        "apiVersion": "switchgear.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }

    checked = check(Document(origin="a", index=1, content=content))

    assert (checked.value is None) == has_errors(checked.problems)
