"""Failures as tables: the policy of each class, what callers get, and how vendors word them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence

from controlplane.table.outcome import OutcomeKind
from controlplane.table.schema import ProviderType
from dataplane import wire
from dataplane.errors import POLICIES, ErrorClass
from dataplane.wire import failure_tables
from dataplane.wire.failure_tables import FailureTable
from dataplane.wire.failures import PHRASES
from tests.docs.command_tables import available_types
from tests.docs.pages import table

EFFECTS: Mapping[OutcomeKind, str] = {
    OutcomeKind.SUCCESS: "a success",
    OutcomeKind.FAILURE: "a failure",
    OutcomeKind.IGNORED: "nothing",
    OutcomeKind.RATE_LIMITED: "cooldown",
    OutcomeKind.NOT_READY: "cooldown",
    OutcomeKind.CREDENTIAL_REFUSED: "credential opens",
    OutcomeKind.QUOTA_EXHAUSTED: "credential opens",
    OutcomeKind.TARGET_BROKEN: "opens at once",
}

# The first word of a module's name under dataplane.wire -> the types that answer in that format.
_FORMATS: Mapping[str, Sequence[ProviderType]] = {
    "ollama": (ProviderType.OLLAMA,),
    "anthropic": (ProviderType.ANTHROPIC,),
    "bedrock": (ProviderType.AWS_BEDROCK,),
    "openai": (
        ProviderType.VLLM,
        ProviderType.OVHCLOUD,
        ProviderType.SCALEWAY,
        ProviderType.OPENAI,
        ProviderType.AZURE_OPENAI,
        ProviderType.MISTRAL,
    ),
}


def policies() -> str:
    """Write what each class of failure leads to."""
    rows = [
        [
            f"`{error.value}`",
            PHRASES[error],
            "once" if policy.retries_here else "no",
            "yes" if policy.try_next else "no",
            EFFECTS[policy.effect],
            "upstream's" if policy.shows_message else "ours",
        ]
        for error, policy in POLICIES.items()
    ]
    head = ["Class", "What happened", "Retried here", "Next target", "For the breaker", "Words"]
    return table(head, rows)


def caller_errors() -> str:
    """Write the errors that a caller gets when the last attempt failed, and of which classes."""
    classes: dict[tuple[int, str, str], list[str]] = {}
    for error, policy in POLICIES.items():
        key = (policy.status, policy.type, policy.code or "null")
        classes.setdefault(key, []).append(f"`{error.value}`")
    rows = [
        [str(status), f"`{kind}`", f"`{code}`", ", ".join(named)]
        for (status, kind, code), named in sorted(classes.items())
    ]
    return table(["Status", "`type`", "`code`", "Classes of failure"], rows)


def codes() -> str:
    """Write the vendors' machine-readable words, in lower case, and what they mean."""
    found: dict[tuple[str, ErrorClass], list[str]] = {}
    for kind, failures in _tables().items():
        for code, error in failures.codes.items():
            found.setdefault((code, error), []).append(kind)
    return table(
        ["Code or type", "Class", "From"],
        [[f"`{code}`", f"`{error}`", _named(kinds)] for (code, error), kinds in found.items()],
    )


def phrases() -> str:
    """Write the phrases that decide where there is no code, and in which answers they do."""
    found: dict[tuple[str, str, ErrorClass, bool], list[str]] = {}
    for kind, failures in _tables().items():
        for phrase in failures.phrases:
            statuses = ", ".join(str(status) for status in sorted(phrase.statuses))
            key = (phrase.text, statuses, phrase.error, phrase.leads)
            found.setdefault(key, []).append(kind)
    rows = [
        [f'"{text}"' + (", at the start" if leads else ""), statuses, f"`{error}`", _named(kinds)]
        for (text, statuses, error, leads), kinds in found.items()
    ]
    return table(["In the message", "Of a", "Class", "From"], rows)


def finish_reasons() -> str:
    """Write the words for the end of an answer, as the readers of each format have them."""
    rows = []
    for module in pkgutil.iter_modules(wire.__path__):
        reader = importlib.import_module(f"{wire.__name__}.{module.name}")
        known: Mapping[str, str] = getattr(reader, "_FINISH_REASONS", {})
        kinds = _FORMATS[module.name.partition("_")[0]] if known else ()
        if not set(kinds) & set(available_types()):
            continue
        said_by = "OpenAI's format" if len(kinds) > 1 else kinds[0].value
        warned = getattr(reader, "_WARNED", frozenset())
        rows += [
            [said_by, f"`{word}`", f"`{reason}`" + (" \\*" if word in warned else "")]
            for word, reason in known.items()
        ]
        failed = getattr(reader, "_FAILED", frozenset()) | getattr(
            reader, "_NO_FINISH", frozenset()
        )
        rows += [
            [said_by, f"`{word}`" if word else "none", "a failure: `upstream_error`"]
            for word in sorted(failed)
        ]
    return table(["Said by", "Word", "The caller gets"], rows)


def _tables() -> Mapping[str, FailureTable]:
    """Give the table of each type by the type's name; its constant is named for the type."""
    found = {}
    for name, value in vars(failure_tables).items():
        if not isinstance(value, FailureTable):
            continue
        exact = [kind for kind in ProviderType if kind.name == name]
        (kind,) = exact or [kind for kind in ProviderType if kind.name.endswith(f"_{name}")]
        if kind in available_types():
            found[kind.value] = value
    return found


def _named(kinds: Sequence[str]) -> str:
    others = [kind for kind in _tables() if kind not in kinds]
    if len(others) > 2:
        return ", ".join(kinds)
    return f"all but {' and '.join(others)}" if others else "all"
