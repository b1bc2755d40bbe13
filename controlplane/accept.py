"""Check one document by itself: is it ours, is it right, and what does it come to.

This is the place where pydantic's errors become our words. Nothing that could be a key is ever
repeated, whatever field it was pasted into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from controlplane import build
from controlplane.document import Document, FieldPath, dotted
from controlplane.fields import RULE, described
from controlplane.manifest import API_VERSION, GROUP, KINDS, LLMProvider, LLMRoute, Manifest
from controlplane.names import did_you_mean, is_namespace, is_object_name, nearest
from controlplane.problems import Problem, Severity
from controlplane.rules import Finding, provider_findings, route_findings
from controlplane.table.schema import Provider, Route
from controlplane.verdict import DEFAULT_NAMESPACE, ObjectKey

_LITERAL_KEY = (
    "must be a reference, never the key itself: {env: NAME}, {file: PATH}"
    " or {secretKeyRef: {name: NAME, key: KEY}}"
)
_KEY_ELSEWHERE = "is no field: keys stand in credentials only, as a reference like {env: NAME}"
_KEY_NAMES = frozenset(
    {"apikey", "key", "token", "bearertoken", "secret", "password", "authorization", "accesskey"}
)
_PLAIN_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,24}")
_CREDENTIALS = ("spec", "credentials")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """A document after a look at it alone.

    key: None if the document does not say which object it is.
    value: a provider, or a route's draft; None if the document is refused.
    foreign: an object of somebody else, which is left alone.
    """

    document: Document
    key: ObjectKey | None
    value: Provider | Route | None
    problems: Sequence[Problem]
    foreign: bool = False

    @property
    def place(self) -> str:
        """Where it is: `chat.yaml:3`."""
        line = self.document.line_of(())
        return f"{self.document.origin}:{line}" if line else self.document.origin


def check(document: Document) -> Checked:
    """Look at one document. Total: any content gives a result."""
    content = document.content
    if not isinstance(content, dict):
        message = (
            f"must be a mapping with apiVersion, kind, metadata and spec, got {_kind(content)}"
        )
        return _refused(document, None, [((), message, Severity.ERROR)])
    kind, version = content.get("kind"), content.get("apiVersion")
    if _is_foreign(kind, version):
        message = f"ignored: {_quoted(kind)} of {_quoted(version)} is not a kind of {GROUP}"
        finding: Finding = ((), message, Severity.WARNING)
        return Checked(
            document=document,
            key=None,
            value=None,
            problems=_problems(document, None, [finding]),
            foreign=True,
        )
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return _refused(document, None, [(("kind",), _kind_message(kind), Severity.ERROR)])
    key = _key(str(kind), content.get("metadata"))
    try:
        manifest = model.model_validate(content)
    except ValidationError as error:
        return _refused(document, key, list(_findings(error, model)))
    findings = _rules(manifest)
    if any(severity is Severity.ERROR for _, _, severity in findings):
        return _refused(document, key, findings)
    return Checked(
        document=document,
        key=key,
        value=_built(manifest),
        problems=_problems(document, key, findings),
    )


def problem_at(
    document: Document,
    key: ObjectKey | None,
    path: FieldPath,
    message: str,
    severity: Severity = Severity.ERROR,
) -> Problem:
    """Make a problem of one field of a document."""
    return Problem(
        origin=document.origin,
        document=document.index,
        line=document.line_of(path),
        path=dotted(path),
        object=str(key) if key else "",
        message=message,
        severity=severity,
    )


def _rules(manifest: Manifest) -> Sequence[Finding]:
    match manifest:
        case LLMProvider():
            return list(provider_findings(manifest))
        case LLMRoute():
            return list(route_findings(manifest))


def _built(manifest: Manifest) -> Provider | Route:
    match manifest:
        case LLMProvider():
            return build.provider(manifest)
        case LLMRoute():
            return build.route(manifest)


def _problems(
    document: Document, key: ObjectKey | None, findings: Sequence[Finding]
) -> Sequence[Problem]:
    return tuple(
        problem_at(document, key, path, message, severity) for path, message, severity in findings
    )


def _refused(document: Document, key: ObjectKey | None, findings: Sequence[Finding]) -> Checked:
    return Checked(
        document=document,
        key=key,
        value=None,
        problems=_problems(document, key, findings),
    )


def _is_foreign(kind: Any, version: Any) -> bool:
    """Tell whether a document is somebody else's; a slip in ours is not."""
    if not isinstance(kind, str) or not isinstance(version, str):
        return False
    group = version.rpartition("/")[0]
    if group == GROUP or kind in KINDS:
        return False
    return nearest(group, [GROUP]) is None if group else nearest(kind, KINDS) is None


def _kind_message(kind: Any) -> str:
    known = " or ".join(KINDS)
    if kind is None:
        return f"is required: {known}"
    if not isinstance(kind, str):
        return f"must be {known}, got {_kind(kind)}"
    return f"{_quoted(kind)} is not known{did_you_mean(kind, KINDS) or f'; it must be {known}'}"


def _key(kind: str, metadata: Any) -> ObjectKey | None:
    if not isinstance(metadata, dict):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE
    if not isinstance(name, str) or not is_object_name(name):
        return None
    if not isinstance(namespace, str) or not is_namespace(namespace):
        namespace = DEFAULT_NAMESPACE
    return ObjectKey(kind=kind, name=name, namespace=namespace)


def _findings(error: ValidationError, model: type[BaseModel]) -> Iterator[Finding]:
    for item in error.errors(include_url=False):
        path = tuple(part for part in item["loc"] if part != "[key]")
        path, message = _reworded(path, item["type"], item.get("ctx", {}), item["input"], model)
        yield path, message, Severity.ERROR


def _reworded(
    path: FieldPath, kind: str, context: Mapping[str, Any], value: Any, model: type[BaseModel]
) -> tuple[FieldPath, str]:
    """Put one of pydantic's errors in our words; `value` is what was found there."""
    in_credentials = path[:2] == _CREDENTIALS
    if kind == "extra_forbidden":
        return _unknown_field(path, in_credentials=in_credentials, model=model)
    if in_credentials and kind in {"model_type", "dict_type"}:
        return path, _LITERAL_KEY
    if path == ("apiVersion",) and kind == "literal_error":
        return path, f"must be {API_VERSION}, got {_quoted(value)}"
    match kind:
        case "missing":
            return path, "is required"
        case "model_type" | "dict_type":
            return path, f"must be a mapping, got {_kind(value)}"
        case "list_type":
            return path, f"must be a list, got {_kind(value)}"
        case "int_type" | "int_from_float":
            return path, f"must be a whole number, got {_kind(value)}"
        case "float_type" | "finite_number":
            return path, f"must be a number, got {_kind(value)}"
        case "bool_type":
            return path, f"must be true or false, got {_kind(value)}"
        case "greater_than_equal":
            return path, f"must be at least {context['ge']:g}, got {value}"
        case "less_than_equal":
            return path, f"must be at most {context['le']:.16g}, got {value}"
        case "greater_than":
            return path, f"must be more than {context['gt']:g}, got {value}"
        case "too_short":
            return path, "must not be empty"
        case "too_long":
            return path, f"must not have more than {context['max_length']} entries"
        case _:
            return path, str(context["message"]) if kind == RULE else "is not valid"


def _unknown_field(
    path: FieldPath, *, in_credentials: bool, model: type[BaseModel]
) -> tuple[FieldPath, str]:
    name = str(path[-1])
    if in_credentials and _PLAIN_FIELD.fullmatch(name) is None:
        return path[:-1], _LITERAL_KEY  # the name may be the key
    known = _fields_at(model, path[:-1])
    folded = name.casefold().replace("-", "").replace("_", "")
    if folded in _KEY_NAMES and not in_credentials:
        return path, _KEY_ELSEWHERE
    hint = did_you_mean(name, known)
    if not hint and known:
        hint = f"; known are {', '.join(sorted(known))}"
    return path, f"unknown field {_quoted(name)}{hint}"


def _fields_at(model: type[BaseModel], path: FieldPath) -> Sequence[str]:
    """List the fields that are known at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        inner = None
        for field in model.model_fields.values():
            if field.alias == part:
                inner = _model_in(field.annotation)
        if inner is None:
            return ()
        model = inner
    return [field.alias for field in model.model_fields.values() if field.alias]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model in an annotation like `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _kind(value: Any) -> str:
    return f"the text {_quoted(value)}" if isinstance(value, str) else described(value)


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if len(text) <= 60 else f'"{text[:60]}…"'
