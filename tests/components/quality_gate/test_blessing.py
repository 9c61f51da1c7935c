"""A run of the Evaluator: its measurements, and the gate on quality's findings in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.evaluation.results import EvaluationResult
from components.evaluation.tfma_config import eval_config
from components.quality_gate.judgement import findings, refusals
from tests.components.evaluation import executor_runs
from transform.config.evaluation import AT_K, HIGHER_IS_BETTER, Evaluation, SliceThreshold, Threshold, kind_of

pytestmark = pytest.mark.slow

NUM_REQUESTS, SIZE = 250, 4


def sigmoid(logits: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray = 1 / (1 + np.exp(-logits))
    return probabilities


def rows(noise: float, noise_in_b: float | None = None) -> list[dict[str, Any]]:
    """Requests from countries a and b; the baseline's error has deviation 0.5, the candidate model's `noise`."""
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
                **({"user_id": f"u{request // 5}"} if request % 10 else {}),
            }
            for i in range(SIZE)
        ]  # fmt: skip
    return found


#: Thresholds by which a candidate model must not be worse at all, except by chance.
NO_WORSE = {
    f"{kind}@2" if kind in AT_K else kind: Threshold(min=0.2, max_worsening=0.0)
    if is_higher_better
    else Threshold(max=2.0, max_worsening=0.0)
    for kind, is_higher_better in HIGHER_IS_BETTER.items()
    if is_higher_better is not None
}


def evaluated(
    found: list[dict[str, Any]], folder: Path, *, paired: bool = True, user: str | None = None, **sections: Any
) -> tuple[list[str], dict[str, EvaluationResult]]:
    """Evaluates; returns the refusals' sentences, and the measurements."""
    evaluation = Evaluation(**{"thresholds": NO_WORSE, "top_ks": (2,), **sections})
    config = eval_config(evaluation, weighted=False, has_requests=True, user=user)
    measured = executor_runs.measured(found, config, folder, ("candidate", "baseline") if paired else ("candidate",))
    return refusals(findings(measured, evaluation)), measured


def test_a_model_that_errs_otherwise_but_no_more_is_blessed(tmp_path: Path) -> None:
    sentences, measured = evaluated(rows(noise=0.5), tmp_path)
    assert sentences == []
    whole = measured[""]
    worse = [n for n in NO_WORSE if (whole.metrics[n] < whole.baseline[n]) == HIGHER_IS_BETTER[kind_of(n)]]
    assert worse  # some metrics are worse, but not beyond chance
    assert whole.num_examples == NUM_REQUESTS * SIZE
    assert set(whole.changes) == {
        *NO_WORSE,
        *(kind for kind, is_higher_better in HIGHER_IS_BETTER.items() if is_higher_better is None),
    }
    for name, change in whole.changes.items():
        assert change.value == whole.metrics[name] - whole.baseline[name]
        assert change.low < change.value < change.high
    assert whole.num_positives == sum(row["label"] for row in rows(noise=0.5))


def test_a_model_that_is_worse_beyond_chance_is_refused_by_every_metric(tmp_path: Path) -> None:
    sentences, _ = evaluated(rows(noise=3.0), tmp_path)
    assert [s.split(" may be worse than the baseline's by at most 0, beyond chance.")[0] for s in sentences] == [
        *NO_WORSE
    ]


def test_a_first_model_is_compared_with_nothing(tmp_path: Path) -> None:
    rules = {"auc": SliceThreshold(max_worsening=0.0), "gauc": SliceThreshold(min=0.1)}
    sentences, measured = evaluated(
        rows(noise=0.5), tmp_path, paired=False, slices=("country",), slice_thresholds=rules, min_slice_positives=10
    )
    assert sentences == []
    assert measured[""].baseline == {}
    assert measured[""].changes == {}
    assert 0 < measured[""].errors["auc"] < 0.05


@pytest.mark.parametrize(("user", "units"), [(None, NUM_REQUESTS), ("user_id", 50 + 25)])
def test_the_bootstrap_draws_users_and_requests_where_there_is_none(
    user: str | None, units: int, tmp_path: Path
) -> None:
    """A tenth of the requests has no user (only a raw feature has it); the others have one of 50 users."""
    _, measured = evaluated(rows(noise=0.5), tmp_path, user=user)
    assert measured[""].num_units == units


@pytest.mark.parametrize("is_small", [False, True])
def test_one_bad_slice_is_refused_and_a_small_one_for_a_large_worsening_alone(is_small: bool, tmp_path: Path) -> None:
    found = rows(noise=0.5, noise_in_b=6.0)
    positives = sum(row["label"] for row in found if row["country"] == "b")
    sentences, measured = evaluated(
        found,
        tmp_path,
        thresholds={"auc": Threshold(min=0.5)},
        slices=("country", "category", "weight < 1.5"),
        slice_thresholds={"auc": SliceThreshold(max_worsening=0.1), "gauc": SliceThreshold(min=0.6)},
        min_slice_positives=positives + 1 if is_small else positives,
    )
    assert {name: m.num_examples for name, m in measured.items()} == {
        "": 1000, "country = a": 800, "country = b": 200, "category = x": 500, "category = y": 500,
        "weight < 1.5": 500, "weight ≥ 1.5": 500,
    }  # fmt: skip
    subjects = [sentence.split(" m")[0] for sentence in sentences]  # the text before "must" or "may"
    assert subjects == ["auc where country = b", *([] if is_small else ["gauc where country = b"])]
    size = f"on 200 examples, {positives} of them positive"
    assert all(sentence.endswith(size) for sentence in sentences)


def test_a_slice_without_a_class_is_not_refused_and_the_whole_without_a_number_is(tmp_path: Path) -> None:
    found = rows(noise=0.5)
    for row in found:
        if row["country"] == "b":
            row["label"] = 0
    sections: dict[str, Any] = {
        "thresholds": {"auc": Threshold(min=0.5)},
        "slices": ("country",),
        "slice_thresholds": {"gauc": SliceThreshold(min=0.5, max_worsening=0.0)},
        "min_slice_positives": 1,
    }
    sentences, measured = evaluated(found, tmp_path / "slice", **sections)
    assert sentences == []
    assert np.isnan(measured["country = b"].metrics["gauc"])
    for row in found:
        row["label"] = 0
    sections["thresholds"] = {"gauc": Threshold(min=0.5)}
    sentences, _ = evaluated(found, tmp_path / "whole", **sections)
    assert sentences[-1] == "gauc must be a number. Received: none, on 1,000 examples, 0 of them positive"
