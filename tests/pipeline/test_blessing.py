"""TFMA blesses a model, by the Evaluator's config, exactly when the summary has nothing to say against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.measured import Measured, missed_thresholds, read_measured
from pipeline.evaluation import eval_config
from tests.components.evaluation import tfma_runs
from transform.evaluation_settings import Evaluation, SliceThreshold, Threshold

pytestmark = pytest.mark.slow

NUM_REQUESTS, SIZE = 250, 4


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def rows(noise: float, noise_in_b: float | None = None) -> list[dict[str, Any]]:
    """Requests from the countries a and b; the serving model errs by 0.5, the candidate by `noise`."""
    draw = np.random.default_rng(5)
    found = []
    for request in range(NUM_REQUESTS):
        country = "b" if request % 5 == 0 else "a"
        own = noise_in_b if country == "b" and noise_in_b is not None else noise
        logits = draw.normal(-0.5, 1.5, SIZE)
        labels = draw.random(SIZE) < sigmoid(logits)
        baseline, candidate = (sigmoid(logits + draw.normal(0, 1, SIZE) * by) for by in (0.5, own))
        found += [
            {
                "request_id": f"r{request}", "country": country, "category": "xy"[i % 2], "label": int(labels[i]),
                "weight": 1.0 + i % 2, "candidate": float(candidate[i]), "baseline": float(baseline[i]),
            }
            for i in range(SIZE)
        ]  # fmt: skip
    return found


#: A candidate that may not be worse at all; only chance excuses it.
NO_WORSE = {
    name: Threshold(min=low, max=high, max_worsening=0.0)
    for name, low, high in [
        ("auc", 0.5, None), ("auc_pr", 0.2, None), ("logloss", None, 2.0), ("gauc", 0.5, None), ("ndcg@2", 0.3, None),
        ("map@2", 0.3, None), ("recall@2", 0.3, None),
    ]
}  # fmt: skip


def evaluated(
    found: list[dict[str, Any]], folder: Path, *, paired: bool = True, **sections: Any
) -> tuple[list[str], dict[str, Measured]]:
    """The sentences against the candidate, which must be in step with the blessing, and what was measured."""
    evaluation = Evaluation(**{"thresholds": NO_WORSE, "top_ks": (2,), **sections})
    config = eval_config(evaluation, weighted=False, has_requests=True)
    _, blessed = tfma_runs.run(found, tfma_runs.with_models(config, paired=paired), folder)
    measured = read_measured(str(folder))
    sentences = missed_thresholds(measured, evaluation)
    assert blessed == (sentences == [])
    return sentences, measured


def test_a_model_that_errs_otherwise_but_no_more_is_blessed(tmp_path: Path) -> None:
    sentences, measured = evaluated(rows(noise=0.5), tmp_path)
    assert sentences == []
    whole = measured[""]
    worse = [n for n in NO_WORSE if (whole.metrics[n] < whole.baseline[n]) == (n != "logloss")]
    assert worse  # it is worse in something, but not beyond chance
    assert whole.num_examples == NUM_REQUESTS * SIZE
    assert set(whole.changes) == set(NO_WORSE)
    for name, (low, high) in whole.changes.items():
        assert low < whole.metrics[name] - whole.baseline[name] < high


def test_a_model_that_is_worse_beyond_chance_is_refused_by_every_metric(tmp_path: Path) -> None:
    sentences, _ = evaluated(rows(noise=3.0), tmp_path)
    assert [s.split(" may be worse than the serving model's by at most 0, beyond chance.")[0] for s in sentences] == [
        *NO_WORSE
    ]


def test_a_first_model_is_compared_with_nothing(tmp_path: Path) -> None:
    rules = {"auc": SliceThreshold(max_worsening=0.0), "gauc": SliceThreshold(min=0.1)}
    sentences, measured = evaluated(
        rows(noise=0.5), tmp_path, paired=False, slices=("country",), slice_thresholds=rules, min_slice_examples=10
    )
    assert sentences == []
    assert measured[""].baseline == measured[""].changes == {}


@pytest.mark.parametrize(("min_slice_examples", "refused"), [(200, True), (201, False)])
def test_one_bad_slice_is_refused_if_it_is_not_too_small(
    min_slice_examples: int, refused: bool, tmp_path: Path
) -> None:
    sentences, measured = evaluated(
        rows(noise=0.5, noise_in_b=6.0),
        tmp_path,
        thresholds={"auc": Threshold(min=0.5)},
        slices=("country", "category", "weight < 1.5"),
        slice_thresholds={"auc": SliceThreshold(max_worsening=0.1), "gauc": SliceThreshold(min=0.6)},
        min_slice_examples=min_slice_examples,
    )
    assert {name: m.num_examples for name, m in measured.items()} == {
        "": 1000, "country = a": 800, "country = b": 200, "category = x": 500, "category = y": 500,
        "weight < 1.5": 500, "weight ≥ 1.5": 500,
    }  # fmt: skip
    subjects = [sentence.split(" m")[0] for sentence in sentences]  # what must, or may
    place = "where country = b (200 examples)"
    assert subjects == ([f"auc {place}", f"gauc {place}"] if refused else [])


def test_a_slice_without_a_class_is_not_refused_and_the_whole_without_a_number_is(tmp_path: Path) -> None:
    found = rows(noise=0.5)
    for row in found:
        if row["country"] == "b":
            row["label"] = 0
    sections: dict[str, Any] = {
        "thresholds": {"auc": Threshold(min=0.5)},
        "slices": ("country",),
        "slice_thresholds": {"gauc": SliceThreshold(min=0.5, max_worsening=0.0)},
        "min_slice_examples": 10,
    }
    sentences, measured = evaluated(found, tmp_path / "slice", **sections)
    assert sentences == []
    assert np.isnan(measured["country = b"].metrics["gauc"])
    for row in found:
        row["label"] = 0
    sections["thresholds"] = {"gauc": Threshold(min=0.5)}
    sentences, _ = evaluated(found, tmp_path / "whole", **sections)
    assert sentences == ["gauc is not a number"]
