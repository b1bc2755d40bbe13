"""Compile documents to a table: pure, total, and the same for the same documents in any order.

Who wins, in this order:

1. Of two objects of one name, the first by path; the other is Conflicted and left out.
2. Of a name's versions, the current one if it is right, else the last good one.
3. A target that cannot be used is left out; a route without any falls back to its last good
   version.
4. Of two routes that claim a model name, the first by path; the other loses that name, and is
   Conflicted. Current versions claim before last good ones do.

All objects are gone through each time, but what was settled before is taken as it was, the very same
object, unless something that decided it is another. So one change among ten thousand objects costs
a walk, not a compilation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controlplane.accept import Checked, check, problem_at
from controlplane.document import Document
from controlplane.last_good import NOTHING_GOOD, Kept, LastGood, Memory, Settled, ValueT, counted
from controlplane.problems import Problem, Severity, by_place
from controlplane.resolution import Claims, Providers, resolve
from controlplane.table.schema import Provider, Route, Table, index_models
from controlplane.table.snapshot import fingerprints
from controlplane.verdict import ACCEPTED, RESOLVED, InForce, Judgement, ObjectKey, Verdict

_PROVIDER = "LLMProvider"
_ROUTE = "LLMRoute"
_REMEMBERED = Judgement(
    holds=True, reason="Remembered", message="no document names it now; its last good version stays"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The result of all documents.

    table: its generation is 0; who installs it counts.
    objects: one for each object, in order of path; those of equal name each have their own.
    good: to be given to the next compilation.
    fresh: how many documents were looked at for the first time.
    """

    table: Table
    problems: Sequence[Problem]
    objects: Sequence[Verdict]
    good: LastGood
    fresh: int


def compile_table(
    documents: Sequence[Document],
    previous: LastGood | None = None,
    *,
    unreadable: frozenset[str] = frozenset(),
    keep_absent: bool = False,
) -> Compiled:
    """Compile the documents; see the module for who wins.

    unreadable: files and directories of which nothing is known now; what came from them stays.
    keep_absent: whether objects that no document names any more stay, too (the brake).
    """
    compilation = _Compilation(previous or NOTHING_GOOD, unreadable, keep_absent=keep_absent)
    compilation.look_at(documents)
    compilation.compile_providers()
    compilation.compile_routes()
    return compilation.result()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """A route whose current version cannot be in force, and why."""

    checked: Checked
    key: ObjectKey
    accepted: Judgement
    resolved: Judgement = RESOLVED


class _Compilation:
    """The state of one compilation; its methods are called once each, from top to bottom."""

    def __init__(
        self, previous: LastGood, unreadable: frozenset[str], *, keep_absent: bool
    ) -> None:
        self._previous = previous
        self._unreadable = frozenset(part.rstrip("/") for part in unreadable)
        self._keep_absent = keep_absent
        self._fresh = 0
        self._checked: dict[tuple[str, int], Checked] = {}
        self._first: dict[ObjectKey, Checked] = {}
        self._by_name: dict[tuple[str, str], ObjectKey] = {}
        self._vague: set[str] = set()
        self._problems: list[Problem] = []
        self._verdicts: list[Verdict] = []
        self._providers: dict[str, Kept[Provider]] = {}
        self._routes: dict[str, Kept[Route]] = {}
        self._routed: dict[str, Route] = {}
        self._settled_providers: dict[str, Settled[Provider]] = {}
        self._settled_routes: dict[str, Settled[Route]] = {}
        self._claims = Claims()

    def look_at(self, documents: Sequence[Document]) -> None:
        """Check each document, and find the first of each name."""
        looked_at = self._previous.memory.checked
        for document in sorted(documents, key=lambda item: (item.origin, item.index)):
            place = (document.origin, document.index)
            checked = looked_at.get(place)
            if checked is None or checked.document is not document:
                checked = check(document)
                self._fresh += 1
            self._checked[place] = checked
            if checked.problems:
                self._problems.extend(checked.problems)
            key = checked.key
            if key is None:
                if not checked.foreign:
                    self._vague.add(document.origin)
                continue
            first = self._by_name.setdefault((key.kind, key.name), key)
            if self._first.setdefault(first, checked) is not checked:
                self._refuse_second(checked, key, first)

    def compile_providers(self) -> None:
        """Decide which version of each provider is in force."""
        for key, checked in self._first.items():
            if key.kind != _PROVIDER:
                continue
            earlier = self._previous.providers.get(key.name)
            settled = self._previous.memory.providers.get(key.name)
            if settled and settled.checked is checked:
                self._settle_provider(settled)
                continue
            in_force = InForce.NONE
            if isinstance(checked.value, Provider):
                self._providers[key.name] = _kept(counted(checked.value, earlier), checked, key)
                in_force = InForce.CURRENT
            elif earlier is not None:
                self._providers[key.name] = _kept(earlier.value, checked, key)
                in_force = InForce.LAST_GOOD
            kept = self._providers.get(key.name)
            verdict = self._conclude(
                checked,
                key,
                in_force,
                generation=kept.value.generation if kept else 0,
                accepted=_judged(checked),
            )
            if kept and in_force is InForce.CURRENT:
                self._settled_providers[key.name] = Settled(
                    checked=checked, kept=kept, value=kept.value, verdict=verdict
                )
        for name, kept in self._previous.providers.items():
            if (_PROVIDER, name) not in self._by_name and self._stays(kept.origin):
                self._providers[name] = kept
                self._remember(_PROVIDER, name, kept.origin, kept.value.generation)

    def compile_routes(self) -> None:
        """Decide which version of each route is in force, current ones first."""
        providers = Providers(
            in_force=self._providers,
            documents={
                key.name: checked for key, checked in self._first.items() if key.kind == _PROVIDER
            },
        )
        left = [
            failed
            for key, checked in self._first.items()
            if key.kind == _ROUTE
            and not self._settle_route(checked, key.name)
            and (failed := self._route(checked, key, providers)) is not None
        ]
        for failed in left:
            self._route_as_before(failed, providers)
        for name, kept in self._previous.routes.items():
            if (_ROUTE, name) not in self._by_name and self._stays(kept.origin):
                generation = self._fall_back(kept, providers)
                self._remember(_ROUTE, name, kept.origin, generation)

    def result(self) -> Compiled:
        """Put the table together."""
        routes = dict(sorted(self._routed.items()))
        exact, prefixes, wildcard = index_models(routes)
        table = Table(
            generation=0,
            version="",
            providers={name: kept.value for name, kept in sorted(self._providers.items())},
            routes=routes,
            exact=exact,
            prefixes=prefixes,
            wildcard=wildcard,
        )
        prints = fingerprints(table, self._previous.memory.prints)
        return Compiled(
            table=replace(table, version=prints.version),
            problems=by_place(self._problems),
            objects=sorted(
                self._verdicts,
                key=lambda item: (item.origin, item.document, item.key.kind, item.key.name),
            ),
            good=LastGood(
                providers=self._providers,
                routes=self._routes,
                memory=Memory(
                    checked=self._checked,
                    providers=self._settled_providers,
                    routes=self._settled_routes,
                    prints=prints,
                ),
            ),
            fresh=self._fresh,
        )

    def _settle_provider(self, settled: Settled[Provider]) -> None:
        name = settled.value.name
        self._providers[name] = settled.kept
        self._verdicts.append(settled.verdict)
        self._settled_providers[name] = settled

    def _settle_route(self, checked: Checked, name: str) -> bool:
        """Take a route as it was before, if nothing that decided it is another."""
        settled = self._previous.memory.routes.get(name)
        if (
            settled is None
            or settled.checked is not checked
            or not all(map(self._is_as_before, settled.needs))
            or not self._claims.claim_all(settled.value.models, checked)
        ):
            return False
        self._routes[name] = settled.kept
        self._routed[name] = settled.value
        self._verdicts.append(settled.verdict)
        self._settled_routes[name] = settled
        return True

    def _is_as_before(self, need: Kept[Provider]) -> bool:
        kept = self._providers.get(need.value.name)
        return kept is need or (
            kept is not None and kept.value is need.value and kept.namespace == need.namespace
        )

    def _refuse_second(self, checked: Checked, key: ObjectKey, first: ObjectKey) -> None:
        message = f"{key} is already defined at {self._first[first].place}"
        if first.namespace != key.namespace:
            message += f" in namespace {first.namespace}; a table holds one object of a name"
        self._problems.append(problem_at(checked.document, key, ("metadata", "name"), message))
        self._conclude(
            checked,
            key,
            InForce.NONE,
            generation=0,
            accepted=Judgement(holds=False, reason="Conflicted", message=message),
        )

    def _stays(self, origin: str) -> bool:
        """Tell whether an object that no document names stays in force."""
        if self._keep_absent:
            return True
        if not origin:
            return bool(self._vague or self._unreadable)
        return origin in self._vague or any(
            origin == part or origin.startswith(part + "/") for part in self._unreadable
        )

    def _route(self, checked: Checked, key: ObjectKey, providers: Providers) -> _Left | None:
        """Put the current version of a route in force, or say why it cannot be."""
        draft = checked.value
        if not isinstance(draft, Route):
            return _Left(checked=checked, key=key, accepted=_judged(checked))
        resolution = resolve(draft, key.namespace, providers)
        for path, message, severity in resolution.findings:
            self._problems.append(problem_at(checked.document, key, path, message, severity))
        resolved = resolution.judgement
        if not resolution.targets:
            return _Left(checked=checked, key=key, accepted=ACCEPTED, resolved=resolved)
        models, conflicts = self._claims.claim(draft.models, checked)
        accepted = ACCEPTED
        for path, message in conflicts:
            self._problems.append(problem_at(checked.document, key, path, message))
            accepted = Judgement(holds=False, reason="Conflicted", message=message)
        if not models:
            return _Left(checked=checked, key=key, accepted=accepted, resolved=resolved)
        kept = _kept(counted(draft, self._previous.routes.get(key.name)), checked, key)
        self._routes[key.name] = kept
        self._routed[key.name] = replace(kept.value, models=models, targets=resolution.targets)
        verdict = self._conclude(
            checked,
            key,
            InForce.CURRENT,
            generation=kept.value.generation,
            accepted=accepted,
            resolved=resolved,
        )
        if not resolution.findings and not conflicts:
            self._settled_routes[key.name] = Settled(
                checked=checked,
                needs=tuple(self._providers[target.provider] for target in draft.targets),
                kept=kept,
                value=self._routed[key.name],
                verdict=verdict,
            )
        return None

    def _route_as_before(self, left: _Left, providers: Providers) -> None:
        earlier = self._previous.routes.get(left.key.name)
        generation = 0
        if earlier is not None:
            kept = _kept(earlier.value, left.checked, left.key)
            generation = self._fall_back(kept, providers)
        self._conclude(
            left.checked,
            left.key,
            InForce.LAST_GOOD if generation else InForce.NONE,
            generation=generation,
            accepted=left.accepted,
            resolved=left.resolved,
        )

    def _fall_back(self, kept: Kept[Route], providers: Providers) -> int:
        """Put a last good version in force as far as it can be; return its generation, else 0."""
        draft = kept.value
        self._routes[draft.name] = kept
        targets = resolve(draft, kept.namespace, providers).targets
        models, _ = (
            self._claims.claim(draft.models, f"{_ROUTE}/{draft.name}") if targets else ((), ())
        )
        if not models:
            return 0
        self._routed[draft.name] = replace(draft, models=models, targets=targets)
        return draft.generation

    def _conclude(
        self,
        checked: Checked,
        key: ObjectKey,
        in_force: InForce,
        *,
        generation: int,
        accepted: Judgement,
        resolved: Judgement = RESOLVED,
    ) -> Verdict:
        document = checked.document
        verdict = Verdict(
            key=key,
            origin=document.origin,
            document=document.index,
            line=document.line_of(()),
            generation=generation,
            accepted=accepted,
            resolved=resolved,
            in_force=in_force,
        )
        self._verdicts.append(verdict)
        return verdict

    def _remember(self, kind: str, name: str, origin: str, generation: int) -> None:
        self._verdicts.append(
            Verdict(
                key=ObjectKey(kind=kind, name=name),
                origin=origin,
                document=0,
                line=0,
                generation=generation,
                accepted=_REMEMBERED,
                resolved=RESOLVED,
                in_force=InForce.LAST_GOOD if generation else InForce.NONE,
            )
        )


def _kept(value: ValueT, checked: Checked, key: ObjectKey) -> Kept[ValueT]:
    return Kept(value=value, origin=checked.document.origin, namespace=key.namespace)


def _judged(checked: Checked) -> Judgement:
    """Say whether a document by itself was accepted."""
    errors = [problem for problem in checked.problems if problem.severity is Severity.ERROR]
    if not errors:
        return ACCEPTED
    first = errors[0]
    message = f"{first.path}: {first.message}" if first.path else first.message
    if len(errors) > 1:
        message += f" (and {len(errors) - 1} more)"
    return Judgement(holds=False, reason="InvalidSpec", message=message)
