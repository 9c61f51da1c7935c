"""The optimizers against the papers' formulas in numpy, and which rows a step touches."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer, ftrl_linear, make_deep_optimizer, make_ftrl
from transform import settings
from transform.config import Config

SIZES = {"app": 20, "country": 20, "installed_x_app": 20}


def features_of(apps: list[int], lists: list[list[int]]) -> dict[str, Any]:
    """A batch whose every categorical input holds ids of `apps` and `lists`."""
    rows = [[i, j] for i, row in enumerate(lists) for j in range(len(row))]
    ids = tf.constant(apps, tf.int64)
    values = np.array([value for row in lists for value in row], np.int64)
    listed = tf.SparseTensor(np.array(rows, np.int64).reshape(-1, 2), values, [len(apps), 3])
    return {
        "app_xf": ids,
        "country_xf": ids,
        "installed_xf": listed,
        "installed_x_app_xf": listed,
        "app_x_price_xf": listed,
        "price_xf": tf.constant(np.linspace(0, 1, len(apps)), tf.float32),
        "price_bucket_xf": tf.constant(np.arange(len(apps)) % 3, tf.int64),
    }


@pytest.mark.parametrize("deep", ["adagrad", "adam"])
def test_a_step_changes_the_batchs_rows_only(config: Config, deep: Any) -> None:
    training = dataclasses.replace(config.training, deep_optimizer=settings.DeepOptimizer(name=deep))
    model = WideDeep(config.spec, config.model, SIZES)
    optimizers = JointOptimizer(model, training)
    model.compile(optimizers)
    rng = np.random.default_rng(3)
    for variable in model.wide_variables:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    step = tf.function(lambda features, labels: model.train_step((features, labels)))
    # The first step touches rows 10 to 14, so that they have optimizer state; the second must leave them alone.
    step(features_of([10, 11], [[12, 13], [14]]), tf.constant([1.0, 0.0]))
    before = [variable.numpy() for variable in optimizers.state()]
    step(features_of([1, 2], [[3, 4, 3], []]), tf.constant([1.0, 0.0]))
    after = dict(zip((v.ref() for v in optimizers.state()), before, strict=True))

    touched = {
        "wide/app": {1, 2},
        "wide/installed": {3, 4},
        "wide/price": {0, 1},
        "wide/installed_x_app": {3, 4},
        "wide/app_x_price": {3, 4},
        "embedding/app": {1, 2, 3, 4},
        "embedding/country": {1, 2},
    }
    assert touched.keys() == model.table_weights.keys()
    for name, rows in touched.items():
        variable = model.table_weights[name]
        for part in (variable, *optimizers.slots(variable).values()):
            old, new = after[part.ref()], part.numpy()
            changed = {int(row) for row in np.unique(np.nonzero(old != new)[0])}
            assert changed == rows, (name, part.name)
    assert step.experimental_get_tracing_count() == 1
    for variable in model.dense_variables.values():
        assert np.any(after[variable.ref()] != variable.numpy()), variable.name


@pytest.mark.parametrize(("l1", "l2", "beta"), [(0.0, 0.0, 0.0), (0.05, 0.3, 1.5)])
def test_ftrl_follows_the_papers_formula(l1: float, l2: float, beta: float) -> None:
    alpha, n0 = 0.1, 0.1
    w = tf.Variable([0.0, 0.0, 0.0])
    ftrl = settings.Ftrl(learning_rate=alpha, l1=l1, l2=l2, beta=beta, initial_accumulator=n0)
    optimizer = make_ftrl(ftrl)
    rng = np.random.default_rng(1)
    expected, n, z = np.zeros(3), np.full(3, n0), np.zeros(3)
    for _ in range(6):
        rows, gradients = rng.choice(3, 2, replace=False), rng.normal(size=2)
        optimizer.apply_gradients([(tf.IndexedSlices(tf.constant(gradients, tf.float32), tf.constant(rows), [3]), w)])
        for row, g in zip(rows, gradients, strict=True):  # McMahan et al. (2013), algorithm 1
            sigma = (np.sqrt(n[row] + g * g) - np.sqrt(n[row])) / alpha
            z[row] += g - sigma * expected[row]
            n[row] += g * g
            shrunk = 0.0 if abs(z[row]) <= l1 else z[row] - np.sign(z[row]) * l1
            expected[row] = -shrunk / ((beta + np.sqrt(n[row])) / alpha + l2)
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4, atol=1e-6)
    held = ftrl_linear(w.numpy(), optimizer.get_slot(w, "accumulator").numpy(), ftrl, z.astype(np.float32))
    np.testing.assert_allclose(held, z, rtol=1e-3, atol=1e-5)


def test_l1_keeps_rarely_useful_weights_at_zero_and_not_the_bias(config: Config) -> None:
    training = dataclasses.replace(config.training, wide_optimizer=settings.Ftrl(l1=100.0))
    model = WideDeep(config.spec, dataclasses.replace(config.model, parts="wide"), SIZES)
    model.compile(JointOptimizer(model, training))
    model.train_step((features_of([1, 2], [[3], []]), tf.constant([1.0, 1.0])))
    assert all(not variable.numpy().any() for variable in model.wide_variables)
    assert model.bias.numpy() > 0


def test_adagrad_follows_the_formula() -> None:
    w = tf.Variable(np.ones((3, 2), np.float32))
    optimizer = make_deep_optimizer(settings.DeepOptimizer(learning_rate=0.1, initial_accumulator=0.2))
    rng = np.random.default_rng(1)
    expected, n = np.ones((3, 2)), np.full((3, 2), 0.2)
    for _ in range(5):
        rows, gradients = np.array([0, 2, 0]), rng.normal(size=(3, 2))  # row 0 twice in one step
        optimizer.apply_gradients(
            [(tf.IndexedSlices(tf.constant(gradients, tf.float32), tf.constant(rows), [3, 2]), w)]
        )
        for row, g in ((0, gradients[0] + gradients[2]), (2, gradients[1])):
            n[row] += g * g
            expected[row] -= 0.1 * g / (np.sqrt(n[row]) + 1e-7)
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5)


def test_adam_follows_the_formula_on_the_rows_it_reads() -> None:
    w = tf.Variable(np.ones((3, 2), np.float32))
    optimizer = make_deep_optimizer(settings.DeepOptimizer(name="adam", learning_rate=0.1))
    rng = np.random.default_rng(1)
    expected, m, v = np.ones((3, 2)), np.zeros((3, 2)), np.zeros((3, 2))
    for t in range(1, 6):
        row, g = t % 3, rng.normal(size=2)
        slices = tf.IndexedSlices(tf.constant([g], tf.float32), tf.constant([row]), [3, 2])
        optimizer.apply_gradients([(slices, w)])
        m[row] = 0.9 * m[row] + 0.1 * g
        v[row] = 0.999 * v[row] + 0.001 * g * g
        rate = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        expected[row] -= rate * m[row] / (np.sqrt(v[row]) + 1e-7)
    np.testing.assert_allclose(w.numpy(), expected, rtol=1e-4)


def test_one_loss_drives_both_parts(config: Config) -> None:
    """The gradient of each part's logit is the same σ(logit) - label, as in the paper's joint training."""
    model = WideDeep(config.spec, config.model, SIZES)
    features, label = features_of([1], [[3]]), 1.0
    residual = tf.sigmoid(model(features)).numpy()[0] - label
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits([label], model(features)))
    wide, last, bias = (model.table_weights["wide/app"], model.dense_layers[-1].kernel, model.bias)
    gradients = tape.gradient(loss, [wide, last, bias])
    np.testing.assert_allclose(gradients[0].values, [residual], rtol=1e-5)
    np.testing.assert_allclose(gradients[2], residual, rtol=1e-5)
    assert np.abs(gradients[1]).max() > 0
