"""AUC and logistic loss against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer.evaluation import Metrics, measure


def test_auc_is_the_share_of_pairs_in_order_ties_counting_half() -> None:
    rng = np.random.default_rng(1)
    logits = rng.integers(-3, 4, size=60).astype(np.float32)  # many ties
    labels = (rng.random(60) < 0.4).astype(np.float32)
    pairs = list(itertools.product(logits[labels == 1], logits[labels == 0]))
    expected = sum((p > n) + 0.5 * (p == n) for p, n in pairs) / len(pairs)

    metrics = measure(logits, labels)

    assert metrics.auc == pytest.approx(expected, abs=1e-12)
    scores = [1 / (1 + math.exp(-x)) for x in logits]
    losses = [-math.log(s if y else 1 - s) for s, y in zip(scores, labels, strict=True)]
    assert metrics.logloss == pytest.approx(sum(losses) / 60, rel=1e-9)


def test_auc_needs_both_labels() -> None:
    metrics = measure(np.array([1.0, 2.0], np.float32), np.array([1.0, 1.0], np.float32))
    assert metrics.auc is None
    assert metrics.logloss is not None


def test_no_examples_have_no_quality() -> None:
    assert measure(np.zeros(0, np.float32), np.zeros(0, np.float32)) == Metrics(0, None, None)


def test_large_logits_have_a_finite_loss() -> None:
    assert measure(np.array([1000.0, -1000.0], np.float32), np.array([0.0, 0.0], np.float32)).logloss == 500.0
