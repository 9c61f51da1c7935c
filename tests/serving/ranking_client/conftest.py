"""Runs a model server in a separate process, with a model that ranks and one that only scores."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.ranking_client.running import Stoppable, model_server


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two models: `tiny` has all signatures, `scorer` only `serving_default`."""
    from tests.serving.ranking_client.tiny_model import export_tiny  # needs TensorFlow, and some test files do not

    folder = tmp_path_factory.mktemp("models")
    for name in ("tiny", "scorer"):
        (folder / name).mkdir()
        export_tiny(folder / name, rank=name == "tiny")
    return folder


@pytest.fixture(scope="session")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gRPC address."""
    with model_server(models, tmp_path_factory.mktemp("server") / "log") as (address, _):
        yield address


@pytest.fixture(scope="session")
def _two_servers(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Stoppable]]:
    folder = tmp_path_factory.mktemp("servers")
    with model_server(models, folder / "a") as first, model_server(models, folder / "b") as second:
        yield [first, second]


@pytest.fixture
def stoppable(_two_servers: list[Stoppable]) -> Iterator[list[Stoppable]]:
    """The addresses and processes of two servers that a test may stop (SIGSTOP); they are continued after it."""
    yield _two_servers
    for _, running in _two_servers:
        running.send_signal(signal.SIGCONT)
