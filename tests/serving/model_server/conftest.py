"""Fixtures of the model server's tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# TensorFlow is imported by the fixtures that need it: some test files of this folder use none of them.
if TYPE_CHECKING:
    from tests.serving.model_server.requests import Hold
    from tests.serving.model_server.running import Server


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """A function that returns the saved version with a bias, for tests to push but not to change."""
    from tests.serving.model_server.tiny_models import save

    folder = tmp_path_factory.mktemp("saved")
    versions: dict[float, Path] = {}

    def saved(bias: float) -> Path:
        if bias not in versions:
            versions[bias] = save(folder / str(len(versions)), bias)
        return versions[bias]

    return saved


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, saved: Callable[[float], Path]) -> Path:
    """A folder with one model, in version 123 as in TF Serving's documentation."""
    from tests.serving.model_server.tiny_models import MODEL

    folder = tmp_path_factory.mktemp("models")
    (folder / MODEL).mkdir()
    (folder / MODEL / "123").symlink_to(saved(3.0))
    return folder


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    """A server of that model; tests must not change it."""
    from tests.serving.model_server.running import running

    with running("--models", models) as server:
        yield server


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that batches waiting requests, with a labelled version of a model as TensorFlow 2 writes it."""
    from tests.serving.model_server.running import running
    from tests.serving.model_server.toy_models import TOY, save_toy

    folder = tmp_path_factory.mktemp("toy")
    save_toy(folder / "00000123")
    options = ("--settle-seconds", "0", "--max-batch", "8", "--label", f"{TOY}:good=123")
    with running("--model", f"{TOY}={folder}", *options) as server:
        yield server


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """A function that returns the lines that this process has logged since it was last called."""
    from serving.model_server import logs

    def logged() -> list[dict[str, Any]]:
        logs.flush()
        return [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    logged()
    yield logged
    logs.finish()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Its requests are released at the latest when the test ends, so that no server computes them forever."""
    from tests.serving.model_server.requests import Hold

    hold = Hold(tmp_path / "released")
    yield hold
    hold.release()


@pytest.fixture
def folder(tmp_path: Path, saved: Callable[[float], Path]) -> Path:
    """The folder of a model whose version 1 computes x / 2 + 1."""
    from tests.serving.model_server.tiny_models import MODEL, push

    push(saved(1.0), tmp_path / "models" / MODEL / "1")
    return tmp_path / "models" / MODEL


@pytest.fixture
def changing(folder: Path) -> Iterator[Server]:
    """A server of `folder`'s model that polls for changes often; tests may hold requests for as long as they need."""
    from tests.serving.model_server.running import POLL, running

    options = (*POLL, "--retry-seconds", "0.3", "--timeout-seconds", "600")
    with running("--models", folder.parent, *options) as server:
        yield server
