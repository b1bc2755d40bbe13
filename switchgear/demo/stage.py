"""Everything that the demo runs: the model, two llama.cpp servers, manifests and the sidecar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from switchgear.demo import manifests
from switchgear.demo.llama import LlamaServer
from switchgear.demo.manifests import Cloud
from switchgear.demo.model import make_model
from switchgear.demo.sidecar import Sidecar, chosen_addresses

_CONTEXT: Final = 32768
_SLOTS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The running parts. manifests: the directory that the sidecar watches."""

    first: LlamaServer
    second: LlamaServer
    sidecar: Sidecar
    manifests: Path
    clouds: Sequence[Cloud]
    cloud_models: Sequence[str]


@contextmanager
def open_stage(folder: Path, *, port: int, environment: Mapping[str, str]) -> Iterator[Stage]:
    """Start everything under `folder`, and end it afterwards.

    Manifests of an earlier demo there are replaced. Raises SidecarError, LlamaError.
    """
    with ExitStack() as stack:
        listen, admin = stack.enter_context(chosen_addresses(port))
        model = make_model(folder / "model")
        first, second = (
            stack.enter_context(
                LlamaServer(model.chat, embeddings=True, context=_CONTEXT, parallel=_SLOTS)
            )
            for _ in range(2)
        )
        clouds = manifests.clouds_in(environment)
        directory = _write_manifests(folder, first, second, clouds, environment)
        sidecar = stack.enter_context(
            Sidecar(folder, manifests=directory, listen=listen, admin=admin)
        )
        yield Stage(
            first=first,
            second=second,
            sidecar=sidecar,
            manifests=directory,
            clouds=clouds,
            cloud_models=[
                f"{cloud.name}/{manifests.cloud_model(cloud, environment)}" for cloud in clouds
            ],
        )


def _write_manifests(
    folder: Path,
    first: LlamaServer,
    second: LlamaServer,
    clouds: Sequence[Cloud],
    environment: Mapping[str, str],
) -> Path:
    directory = folder / "manifests"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.yaml"):
        old.unlink()
    (directory / "providers.yaml").write_text(
        manifests.local_providers(first.base_url, second.base_url)
    )
    (directory / "routes.yaml").write_text(manifests.local_routes())
    for cloud in clouds:
        (directory / f"{cloud.name}.yaml").write_text(
            manifests.cloud_manifests(cloud, environment), encoding="utf-8"
        )
    return directory
