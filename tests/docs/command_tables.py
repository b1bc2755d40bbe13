"""The flags of the command, and its nine provider types, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from controlplane.manifest import DEFAULT_BASE_URLS
from controlplane.table.schema import ProviderType
from dataplane import registry
from switchgear.cli import main
from tests.docs.pages import table

# Type -> what it speaks, and what it wants to know us by.
_SPOKEN: Mapping[ProviderType, tuple[str, str]] = {
    ProviderType.OLLAMA: ("its own API", "none; optional bearer token"),
    ProviderType.VLLM: ("OpenAI's", "none; optional bearer token"),
    ProviderType.OVHCLOUD: ("OpenAI's", "API key, or `anonymous: true`"),
    ProviderType.SCALEWAY: ("OpenAI's", "secret key"),
    ProviderType.OPENAI: ("OpenAI's", "API key"),
    ProviderType.AZURE_OPENAI: ("OpenAI's, on both surfaces", "API key, or Entra ID"),
    ProviderType.AWS_BEDROCK: ("Converse", "AWS' own sources, or a Bedrock API key"),
    ProviderType.ANTHROPIC: ("Messages", "API key"),
    ProviderType.MISTRAL: ("OpenAI's, with its own rules", "API key"),
}
_URLS: Mapping[ProviderType, str] = {
    ProviderType.AZURE_OPENAI: "none: the resource's endpoint",
    ProviderType.AWS_BEDROCK: "that of `region`",
}


def providers() -> str:
    """Write the types that have an adapter, with what each speaks and needs."""
    rows = []
    for kind in available_types():
        url = DEFAULT_BASE_URLS.get(kind)
        speaks, credential = _SPOKEN[kind]
        rows.append([f"`{kind}`", speaks, f"`{url}`" if url else _URLS[kind], credential])
    return table(["Type", "Format", "Default base URL", "Credential"], rows)


def available_types() -> list[ProviderType]:
    """Return the types that have an adapter, in the order of the schema."""
    return [kind for kind in ProviderType if kind in registry.types()]


def run_flags() -> str:
    """Write the flags of `run`, each with its environment variable."""
    rows = [
        [
            " / ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts)),
            f"`{variable(option)}`",
            _default(option),
            str(option.help),
        ]
        for option in options("run")
    ]
    return table(["Flag", "Variable", "Default", "Meaning"], rows)


def other_flags() -> str:
    """Write the flags of all other commands."""
    rows = []
    for name in commands():
        if name == "run":
            continue
        for option in options(name):
            named = ", ".join(f"`{flag}`" for flag in reversed(option.opts))
            variables = option.envvar or ""
            shown = f" `{variables}`" if variables else ""
            rows.append([f"`{name}`", named + shown, _default(option), str(option.help)])
    return table(["Command", "Flag, and variable", "Default", "Meaning"], rows)


def commands() -> list[str]:
    """Name the sub-commands."""
    return main.list_commands(click.Context(main))


def command(name: str) -> click.Command:
    """Return a sub-command. Fails if there is none of that name."""
    found = main.get_command(click.Context(main), name)
    assert found is not None, f"no command {name}"
    return found


def options(name: str) -> Iterator[click.Option]:
    """Give a sub-command's options, without the help."""
    return (param for param in command(name).params if isinstance(param, click.Option))


def variable(option: click.Option) -> str:
    """Name the environment variable of a flag of `run`."""
    prefix = command("run").context_settings["auto_envvar_prefix"]
    return f"{prefix}_{str(option.name).upper()}"


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    if isinstance(option.show_default, str):
        return option.show_default
    if option.is_flag:
        return "on" if option.default is True else "off"
    text = str(option.default)
    return "" if text in {"None", "()", "Sentinel.UNSET"} else f"`{text}`"
