"""Real llama.cpp servers with the tiny model, one of each kind for a test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from switchgear.demo.llama import LlamaServer
from switchgear.demo.model import TinyModel, make_model


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """The tiny model's files."""
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def llama(model: TinyModel) -> Iterator[LlamaServer]:
    """A real model server: chat, completions and embeddings, many slots."""
    with LlamaServer(model.chat, embeddings=True, parallel=16, context=16 * 4096) as server:
        yield server
