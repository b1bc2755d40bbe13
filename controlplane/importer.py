"""Turn the JSON settings of the original system into manifests.

What has no place in a manifest is named in a warning, nothing is dropped in silence. Keys are
never copied: only references like `${OPENAI_API_KEY}` are taken. Names of settings are matched
without regard to case, as that system does, and its comments are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic_core import from_json

from controlplane import durations, urls
from controlplane.manifest import API_VERSION
from controlplane.names import did_you_mean, is_object_name
from controlplane.table.schema import ProviderType, StrategyName

ROUTE_NAME = "default"

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TIME_SPAN = re.compile(r"(?:(\d{1,3})\.)?(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,7}))?", re.ASCII)
_NOT_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_TYPES = {kind.value.casefold(): kind for kind in ProviderType}
_STRATEGIES = {strategy.value.casefold(): strategy for strategy in StrategyName}
_PROVIDER_FIELDS = frozenset({"type", "name", "enabled", "priority", "configuration"})
_CONFIGURATION_FIELDS = frozenset(
    {
        "baseurl",
        "endpoint",
        "apikey",
        "defaultmodel",
        "maxtokens",
        "deploymentname",
        "apiversion",
        "region",
    }
)
_ROUTING_FIELDS = frozenset({"strategy", "healthcheckinterval", "failoverthreshold"})


class ImportRefused(Exception):  # noqa: N818 - the outcome of an import, named as such
    """The settings cannot be turned into manifests; the message has a line for each reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The result of an import.

    text: manifests as YAML.
    warnings: what was not carried over, or is different now; each names the setting.
    """

    text: str
    warnings: Sequence[str]


def import_json(data: bytes) -> Imported:
    """Turn a file of settings into manifests. Raises ImportRefused, and nothing else."""
    run = _Import()
    run.read(data)
    if run.errors:
        raise ImportRefused("\n".join(run.errors))
    return Imported(text=_yaml(run.documents), warnings=run.warnings)


@dataclass(slots=True)
class _Candidate:
    """A target of the route to be."""

    provider: str
    model: str
    priority: int


@dataclass(slots=True)
class _Import:
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[_Candidate] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def read(self, data: bytes) -> None:
        try:
            settings = from_json(_without_comments(data.decode("utf-8-sig")), allow_inf_nan=False)
        except ValueError as error:
            # Only the line: the parser's message may hold what it stumbled over.
            where = re.search(r"line (\d+)", str(error))
            self._error("", "the file is not JSON" + (f", see line {where[1]}" if where else ""))
            return
        root = _folded(_folded(settings).get("llmproviders"))
        providers = root.get("providers")
        if not isinstance(providers, list):
            self._error("LLMProviders.Providers", "is required: a list of providers")
            return
        routing = _folded(root.get("routing"))
        common = self._common(routing)
        for position, provider in enumerate(providers):
            self._provider(f"LLMProviders.Providers[{position}]", _folded(provider), common)
        self._unknown("LLMProviders", root, frozenset({"providers", "routing"}))
        self._unknown("LLMProviders.Routing", routing, _ROUTING_FIELDS)
        self._route(routing)

    def _common(self, routing: Mapping[str, Any]) -> dict[str, Any]:
        """Read what the original system sets for all providers at once."""
        spec: dict[str, Any] = {}
        interval = routing.get("healthcheckinterval")
        if interval is not None:
            seconds = _time_span_s(interval)
            if seconds is None:
                self._error("LLMProviders.Routing.HealthCheckInterval", "must be like 00:00:30")
            else:
                spec["healthCheck"] = {"interval": durations.format_s(seconds)}
        threshold = routing.get("failoverthreshold")
        if threshold is not None:
            if _is_count(threshold):
                spec["circuitBreaker"] = {"consecutiveFailures": threshold}
            else:
                self._error(
                    "LLMProviders.Routing.FailoverThreshold", "must be a whole number from 1"
                )
        return spec

    def _provider(self, path: str, provider: Mapping[str, Any], common: dict[str, Any]) -> None:
        kind = self._type(f"{path}.Type", provider.get("type"))
        name = self._name(f"{path}.Name", provider.get("name"))
        if kind is None or name is None:
            return
        configuration = _folded(provider.get("configuration"))
        self._unknown(path, provider, _PROVIDER_FIELDS)
        self._unknown(f"{path}.Configuration", configuration, _CONFIGURATION_FIELDS)
        key = self._key(f"{path}.Configuration.ApiKey", configuration.get("apikey"))
        spec: dict[str, Any] = {"type": kind.value}
        url = _text(configuration, "endpoint", "baseurl")
        fault = urls.fault(url) if url else None
        if fault:
            self._error(f"{path}.Configuration", f"its URL {fault}")
        elif url:
            spec["baseUrl"] = url
        if key:
            spec["credentials"] = {"apiKey": {"env": key}}
        elif kind is ProviderType.OVHCLOUD:
            spec["anonymous"] = True
        model = self._model(f"{path}.Configuration", kind, configuration)
        if model:
            spec["models"] = [model]
            priority = provider.get("priority", 1)
            if not isinstance(priority, int) or isinstance(priority, bool) or priority < 0:
                self._error(f"{path}.Priority", "must be a whole number from 0")
                priority = 1
            self.candidates.append(_Candidate(name, model["name"], priority))
        else:
            self._warn(
                f"{path}.Configuration", f"has no DefaultModel; {name} is no target of the route"
            )
        if kind is ProviderType.AZURE_OPENAI:
            version = _text(configuration, "apiversion")
            if version:
                spec["azure"] = {"surface": "classic", "apiVersion": version}
        elif _text(configuration, "apiversion"):
            self._warn(f"{path}.Configuration.ApiVersion", f"is not carried over for {kind}")
        region = _text(configuration, "region")
        if kind is ProviderType.AWS_BEDROCK:
            if region:
                spec["region"] = region
            else:
                self._error(f"{path}.Configuration.Region", "is required, like eu-west-3")
        elif region:
            self._warn(f"{path}.Configuration.Region", f"is not carried over for {kind}")
        spec |= {group: dict(values) for group, values in common.items()}
        if _is_false(provider.get("enabled", True)):
            spec["suspend"] = True
        self.documents.append(_object("LLMProvider", name, spec))

    def _type(self, path: str, value: Any) -> ProviderType | None:
        kind = _TYPES.get(value.strip().casefold()) if isinstance(value, str) else None
        if kind is None:
            known = [item.value for item in ProviderType]
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            self._error(path, f"must be one of {', '.join(known)}{hint}")
        return kind

    def _name(self, path: str, value: Any) -> str | None:
        if not isinstance(value, str) or not value.strip():
            self._error(path, "is required")
            return None
        name = re.sub(r"[^a-z0-9.]+", "-", value.strip().lower()).strip("-.")
        name = re.sub(r"\.{2,}|-*\.-*", ".", name)
        if not is_object_name(name):
            self._error(path, f'"{value}" cannot be made a name of letters, digits and dashes')
            return None
        if name in self.names:
            self._error(path, f'"{value}" comes to "{name}", and so does {self.names[name]}')
            return None
        self.names[name] = path
        if name != value:
            self._warn(path, f'"{value}" is now named "{name}"')
        return name

    def _key(self, path: str, value: Any) -> str | None:
        """Return the environment variable that a key refers to; a literal is an error."""
        if value is None or value == "":
            return None
        match = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            self._error(
                path,
                "holds the key itself, which is never copied: put it in an environment variable,"
                " and write its name here, like ${OPENAI_API_KEY}",
            )
            return None
        return match[1]

    def _model(
        self, path: str, kind: ProviderType, configuration: Mapping[str, Any]
    ) -> dict[str, Any]:
        default = _text(configuration, "defaultmodel")
        deployment = _text(configuration, "deploymentname")
        if deployment and kind is not ProviderType.AZURE_OPENAI:
            self._warn(f"{path}.DeploymentName", f"is not carried over for {kind}")
            deployment = ""
        name = deployment or default
        if not name:
            return {}
        model: dict[str, Any] = {"name": name}
        if deployment and default and default != deployment:
            model["baseModel"] = default
        tokens = configuration.get("maxtokens")
        if tokens is not None:
            if _is_count(tokens):
                model["maxOutputTokens"] = tokens
            else:
                self._error(f"{path}.MaxTokens", "must be a whole number from 1")
        return model

    def _route(self, routing: Mapping[str, Any]) -> None:
        value = routing.get("strategy", StrategyName.PRIORITY_WITH_FALLBACK.value)
        strategy = _STRATEGIES.get(value.casefold()) if isinstance(value, str) else None
        if strategy is None:
            known = ", ".join(item.value for item in StrategyName)
            self._error("LLMProviders.Routing.Strategy", f"must be one of {known}")
            return
        if not self.candidates:
            self._error("LLMProviders.Providers", "no provider can be a target of a route")
            return
        targets = [
            {
                "provider": candidate.provider,
                "model": candidate.model,
                "priority": candidate.priority,
            }
            for candidate in sorted(self.candidates, key=lambda item: item.priority)
        ]
        spec = {"models": [ROUTE_NAME, "*"], "strategy": strategy.value, "targets": targets}
        self.documents.append(_object("LLMRoute", ROUTE_NAME, spec))

    def _unknown(self, path: str, found: Mapping[str, Any], known: frozenset[str]) -> None:
        for name in found:
            if name not in known:
                self._warn(path, f'setting "{name}" is not carried over')

    def _error(self, path: str, message: str) -> None:
        self.errors.append(f"{path}: {message}" if path else message)

    def _warn(self, path: str, message: str) -> None:
        self.warnings.append(f"{path}: {message}")


def _without_comments(text: str) -> str:
    """Blank out comments and trailing commas, which the original system allows; keep lines."""

    def blank(match: re.Match[str]) -> str:
        found = match[0]
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return _NOT_JSON_STRING.sub(blank, text)


def _folded(value: Any) -> dict[str, Any]:
    """Return a mapping with its names in lower case; anything else is empty."""
    if not isinstance(value, dict):
        return {}
    return {str(name).casefold(): item for name, item in value.items()}


def _text(mapping: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = mapping.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_false(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.strip().casefold() == "false")


def _time_span_s(value: Any) -> float | None:
    """Read `[days.]hours:minutes:seconds[.fraction]`, None if it is anything else."""
    match = _TIME_SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return days * 86400 + hours * 3600 + minutes * 60 + seconds + float(f"0.{match[5] or 0}")


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def _yaml(documents: Sequence[Mapping[str, Any]]) -> str:
    return "---\n".join(_pieces(documents))


def _pieces(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for document in documents:
        yield yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
