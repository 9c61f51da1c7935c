"""AUC and logistic loss compared with their definitions."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.memory_data import batches_of
from trainer.training.evaluation import logits_function, measure
from trainer.training.position import Metrics
from trainer.wide_deep.model import Features, WideDeep
from transform.config.config import Config


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


def test_a_whole_weight_counts_as_so_many_examples() -> None:
    rng = np.random.default_rng(2)
    logits = rng.integers(-3, 4, size=50).astype(np.float32)
    labels = (rng.random(50) < 0.4).astype(np.float32)
    times = rng.integers(0, 4, size=50)
    repeated = measure(np.repeat(logits, times), np.repeat(labels, times))

    weighted = measure(logits, labels, times.astype(np.float32))

    assert weighted.num_examples == 50
    assert weighted.auc == pytest.approx(repeated.auc, abs=1e-12)
    assert weighted.logloss == pytest.approx(repeated.logloss, rel=1e-12)


def test_weights_by_hand() -> None:
    """Weights of the pairs: 2 × 1 in order, 2 × 3 tied, 0.5 × 1 in order, 0.5 × 3 not in order; 10 in total."""
    logits, labels = np.array([1, 1, 0, 0.5], np.float32), np.array([1, 0, 0, 1], np.float32)
    metrics = measure(logits, labels, np.array([2, 3, 1, 0.5], np.float32))
    assert metrics.auc == pytest.approx((2 + 0.5 * 6 + 0.5) / 10)
    losses = [math.log1p(math.exp(-1)), math.log1p(math.exp(1)), math.log(2), math.log1p(math.exp(-0.5))]
    by_hand = (2 * losses[0] + 3 * losses[1] + losses[2] + 0.5 * losses[3]) / 6.5
    assert metrics.logloss == pytest.approx(by_hand, rel=1e-6)


def test_examples_without_weight_have_no_quality() -> None:
    ones, zeros = np.array([1.0, 0.0], np.float32), np.zeros(2, np.float32)
    assert measure(ones, ones, zeros) == Metrics(2, None, None)
    assert measure(ones, ones, np.array([1.0, 0.0], np.float32)).auc is None


class CountingModel(WideDeep):
    """The wide part alone; counts the graphs that are made of its logits."""

    num_graphs = 0

    def logits(self, features: Features, weights_of: object = None) -> tf.Tensor:
        self.num_graphs += 1
        return super().logits(features)


def test_batches_of_any_size_share_a_graph(config: Config) -> None:
    settings = dataclasses.replace(config.model, parts="wide")
    model = CountingModel(config.spec, settings, {"app": 9, "installed_x_app": 9})
    for weights in model.table_weights.values():
        weights.assign(np.arange(math.prod(weights.shape), dtype=np.float32).reshape(weights.shape))
    logits_of = logits_function(model)
    apps, nothing = np.array([1, 2, 3], np.int64), np.zeros(3, np.float32)
    batches = [features for features, _, _ in batches_of(apps, nothing, nothing, batch_size=2)]
    found = [logits_of(features).numpy() for features in batches]
    assert model.num_graphs == 1
    assert [len(logits) for logits in found] == [2, 1]
    expected = [WideDeep.logits(model, features).numpy() for features in batches]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected))
    assert len(set(np.concatenate(expected))) > 1
