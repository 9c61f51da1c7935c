"""`run_fn` end to end on examples from tf.Transform: it learns, exports, and warm-starts the next run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.small_deployment import Span, to_example
from trainer.run_fn import run_fn
from trainer.trainer_predictions import trainer_predictions
from trainer.training.evaluation import measure
from trainer.training.loop import TrainingError
from trainer.training.report import TRAINING_REPORT_FILE, read_training_report
from trainer.training.setup import TrainingSetup, prepare
from transform.config.config import Config
from transform.files.trainer_predictions import read_trainer_predictions


def report_of(model_dir: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((model_dir / TRAINING_REPORT_FILE).read_text())
    return report


def compute_scores(model_dir: Path, span: Span) -> np.ndarray:
    signature = tf.saved_model.load(str(model_dir / "Format-Serving")).signatures["serving_default"]
    scores = signature(examples=tf.constant([to_example(row) for row in span.eval_rows]))["scores"]
    return np.asarray(scores)


def prepared(span: Span, config: Config) -> TrainingSetup:
    """A cold training, as `run_fn` prepares it."""
    return prepare(config, tft.TFTransformOutput(span.transform_output), [span.train_files], [span.eval_files], None)


@pytest.mark.slow
def test_learns_and_exports(first_span: Span, first_model: Path) -> None:
    report = report_of(first_model)
    assert report["validation"]["auc"] > 0.9
    assert (report["num_examples"], report["num_steps"], report["num_epochs"]) == (3000, 3 * 94, 3)
    assert report["vocabulary_sizes"] == {"app": 9, "country": 4, "installed_x_app": 64}
    assert report["wide_table_sizes"]["wide/app_x_price"] == 50
    assert report["warm_started_from"] is None
    assert report["warm_start"]["not_carried"] == ["there is no previous model"]
    ranking = ["rank", "rank_items", "rank_named"]
    explaining = ["explain", "explain_items"]
    others = ["classify", "regress", "serving_default", "transform_features"]
    assert report["signatures"] == sorted([*ranking, *explaining, *others])
    assert report["absent_signatures"] == {}
    read = read_training_report(str(first_model))
    assert (read.schema_version, read.validation.auc, read.num_steps) == (1, report["validation"]["auc"], 3 * 94)

    scores = compute_scores(first_model, first_span).astype(np.float64)
    labels = np.array([row["label"][0] for row in first_span.eval_rows], np.float32)
    served = measure(np.log(scores / (1 - scores)), labels)
    assert served.auc == pytest.approx(report["validation"]["auc"], abs=1e-5)
    assert served.logloss == pytest.approx(report["validation"]["logloss"], abs=1e-5)


@pytest.mark.slow
def test_the_next_run_starts_from_the_previous_model(second_span: Span, first_model: Path, tmp_path: Path) -> None:
    base = str(first_model / "Format-Serving")
    # A single step, so that the result shows the state from which the run starts.
    still = dataclasses.replace(
        second_span.config,
        training=dataclasses.replace(second_span.config.training, num_epochs=1, batch_size=100_000),
    )
    run_fn(second_span.fn_args(tmp_path / "warm", base, still))
    warm = report_of(tmp_path / "warm")
    cold = prepared(second_span, still).train()

    assert warm["warm_started_from"] == warm["warm_start"]["warm_started_from"] == base
    tables = warm["warm_start"]["tables"]
    assert [tables["embedding/app"][count] for count in ("kept", "new", "dropped")] == [8, 2, 2]
    assert [tables["wide/installed"][count] for count in ("kept", "new", "dropped")] == [8, 2, 2]
    assert warm["warm_start"]["not_carried"] == [
        "the batch size changed from 32 to 100000: the optimizers' state was scaled to it"
    ]
    assert cold.validation.auc is not None
    assert warm["validation"]["auc"] > 0.75 > cold.validation.auc + 0.1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(first_span: Span, first_model: Path, raw_files: str) -> None:
    again = prepared(first_span, first_span.config)
    again.train()
    graph = tft.TFTransformOutput(first_span.transform_output)
    found, expected = trainer_predictions(again, graph, [raw_files], 500), read_trainer_predictions(str(first_model))
    assert expected is not None
    assert found.rows == expected.rows
    np.testing.assert_allclose(found.row_scores, expected.row_scores, atol=1e-4)


@pytest.mark.slow
def test_no_training_examples_is_one_clear_sentence(first_span: Span, tmp_path: Path) -> None:
    fn_args = first_span.fn_args(tmp_path)
    fn_args.train_files = [str(tmp_path / "nothing-*")]
    with pytest.raises(TrainingError, match="there are no training examples; check the sources' paths and the split"):
        run_fn(fn_args)
    assert not (tmp_path / "Format-Serving").exists()
