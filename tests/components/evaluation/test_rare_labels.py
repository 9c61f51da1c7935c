"""AUC is exact for scores in any range: labels may be as rare as one in 100,000."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest

from components.evaluation.metrics import replicates
from components.evaluation.tfma_config import eval_config
from tests.components.evaluation import executor_runs
from tests.components.evaluation.metrics import plain
from trainer.training.evaluation import measure
from transform.config.evaluation import Evaluation, Threshold


def test_auc_of_scores_near_4_in_100_000_is_the_share_of_pairs_in_order(tmp_path: Path) -> None:
    draw = random.Random(3)
    labels = [int(i % 8 == 0) for i in range(400)]
    logits = [draw.gauss(-10.0 + 0.7 * label, 0.7) for label in labels]
    scores = [float(f"{1 / (1 + math.exp(-logit)):.6e}") for logit in logits]
    weights = [1.0 + i % 3 for i in range(400)]
    rows = [
        {
            "request_id": f"r{i // 5}", "country": "x", "category": "x", "label": label, "weight": weight,
            "candidate": score, "baseline": score,
        }
        for i, (label, score, weight) in enumerate(zip(labels, scores, weights, strict=True))
    ]  # fmt: skip
    config = eval_config(Evaluation({"auc": Threshold(min=0.5)}), weighted=True, has_requests=True)
    found = executor_runs.measured(rows, config, tmp_path, models=("candidate",))[""].metrics["auc"]
    assert found == pytest.approx(plain.auc(labels, scores, weights), abs=1e-9)


def test_the_evaluator_s_auc_and_log_loss_are_those_that_stop_a_training_early() -> None:
    draw = np.random.default_rng(5)
    logits = np.round(draw.normal(-5, 1, 2000), 2).astype(np.float32)  # many are tied
    labels = (draw.random(2000) < 0.1).astype(np.float32)
    weights = draw.integers(0, 4, 2000).astype(np.float32)
    by_trainer = measure(logits, labels, weights)
    scores = 1 / (1 + np.exp(-logits.astype(float)))
    found = replicates.of_rows(np.arange(2000.0), labels.astype(float), weights.astype(float), scores[:, None])
    assert found["auc"][0, 0] == pytest.approx(by_trainer.auc, rel=1e-9)
    assert found["logloss"][0, 0] == pytest.approx(by_trainer.logloss, rel=1e-6)
