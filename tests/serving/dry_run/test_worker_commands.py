"""Tests of the dry run's commands, called in this process, on good models and on each kind of broken model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.dry_run.loading import ModelError
from serving.dry_run.worker_commands import _WorkerCommands
from tests.components.saved_models import example, export


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a TFRecord file with five examples."""
    path = str(tmp_path_factory.mktemp("requests") / "requests")
    with tf.io.TFRecordWriter(path) as writer:
        for x in (0.0, 1.0, 2.0, 4.0, -3.0):
            writer.write(example(x))
    return path


def loaded(kind: str, folder: Path) -> _WorkerCommands:
    conversation = _WorkerCommands()
    assert conversation.load(str(export(kind, folder) / "Format-Serving"))["seconds"] > 0
    return conversation


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_scores_are_the_models_in_the_requests_order(tmp_path: Path, requests: str, batch_size: int) -> None:
    out = tmp_path / "scores.npy"
    loaded("good", tmp_path).score(requests, str(out), batch_size)
    scores = np.load(out)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, 1 / (1 + np.exp([0.0, -1.0, -2.0, -4.0, 3.0])), rtol=1e-6)


def test_times_and_memory(tmp_path: Path, requests: str) -> None:
    conversation = loaded("good", tmp_path)
    times = conversation.measure("serving_default", requests, requests, batch_size=2, repetitions=7)["milliseconds"]
    assert len(times) == 7
    assert min(times) > 0
    memory = conversation.memory()
    assert 0 < memory["added_mb"] < memory["peak_mb"]


def test_damaged_variables_are_named(tmp_path: Path) -> None:
    assert loaded("nan weight", tmp_path / "nan").damaged_variables() == {"names": ["weight"]}
    assert loaded("nan", tmp_path / "good").damaged_variables() == {"names": []}


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("no graph", "the model must be a SavedModel with a saved_model.pb. There is none in "),
        ("damaged graph", "the model's saved_model.pb must be readable. Received: DecodeError: "),
        ("no variables", "the model's variables must be readable. Received: NotFoundError: "),
        ("truncated", "the model's variables must be readable. Received: "),
        ("no signature", "the model must have the signature 'serving_default'. Received: []"),
        ("renamed signature", "the model must have the signature 'serving_default'. Received: ['other']"),
    ],
)
def test_why_a_model_does_not_load(tmp_path: Path, kind: str, problem: str) -> None:
    path = export(kind, tmp_path) / "Format-Serving"
    with pytest.raises(ModelError) as raised:
        _WorkerCommands().load(str(path))
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("one", "the model must give one score a request. Received: shape [1] for 5"),
        ("other input", "the model must score raw tf.Examples. Received: InvalidArgumentError: "),
    ],
)
def test_why_a_model_does_not_answer(tmp_path: Path, requests: str, kind: str, problem: str) -> None:
    conversation = loaded(kind, tmp_path)
    with pytest.raises(ModelError) as raised:
        conversation.score(requests, str(tmp_path / "scores.npy"), 100)
    assert str(raised.value).startswith(problem)
