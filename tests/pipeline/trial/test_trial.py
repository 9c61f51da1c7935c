"""The comparison of models on the same evaluation rows."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from components.evaluation.scoring.scores import Rows
from components.model_store.manifest import Manifest
from components.model_store.versions import add_version
from pipeline.trial.trial import Scored, check_same_rows, compared, saved_model_of
from transform.errors import InputError

DRAW = np.random.default_rng(1)
LABEL = (DRAW.random(400) < 0.3).astype(np.float64)
GOOD = np.clip(0.3 + 0.2 * (LABEL - 0.3) + DRAW.normal(scale=0.1, size=400), 0.01, 0.99)
POOR = np.clip(GOOD + DRAW.normal(scale=0.15, size=400), 0.01, 0.99)


def scored(scores: np.ndarray) -> Scored:
    rows = Rows((), LABEL, np.ones(400), np.arange(400) // 2)
    return Scored(rows, scores, 1000, 2.0, 3.0)


def auc(scores: np.ndarray) -> float:
    """The share of pairs in which the positive has the higher score."""
    pairs = [(p, n) for p in scores[LABEL == 1] for n in scores[LABEL == 0]]
    return float(np.mean([p > n for p, n in pairs]))


def logloss(scores: np.ndarray) -> float:
    return -sum(math.log(s if y else 1 - s) for s, y in zip(scores, LABEL, strict=True)) / len(scores)


def test_metrics_and_changes_are_those_of_the_rows() -> None:
    found = compared({"a": scored(POOR), "b": scored(GOOD)}, "a")
    for name, scores in (("a", POOR), ("b", GOOD)):
        metrics = {metric: estimate.value for metric, estimate in found[name].metrics.items()}
        expected = {"auc": auc(scores), "logloss": logloss(scores), "calibration": scores.sum() / LABEL.sum()}
        assert metrics == pytest.approx(expected)
    assert found["a"].changes == {}
    assert found["b"].changes["auc"].value == pytest.approx(auc(GOOD) - auc(POOR))
    assert found["b"].changes["logloss"].value == pytest.approx(logloss(GOOD) - logloss(POOR))
    assert (found["b"].num_train, found["b"].num_eval) == (1000, 400)


def test_the_interval_is_of_the_difference_on_the_same_rows() -> None:
    """The losses of a unit's two rows differ together: the error is that of the mean of the units' differences."""
    found = compared({"a": scored(POOR), "b": scored(GOOD)}, "a")["b"]
    losses = [-np.log(np.where(LABEL == 1, scores, 1 - scores)) for scores in (GOOD, POOR)]
    of_units = (losses[0] - losses[1]).reshape(200, 2).mean(axis=1)
    assert found.changes["logloss"].standard_error == pytest.approx(of_units.std(ddof=1) / math.sqrt(200), rel=0.2)
    assert found.changes["logloss"].high < 0


def test_equal_models_do_not_differ() -> None:
    changes = compared({"a": scored(GOOD), "b": scored(GOOD)}, "b")["a"].changes
    assert {(change.value, change.standard_error) for change in changes.values()} == {(0.0, 0.0)}


def test_configs_that_evaluate_other_rows_are_refused() -> None:
    other = dataclasses.replace(scored(GOOD), rows=Rows((), 1 - LABEL, np.ones(400), np.arange(400) // 2))
    with pytest.raises(InputError, match=r"400 rows of b that differ from the 400 of a$"):
        check_same_rows({"a": scored(GOOD), "b": other}, "a")


def test_a_base_model_is_a_version_whose_trained_model_is_kept(tmp_path: Path) -> None:
    trained = tmp_path / "model" / "7"
    (trained / "warm_start").mkdir(parents=True)
    for number, uri in ((1, trained), (2, tmp_path / "removed")):
        add_version(str(tmp_path / "serving"), lambda folder: None, Manifest(model_uri=str(uri), model_id=number))
    assert saved_model_of(str(tmp_path / "serving" / "1")) == str(trained / "Format-Serving")
    with pytest.raises(InputError, match="whose trained model is kept"):
        saved_model_of(str(tmp_path / "serving" / "2"))
