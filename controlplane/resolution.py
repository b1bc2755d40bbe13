"""Resolve a route against the providers in force, and settle who owns which model name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controlplane.accept import Checked
from controlplane.document import FieldPath
from controlplane.last_good import Kept
from controlplane.names import did_you_mean
from controlplane.problems import Severity
from controlplane.rules import Finding
from controlplane.table.schema import Provider, Route, StrategyName, Target
from controlplane.verdict import RESOLVED, Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """All providers that a route may name.

    in_force: those of the table to be. documents: what the manifests say, right or wrong.
    """

    in_force: Mapping[str, Kept[Provider]]
    documents: Mapping[str, Checked]

    def named(self, name: str) -> str:
        """Name a provider and where it stands: `provider "a" at a.yaml:3`."""
        checked = self.documents.get(name)
        return f'provider "{name}"' + (f" at {checked.place}" if checked else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A route's targets that can be used, and what is wrong with the others."""

    targets: Sequence[Target]
    findings: Sequence[Finding]
    judgement: Judgement


def resolve(draft: Route, namespace: str, providers: Providers) -> Resolution:
    """Find the provider of each target of a draft; a target without is left out.

    A target whose provider lacks a required label is left out as well, so that failover can
    never leave the set that the route asks for.
    """
    targets: list[Target] = []
    findings: list[Finding] = []
    judgement = RESOLVED
    for position, target in enumerate(draft.targets):
        path: FieldPath = ("spec", "targets", position)
        kept = providers.in_force.get(target.provider)
        fault = _fault(draft, target.provider, namespace, kept, providers)
        if fault is not None or kept is None:
            reason, message = fault or ("", "")
            findings.append(((*path, "provider"), message, Severity.ERROR))
            if judgement.holds:
                judgement = Judgement(holds=False, reason=reason, message=message)
            continue
        provider = kept.value
        if draft.strategy is StrategyName.LOWEST_COST and not _has_price(provider, target.model):
            message = (
                f'{providers.named(target.provider)} gives no price for "{target.model}":'
                " LowestCost puts it last"
            )
            findings.append(((*path, "model"), message, Severity.WARNING))
        targets.append(replace(target, key=provider.target_key(target.model)))
    if not targets:
        message = "none of them can be used, so the route is not in force as written"
        findings.append((("spec", "targets"), message, Severity.ERROR))
    return Resolution(targets=tuple(targets), findings=findings, judgement=judgement)


class Claims:
    """Who owns which model name or pattern; the first to claim one keeps it.

    An owner is the document of a route, or its name if its last good version claims.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Checked | str] = {}

    def claim(
        self, models: Sequence[str], owner: Checked | str
    ) -> tuple[Sequence[str], Sequence[tuple[FieldPath, str]]]:
        """Claim names for a route; return those it got, and a message for each other."""
        got: list[str] = []
        conflicts: list[tuple[FieldPath, str]] = []
        for position, model in enumerate(models):
            first = self._owners.setdefault(model, owner)
            if first is owner:
                got.append(model)
            else:
                conflicts.append(
                    (("spec", "models", position), f'"{model}" already belongs to {_named(first)}')
                )
        return tuple(got), conflicts

    def claim_all(self, models: Sequence[str], owner: Checked) -> bool:
        """Claim all names for a route, or none if one of them is taken."""
        if any(model in self._owners for model in models):
            return False
        self._owners.update(dict.fromkeys(models, owner))
        return True


def _named(owner: Checked | str) -> str:
    return owner if isinstance(owner, str) else f"{owner.key} at {owner.place}"


def _fault(
    draft: Route,
    name: str,
    namespace: str,
    kept: Kept[Provider] | None,
    providers: Providers,
) -> tuple[str, str] | None:
    """Return reason and message of why a provider cannot be a target, or None if it can."""
    named = providers.named(name)
    if kept is None:
        checked = providers.documents.get(name)
        if checked is None:
            hint = did_you_mean(name, providers.documents)
            return "ProviderNotFound", f'there is no provider "{name}"{hint}'
        return "ProviderNotFound", f"{named} has errors, and no earlier version to fall back to"
    if namespace and kept.namespace and namespace != kept.namespace:
        return (
            "RefNotPermitted",
            f"{named} is in namespace {kept.namespace}, the route in {namespace}",
        )
    for label, value in draft.required_labels.items():
        if kept.value.labels.get(label) != value:
            return (
                "RefNotPermitted",
                f"{named} lacks the label {label}={value} that spec.requires.labels asks for",
            )
    return None


def _has_price(provider: Provider, model: str) -> bool:
    known = provider.models.get(model)
    return known is not None and known.price is not None
