"""Fixtures shared by the trainer's tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from transform.config.config import Config

# TensorFlow is imported by the fixtures that need it: some test files of this folder use none of them.
if TYPE_CHECKING:
    from tests.trainer.small_deployment import Span
    from tests.trainer.trained_model import Trained

FIRST_APPS = [f"app{i}" for i in range(8)]
#: Different order and counts than FIRST_APPS; two apps removed, two added.
SECOND_APPS = ["new1", "app7", "app6", "app5", "new0", "app2", "app1", "app0"]


@pytest.fixture(scope="session")
def config() -> Config:
    from tests.trainer.small_deployment import make_config

    return make_config()


@pytest.fixture(scope="session")
def first_span(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Span:
    from tests.trainer.small_deployment import make_rows, transform_span

    directory = tmp_path_factory.mktemp("first")
    return transform_span(config, make_rows(3000, FIRST_APPS, 1), make_rows(600, FIRST_APPS, 2), directory)


@pytest.fixture(scope="session")
def second_span(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Span:
    from tests.trainer.small_deployment import make_rows, transform_span

    directory = tmp_path_factory.mktemp("second")
    return transform_span(config, make_rows(2000, SECOND_APPS, 3), make_rows(400, SECOND_APPS, 4), directory)


@pytest.fixture(scope="session")
def old(config: Config) -> Trained:
    """A trained model to start from; tests must not change it."""
    from tests.trainer.trained_model import OLD, build

    trained = build(config, OLD)
    trained.train(30, seed=1)
    return trained


@pytest.fixture(scope="session")
def saved_old(old: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.trainer.trained_model import save

    directory = tmp_path_factory.mktemp("old")
    save(old, directory)
    return directory


@pytest.fixture
def base(saved_old: Path, tmp_path: Path) -> str:
    """The SavedModel folder beside a copy of `old`'s warm-start files, one copy per test."""
    shutil.copytree(saved_old, tmp_path / "old")
    return str(tmp_path / "old" / "Format-Serving")
