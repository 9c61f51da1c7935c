"""Fixtures shared by the trainer's tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.trainer.small_deployment import Span, make_config, make_rows, transform_span
from tests.trainer.trained_model import OLD, Trained, build, save
from transform.config.config import Config

FIRST_APPS = [f"app{i}" for i in range(8)]
#: Different order and counts than FIRST_APPS; two apps removed, two added.
SECOND_APPS = ["new1", "app7", "app6", "app5", "new0", "app2", "app1", "app0"]


@pytest.fixture(scope="session")
def config() -> Config:
    return make_config()


@pytest.fixture(scope="session")
def first_span(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Span:
    directory = tmp_path_factory.mktemp("first")
    return transform_span(config, make_rows(3000, FIRST_APPS, 1), make_rows(600, FIRST_APPS, 2), directory)


@pytest.fixture(scope="session")
def second_span(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Span:
    directory = tmp_path_factory.mktemp("second")
    return transform_span(config, make_rows(2000, SECOND_APPS, 3), make_rows(400, SECOND_APPS, 4), directory)


@pytest.fixture(scope="session")
def old(config: Config) -> Trained:
    """A trained model to start from; tests must not change it."""
    trained = build(config, OLD)
    trained.train(30, seed=1)
    return trained


@pytest.fixture(scope="session")
def saved_old(old: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("old")
    save(old, directory)
    return directory


@pytest.fixture
def base(saved_old: Path, tmp_path: Path) -> str:
    """The SavedModel folder beside a copy of `old`'s warm-start files, one copy per test."""
    shutil.copytree(saved_old, tmp_path / "old")
    return str(tmp_path / "old" / "Format-Serving")
