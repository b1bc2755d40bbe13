"""Nobody pays for what they do not use: what is imported when, seen in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

from controlplane.table.schema import ProviderType

HEAVY = (
    "aiobotocore",
    "aiohttp",
    "boto3",
    "botocore",
    "click",
    "grpc",
    "hypothesis",
    "multidict",
    "opentelemetry",
    "pydantic",
    "requests",
    "watchfiles",
    "xllamacpp",
    "yaml",
    "yarl",
)

# Words in names of modules: of Claude's models on Bedrock, Bedrock knows what Anthropic's page says.
OWN = {
    ProviderType.OLLAMA: {"ollama"},
    ProviderType.ANTHROPIC: {"anthropic"},
    ProviderType.AWS_BEDROCK: {"bedrock", "eventstream", "sigv4", "anthropic"},
    ProviderType.AZURE_OPENAI: {"azure", "entra"},
    ProviderType.MISTRAL: {"mistral"},
    ProviderType.VLLM: {"vllm"},
    ProviderType.OVHCLOUD: {"ovhcloud"},
    ProviderType.SCALEWAY: {"scaleway"},
    ProviderType.OPENAI: set[str](),
}
FOREIGN = {kind: set().union(*OWN.values()) - OWN[kind] for kind in ProviderType}


def imported_by(code: str) -> set[str]:
    """Run code in a fresh interpreter, and return which heavy packages it has imported."""
    report = f"import sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_data_plane_alone_imports_none_of_the_heavy_packages() -> None:
    assert set() == imported_by("import dataplane.sidecar, dataplane.registry")


def test_a_worker_imports_the_contract_and_the_data_plane_and_nothing_that_makes_tables() -> None:
    """All that it has imported when it serves: with tracing, a table, and its own providers."""
    code = (
        "import asyncio, socket, sys, time\n"
        "from switchgear import worker\n"
        "from dataplane.fleet import channel, worker as work\n"
        "from dataplane import telemetry, telemetry_start, registry\n"
        "import switchgear.loops\n"
        "from controlplane.table.schema import ProviderType\n"
        "registry.preload(ProviderType)\n"
        "ours = {name for name in sys.modules if name.startswith(('controlplane.', 'switchgear.'))}\n"
        "table = {name for name in ours if name.startswith('controlplane.table')}\n"
        "assert ours - table == {'switchgear.worker', 'switchgear.loops'}, ours - table\n"
        "assert not {'dataplane.probe', 'dataplane.sidecar', 'dataplane.admin'} & set(sys.modules)\n"
    )

    assert set() == imported_by(code)


def test_both_planes_import_what_reads_manifests_and_no_more() -> None:
    assert {"pydantic", "watchfiles", "yaml"} == imported_by("import switchgear.run")


def test_aiohttp_is_for_those_who_need_a_proxy() -> None:
    code = (
        "import asyncio, os\n"
        "from dataplane.transport import HttpTransport\n"
        "async def opened():\n"
        "    async with HttpTransport():\n"
        "        pass\n"
        "{}asyncio.run(opened())\n"
    )

    clean = "for name in [*os.environ]:\n    if name.lower().endswith('_proxy'):\n        del os.environ[name]\n"
    without = imported_by(code.format(clean))
    within = imported_by(code.format("os.environ['https_proxy'] = 'http://127.0.0.1:1'\n"))

    assert (set(), {"aiohttp", "multidict", "yarl"}) == (without, within)


def test_the_contract_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "import controlplane.table.live, controlplane.table.snapshot\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        # The library that compiled modules are doors to.
        "assert new <= sys.stdlib_module_names | {'controlplane', 'switchgear__mypyc'}, new\n"
    )

    assert set() == imported_by(code)


@pytest.mark.parametrize("kind", ProviderType)
def test_a_provider_imports_its_own_formats_only(kind: ProviderType) -> None:
    """Not those of the vendors with formats of their own, and nothing heavy: not even Bedrock does."""
    code = (
        "import sys\n"
        "from controlplane.table.schema import ProviderType\n"
        "from dataplane import registry\n"
        f"registry.preload([ProviderType.{kind.name}])\n"
        "parts = {part for name in sys.modules if name.startswith('dataplane.')"
        " for part in name.replace('_', '.').split('.')}\n"
        f"assert not parts & {FOREIGN[kind]!r}, parts\n"
    )

    assert set() == imported_by(code)


def test_the_command_is_quick_to_say_what_it_does() -> None:
    code = (
        "from click.testing import CliRunner\n"
        "from switchgear.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
    )

    assert {"click"} == imported_by(code)


def test_bedrock_alone_brings_botocore_and_only_when_it_is_called() -> None:
    """What a process holds with eight types loaded, and with AWS' session machinery besides."""
    measure = (
        "status = open('/proc/self/status').read()\n"
        "print(int(status.split('VmRSS:')[1].split()[0]) // 1024, 'botocore' in sys.modules)"
    )
    load = (
        "import sys\n"
        "import switchgear.run\n"
        "from controlplane.table.schema import ProviderType\n"
        "from dataplane import registry\n"
        "registry.preload(ProviderType)\n"
    )
    without = _printed(f"{load}{measure}")
    within = _printed(f"{load}import aiobotocore.session, botocore.auth\n{measure}")

    assert ("False", "True") == (without[1], within[1])
    # Megabytes: nine types cost what the planes cost, far below a peer's hundreds.
    assert int(without[0]) < int(within[0])
    assert int(without[0]) < 90


def _printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()
