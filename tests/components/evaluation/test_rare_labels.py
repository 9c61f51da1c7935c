"""AUC by TFMA's run is exact, whatever the scores' range: labels may be as rare as one in 100,000."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from components.measured import read_measured
from pipeline.evaluation import eval_config
from tests.components.evaluation import plain, tfma_runs
from transform.evaluation_settings import Evaluation, Threshold


def test_auc_of_scores_near_4_in_100_000_is_the_share_of_pairs_in_order(tmp_path: Path) -> None:
    draw = random.Random(3)
    labels = [int(i % 8 == 0) for i in range(400)]
    logits = [draw.gauss(-10.0 + 0.7 * label, 0.7) for label in labels]
    scores = [float(f"{1 / (1 + math.exp(-logit)):.6e}") for logit in logits]
    rows = [
        {
            "request_id": f"r{i // 5}", "country": "x", "category": "x", "label": label, "weight": 1.0 + i % 3,
            "candidate": score, "baseline": score,
        }
        for i, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]  # fmt: skip
    config = eval_config(Evaluation({"auc": Threshold(min=0.5)}), weighted=True, has_requests=True)
    tfma_runs.run(rows, tfma_runs.with_models(config, paired=False, weighted=True), tmp_path)
    found = read_measured(str(tmp_path))[""].metrics["auc"]
    assert found == pytest.approx(plain.auc(labels, scores, [row["weight"] for row in rows]), abs=1e-9)
