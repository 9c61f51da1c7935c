"""Warm start of the tower: rows by position, the rest as it is, and scores that stay where it is new."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.placed_model import NUMERIC, build_placed, by_hand, placed_config
from tests.trainer.small_deployment import OPTIMIZERS, make_config
from tests.trainer.trained_model import OLD, Trained, build, features_of, save, start
from trainer.training.step import train_step
from trainer.warm_start.batch_units import in_batches_of
from trainer.warm_start.files import read_files, warm_start_dir

ADAM: dict[str, Any] = OPTIMIZERS | {"deep_optimizer": {"name": "adam", "learning_rate": 0.05}}


@dataclasses.dataclass
class Placed(Trained):
    """A trained model with a position, whose boundaries are known as those of the price are."""

    @property
    def transform_state(self) -> Any:
        found = super().transform_state
        boundaries = np.array(self.config.spec.by_name["position"].boundaries, np.float32)
        return dataclasses.replace(found, boundaries=found.boundaries | {"position": boundaries})


def placed(boundaries: list[float], seed: int = 1, training: dict[str, Any] = ADAM) -> Placed:
    config = placed_config(NUMERIC | {"boundaries": boundaries})
    config = dataclasses.replace(config, training=make_config(training=training | {"batch_size": 32}).training)
    trained = build_placed(config, seed)
    return Placed(config, OLD, trained.model, trained.optimizers, trained.boundaries)


def learn(trained: Trained, steps: int, seed: int, num_positions: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        features = features_of(rng, OLD, OLD) | {"position_bucket_xf": tf.constant(rng.integers(0, num_positions, 8))}
        labels = tf.constant(rng.integers(0, 2, 8), tf.float32)
        train_step(trained.model, trained.optimizers, (features, labels, tf.ones(8)))


def test_a_position_more_starts_as_the_one_that_held_it(tmp_path: Path) -> None:
    """The buckets 1, 2 and 3 or more become 1, 2, 3 and 4 or more; the last row is that of a missing position."""
    old, new = placed([2, 3]), placed([2, 3, 4], seed=2)
    learn(old, 4, 1, 4)
    report = start(new, save(old, tmp_path))
    rows = [0, 1, 2, 2, 3]
    np.testing.assert_allclose(by_hand(new.model, np.arange(5)), by_hand(old.model, np.array(rows)), rtol=1e-6)
    assert np.ptp(by_hand(old.model, np.arange(4))) > 0.01
    assert {"tower/bias", "tower/kernel"} <= set(report.dense)
    assert (report.tables["tower/position"].kept, report.tables["tower/position"].new) == (5, 0)
    for name in ("m", "v"):
        slots = [t.optimizers.slots(t.model.table_weights["tower/position"])[name].numpy() for t in (old, new)]
        np.testing.assert_array_equal(slots[1], slots[0][rows])
    assert int(new.optimizers.tower.iterations) == 4  # type: ignore[union-attr]
    learn(new, 1, 2, 4)


def test_the_next_step_is_that_of_an_uninterrupted_training(tmp_path: Path) -> None:
    old, new = placed([2, 3]), placed([2, 3], seed=1)
    learn(old, 3, 1, 4)
    start(new, save(old, tmp_path))
    new.model.step.assign(old.model.step)  # of which dropout's draws are
    for trained in (old, new):
        learn(trained, 1, 7, 4)
    np.testing.assert_allclose(by_hand(new.model, np.arange(4)), by_hand(old.model, np.arange(4)), rtol=1e-5)


def test_a_position_that_is_new_leaves_the_scores_as_they_are(tmp_path: Path) -> None:
    config = dataclasses.replace(make_config(), training=make_config(training=ADAM).training)
    old, new = build(config, OLD), placed([2, 3], seed=2)
    old.train(3, seed=1)
    report = start(new, save(old, tmp_path))
    features = features_of(np.random.default_rng(5), OLD, OLD)
    with_position = features | {"position_bucket_xf": tf.constant([0, 1, 2, 3, 0, 1, 2, 3], tf.int64)}
    np.testing.assert_allclose(new.model(with_position), old.model(features), atol=1e-5)
    assert np.asarray(old.model(features)).std() > 0.02
    assert "tower/position: not in the previous model" in report.not_carried
    assert int(new.optimizers.tower.iterations) == 0  # type: ignore[union-attr]
    assert int(new.optimizers.deep.iterations) == 3  # type: ignore[union-attr]
    learn(new, 5, 2, 4)
    assert np.ptp(by_hand(new.model, np.arange(3))) > 1e-4  # it learns from there


def test_a_position_that_has_gone_is_told(tmp_path: Path) -> None:
    config = dataclasses.replace(make_config(), training=make_config(training=ADAM).training)
    old, new = placed([2, 3]), build(config, OLD, seed=2)
    learn(old, 3, 1, 4)
    report = start(new, save(old, tmp_path))
    assert "tower/position: no longer in the model" in report.not_carried
    assert set(report.dense) == {name for name in old.model.dense_variables if not name.startswith("tower")}


def test_moments_are_in_units_of_the_new_batch_size(tmp_path: Path) -> None:
    """Each example has one of a tower's rows: m times √f and v times f, as in hidden layers, for f = 32 / 8."""
    old = placed([2, 3])
    learn(old, 2, 1, 4)
    saved = read_files(warm_start_dir(save(old, tmp_path)))
    training = dataclasses.replace(old.config.training, batch_size=8)
    scaled, _ = in_batches_of(saved, training)
    for name, factor in {"m": 2, "v": 4}.items():
        (before,), (after,) = (of.tables["tower/position"].variable.slots[name].blocks() for of in (saved, scaled))
        np.testing.assert_allclose(after, factor * before, rtol=1e-6)
        assert np.abs(before).max() > 0


@pytest.mark.parametrize("seed", [1, 2])
def test_files_of_a_model_without_a_tower_are_as_before(tmp_path: Path, seed: int) -> None:
    trained = build(make_config(), OLD, seed=seed)
    trained.train(1, seed=1)
    saved = read_files(warm_start_dir(save(trained, tmp_path)))
    assert not any("tower" in name for name in (*saved.tables, *saved.dense, *saved.settings))
