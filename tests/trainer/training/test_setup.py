"""Which training examples are held out for early stopping."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.small_deployment import Span
from trainer import training_size
from trainer.training import setup as training_setup
from trainer.training.evaluation import logits_function
from trainer.training.setup import TrainingSetup, prepare
from transform.config import settings


def setup_of(span: Span, training: settings.Training, **model: Any) -> TrainingSetup:
    """A training on 3,000 examples of span 0, whose folds are 0 to 7 in turn; `model` replaces values of the model."""
    config = dataclasses.replace(span.config, training=training, model=dataclasses.replace(span.config.model, **model))
    return prepare(config, tft.TFTransformOutput(span.transform_output), [span.train_files], [span.eval_files], None)


@pytest.mark.parametrize(
    ("training", "num_held_out"),
    [
        (settings.Training(), 375),  # a fold of eight
        pytest.param(settings.Training(num_epochs=5, patience=1, validation_fraction=0.2), 750, marks=pytest.mark.slow),
        pytest.param(settings.Training(num_epochs=5), 375, marks=pytest.mark.slow),
        pytest.param(settings.Training(num_epochs=5, patience=0), 0, marks=pytest.mark.slow),
    ],
)
def test_whole_folds_are_held_out(first_span: Span, training: settings.Training, num_held_out: int) -> None:
    setup = setup_of(first_span, training)
    validated, trained = (
        sum(len(labels) for _, labels, _ in batches) for batches in (setup.validation_data, setup.train_data(1))
    )
    assert setup.label_counts.held_out == num_held_out
    assert (validated, trained) == (num_held_out or 600, 3000 - num_held_out)


def test_after_the_training_the_mean_score_is_the_positive_share(first_span: Span) -> None:
    setup = setup_of(first_span, settings.Training(num_epochs=2, patience=1), parts="wide")
    setup.train()
    logits_of, rows = logits_function(setup.model), setup.training_examples(with_held_out=True)
    scores, labels = zip(*((tf.sigmoid(logits_of(features)), labels) for features, labels, _ in rows), strict=True)
    assert len(tf.concat(labels, 0)) == 3000
    assert np.mean(tf.concat(scores, 0)) == pytest.approx(np.mean(tf.concat(labels, 0)), rel=1e-3)


def test_no_example_is_held_out_of_a_training_of_one_epoch(first_span: Span, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_size, "_EXAMPLES", 3000)
    setup = setup_of(first_span, settings.Training())
    assert (setup.config.training.num_epochs, setup.held_out, setup.label_counts.total) == (1, None, 3000)


def test_too_few_examples_to_hold_out_are_named(
    first_span: Span, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_setup, "MIN_HELD_OUT", 1000)
    setup = setup_of(first_span, settings.Training())
    assert (setup.held_out, setup.label_counts.total) == (None, 3000)
    assert setup.config.training.validation_fraction == 0.0
    assert "early stopping validates on the evaluation examples: of span 0, only" in caplog.text
