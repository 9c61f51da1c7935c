"""The optimizers compared with the papers' formulas in NumPy, and the rows that a step changes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, get_args

import numpy as np
import pytest
import tensorflow as tf

from trainer.optimizers import DEEP_OPTIMIZERS, JointOptimizer, ftrl_linear, make_deep_optimizer, make_ftrl, set_bias
from trainer.training.step import train_step
from trainer.training_size import sized
from trainer.wide_deep.model import WideDeep
from transform.config import settings
from transform.config.config import Config

SIZES = {"app": 20, "country": 20, "installed_x_app": 20}


def features_of(apps: list[int], lists: list[list[int]]) -> dict[str, Any]:
    """A batch whose categorical inputs all hold ids of `apps` and `lists`."""
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


def test_every_name_of_the_config_has_an_optimizer() -> None:
    assert set(DEEP_OPTIMIZERS) == set(get_args(settings.DeepOptimizerName))


@pytest.mark.parametrize("deep", DEEP_OPTIMIZERS)
def test_a_step_changes_the_batchs_rows_only(config: Config, deep: Any) -> None:
    training = dataclasses.replace(
        config.training, deep_optimizer=settings.DeepOptimizer(name=deep, learning_rate=0.05)
    )
    model = WideDeep(config.spec, config.model, SIZES)
    optimizers = JointOptimizer(model, training)
    rng = np.random.default_rng(3)
    for variable in model.wide_variables:
        variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    step = tf.function(lambda features, labels: train_step(model, optimizers, (features, labels, tf.ones(2))))
    # The first step gives rows 10 to 14 optimizer state; the second step must not change them.
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


class PaperFtrl:
    """Algorithm 1 of McMahan et al. (2013), "Ad Click Prediction: a View from the Trenches", coordinate by coordinate.

    With p = -0.5 it is the paper's algorithm; the power is TensorFlow's generalization of its square root.
    """

    def __init__(self, w: np.ndarray, ftrl: settings.Ftrl) -> None:
        self.alpha, self.p, self.beta = ftrl.learning_rate, ftrl.learning_rate_power, ftrl.beta
        self.l1, self.l2 = ftrl.l1, ftrl.l2
        self.w, self.z = w.astype(np.float64), np.zeros(w.shape)
        self.n = np.full(w.shape, ftrl.initial_accumulator)

    def step(self, row: int, g: np.ndarray) -> None:
        n = self.n[row] + g**2
        sigma = (n**-self.p - self.n[row] ** -self.p) / self.alpha
        self.z[row] += g - sigma * self.w[row]
        self.n[row] = n
        z = self.z[row]
        rate = 1 / ((self.beta + n**-self.p) / self.alpha + self.l2)
        self.w[row] = np.where(np.abs(z) <= self.l1, 0.0, -rate * (z - np.sign(z) * self.l1))


class PaperAdagrad:
    """Duchi et al. (2011), figure 1, with diagonal matrices: x -= η·g / (δ + √n), n the sum of g²; δ is 1e-7."""

    def __init__(self, w: np.ndarray, deep: settings.DeepOptimizer) -> None:
        self.eta = deep.learning_rate
        self.w, self.n = w.astype(np.float64), np.full(w.shape, deep.initial_accumulator)

    def step(self, row: int, g: np.ndarray) -> None:
        self.n[row] += g**2
        self.w[row] -= self.eta * g / (1e-7 + np.sqrt(self.n[row]))


def assert_follows(optimizer: Any, paper: Any, initial: np.ndarray, sparse: bool) -> None:
    """Takes 40 steps with both; each sparse step repeats some rows and leaves others out.

    Args:
      optimizer: The optimizer under test.
      paper: The paper's optimizer, with the weights `w`, and `step`, which takes a row and its gradient.
      initial: The weights before the first step, float32, one row or one weight per entry.
      sparse: Whether the gradients are IndexedSlices.
    """
    table = tf.Variable(initial)
    optimizer._create_all_weights([table])
    state = [table, *(optimizer.get_slot(table, name) for name in optimizer.get_slot_names())]
    rng = np.random.default_rng(1)
    for _ in range(40):
        rows = rng.choice(len(initial) - 1, 8) if sparse else np.arange(len(initial))
        gradients = rng.normal(size=(len(rows), *initial.shape[1:])).astype(np.float32)
        gradient = tf.constant(gradients)
        if sparse:
            assert len(set(rows)) < len(rows)
            gradient = tf.IndexedSlices(gradient, tf.constant(rows), tf.constant(initial.shape))
        before = [variable.numpy() for variable in state]
        optimizer.apply_gradients([(gradient, table)])
        for row in np.unique(rows):
            paper.step(row, gradients[rows == row].astype(np.float64).sum(axis=0))
        for old, variable in zip(before, state, strict=True):
            for row in set(range(len(initial))) - set(rows.tolist()):
                assert old[row].tobytes() == variable.numpy()[row].tobytes()
    assert np.abs(table.numpy() - paper.w).max() <= 1e-5
    assert np.abs(table.numpy() - initial)[:-1].min() > 1e-4


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("power", [-0.5, -0.8, 0.0])
@pytest.mark.parametrize(("l1", "l2", "beta"), [(0.0, 0.0, 0.0), (0.05, 0.3, 1.5), (0.5, 0.01, 0.2), (4.0, 2.0, 1.0)])
def test_ftrl_follows_the_papers_formula(l1: float, l2: float, beta: float, power: float, sparse: bool) -> None:
    ftrl = settings.Ftrl(0.1, power, l1, l2, beta, initial_accumulator=0.1)
    initial = np.full(7, 0.5, np.float32)
    assert_follows(make_ftrl(ftrl), PaperFtrl(initial, ftrl), initial, sparse)


@pytest.mark.parametrize("power", [-0.5, -0.8, 0.0])
@pytest.mark.parametrize(("l1", "l2", "beta"), [(0.0, 0.0, 0.0), (0.5, 0.3, 1.5)])
def test_ftrl_holds_a_weight_with_the_z_that_is_made_of_it(l1: float, l2: float, beta: float, power: float) -> None:
    ftrl = settings.Ftrl(0.1, power, l1, l2, beta, initial_accumulator=0.1)
    w, n = np.array([-2.0, 0.0, 0.3, 0.0], np.float32), np.array([0.1, 0.5, 7.0, 0.1], np.float32)
    z = ftrl_linear(w, n, ftrl, np.array([9.0, -0.4, 9.0, 3.0], np.float32))
    # By hand, with p = -0.5, λ1 = 0.5, λ2 = 0.3, β = 1.5, α = 0.1: 2·((1.5 + √0.1)/0.1 + 0.3) + 0.5.
    if (power, l1) == (-0.5, 0.5):
        np.testing.assert_allclose(z, [37.424555, -0.4, -13.027254, 0.5], rtol=1e-6)
    table, optimizer = tf.Variable(w), make_ftrl(ftrl)
    optimizer._create_all_weights([table])
    optimizer.get_slot(table, "accumulator").assign(n)
    optimizer.get_slot(table, "linear").assign(z)
    optimizer.apply_gradients([(tf.zeros(4), table)])  # recomputes every weight from z and n
    np.testing.assert_allclose(table.numpy(), w, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [64, 1024])
@pytest.mark.parametrize(
    ("training", "weight"),
    [
        # The score starts at σ(-ln 3) = 0.25: 0.1 · 0.75 / √(1 + 0.75²) = 0.1 · 0.75 / 1.25.
        (settings.Training(), 0.06),
        # λ1 is 1/2048. z is -0.75/64 or -0.75/1024, and √n is 1.25/64 or 1.25/1024:
        # 0.1 · (0.75 - 64/2048) / 1.25 and 0.1 · (0.75 - 1024/2048) / 1.25.
        (settings.Training(wide_optimizer=settings.Ftrl(0.1, l1=1 / 2048)), (0.0575, 0.02)),
        # 1/1024 is less than λ1, 0.75/64 is more: 0.1 · (0.75 - 64/512) / 1.25.
        (settings.Training(wide_optimizer=settings.Ftrl(0.1, l1=1 / 512)), (0.05, 0.0)),
    ],
)
def test_a_values_first_example_moves_its_weight_as_far_in_each_batch_size_without_l1(
    config: Config, training: settings.Training, weight: float | tuple[float, float], batch_size: int
) -> None:
    training = sized(dataclasses.replace(training, batch_size=batch_size), 10_000)
    model = WideDeep(config.spec, dataclasses.replace(config.model, parts="wide", token_dropout=0.0), SIZES)
    optimizers = JointOptimizer(model, training)
    set_bias(model, optimizers, training, -math.log(3))
    features = features_of([1] + [2] * (batch_size - 1), [[]] * batch_size)
    train_step(model, optimizers, (features, tf.ones(batch_size), tf.ones(batch_size)))
    expected = weight if isinstance(weight, float) else weight[batch_size == 1024]
    assert model.table_weights["wide/app"].numpy().reshape(-1)[1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch_size", [64, 1024])
def test_ftrls_first_step_by_the_largest_gradient_of_an_example(batch_size: int) -> None:
    training = sized(settings.Training(batch_size=batch_size), 10_000)
    weights, optimizer = tf.Variable(tf.zeros(3)), make_ftrl(training.wide_optimizer)
    optimizer.apply_gradients([(tf.constant([-1.0, 1.0, 0.0]) / batch_size, weights)])
    np.testing.assert_allclose(weights.numpy(), [0.0707107, -0.0707107, 0.0], rtol=1e-5)  # 0.1 / √2


def test_l1_keeps_rarely_useful_weights_at_zero_and_not_the_bias(config: Config) -> None:
    training = dataclasses.replace(config.training, wide_optimizer=settings.Ftrl(l1=100.0, initial_accumulator=0.1))
    model = WideDeep(config.spec, dataclasses.replace(config.model, parts="wide"), SIZES)
    batch = features_of([1, 2], [[3], []]), tf.constant([1.0, 1.0]), tf.ones(2)
    train_step(model, JointOptimizer(model, training), batch)
    assert all(not variable.numpy().any() for variable in model.wide_variables)
    assert model.bias.numpy() > 0


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("initial_accumulator", [0.1, 0.0])
def test_adagrad_follows_the_papers_formula(initial_accumulator: float, sparse: bool) -> None:
    deep = settings.DeepOptimizer("adagrad", learning_rate=0.1, initial_accumulator=initial_accumulator)
    initial = np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32)
    assert_follows(make_deep_optimizer(deep), PaperAdagrad(initial, deep), initial, sparse)


def test_adagrad_without_a_row_changes_nothing() -> None:
    """The gradient of a batch in which all lists are empty."""
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    optimizer = make_deep_optimizer(settings.DeepOptimizer("adagrad", learning_rate=0.05))
    gradient = tf.IndexedSlices(tf.zeros([0, 2]), tf.zeros([0], tf.int64), [2, 2])
    optimizer.apply_gradients([(gradient, table)])
    np.testing.assert_array_equal(table, [[1.0, 2.0], [3.0, 4.0]])


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
    wide, last, bias = (model.table_weights["wide/app"], model.dense_variables["dense_2/kernel"], model.bias)
    gradients = tape.gradient(loss, [wide, last, bias])
    np.testing.assert_allclose(gradients[0].values, [residual], rtol=1e-5)
    np.testing.assert_allclose(gradients[2], residual, rtol=1e-5)
    assert np.abs(gradients[1]).max() > 0
