"""Fixtures shared by the trainer's tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.once import made_once
from transform.config.config import Config
from transform.files.trainer_predictions import RAW_EVAL_FILES_KEY

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
def raw_files(first_span: Span, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The first span's evaluation rows as ingestion writes them, including label and bookkeeping fields."""
    import tensorflow as tf

    from tests.trainer.small_deployment import to_example

    path = tmp_path_factory.mktemp("raw") / "data.gz"
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in first_span.eval_rows:
            writer.write(to_example(row))
    return str(path)


@pytest.fixture(scope="session")
def first_model(first_span: Span, raw_files: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `run_fn` makes of the first span, once for all workers; tests must not change it."""
    from trainer.run_fn import run_fn

    def make(folder: Path) -> None:
        fn_args = first_span.fn_args(folder)
        fn_args.custom_config[RAW_EVAL_FILES_KEY] = [raw_files]
        run_fn(fn_args)

    return made_once(tmp_path_factory, "first_model", make)


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
