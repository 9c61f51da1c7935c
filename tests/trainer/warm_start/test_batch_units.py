"""Optimizer state after a change of the batch size: as if the same examples had been in batches of the new size."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import OLD, Trained, build, save, start
from trainer.optimizers import DEEP_OPTIMIZERS, make_deep_optimizer, make_ftrl
from trainer.training_size import sized
from trainer.warm_start.array_files import InMemory, read
from trainer.warm_start.batch_units import Scaled, in_batches_of
from trainer.warm_start.files import INDEX_FILE, read_files, warm_start_dir
from transform.config import settings

#: What each of some examples adds to a batch's summed gradient of a weight.
DELTAS = (0.5, -0.2, 0.7, 0.4)


def with_batches_of(batch_size: int | None, deep: str = "adam", **wide: Any) -> Trained:
    """A cold model; its FTRL has the default accumulator, unless `wide` has another."""
    ftrl = {"learning_rate": 0.1, "initial_accumulator": None} | wide
    training = {"batch_size": batch_size, "wide_optimizer": ftrl, "deep_optimizer": {"name": deep}}
    return build(make_config(training=training), OLD, seed=2)


def test_rows_are_scaled_block_by_block() -> None:
    rows = InMemory(np.array([[1.0, 2.0], [0.5, 9.0]], np.float32))
    assert read(Scaled(rows, 0.5)).tolist() == [[0.5, 1], [0.25, 4.5]]
    # 0.1 is left of what is below the start of 1; else 0.1 + (n - 1) / 4
    found = read(Scaled(rows, 0.25, start_before=1.0, start=0.1))
    np.testing.assert_allclose(found, [[0.1, 0.35], [0.1, 2.1]], rtol=1e-6)


@pytest.mark.parametrize(("before", "now"), [(128, 1024), (1024, 128)])
@pytest.mark.parametrize("initial", [None, 0.01])
def test_ftrl_s_state_is_that_of_the_same_examples_in_other_batches(
    before: int, now: int, initial: float | None, tmp_path: Path
) -> None:
    """With n0 = 1 / B² and without λ1, λ2 and β, the batch size cancels out of the weight, too."""
    old, new = (with_batches_of(size, initial_accumulator=initial) for size in (before, now))
    expected = {}
    for trained, size in ((old, before), (new, now)):
        weight = tf.Variable([0.0])
        optimizer = make_ftrl(sized(trained.config.training, 8).wide_optimizer)
        for delta in DELTAS:
            optimizer.apply_gradients([(tf.constant([delta / size]), weight)])
        expected[size] = (
            weight.numpy()[0],
            *(optimizer.get_slot(weight, n).numpy()[0] for n in ("accumulator", "linear")),
        )
    table = old.model.table_weights["wide/app"]
    slots = old.optimizers.slots(table)
    for variable, value in zip((table, slots["accumulator"], slots["linear"]), expected[before], strict=True):
        variable.assign(tf.fill(variable.shape, value))
    start(new, save(old, tmp_path))
    table = new.model.table_weights["wide/app"]
    slots = new.optimizers.slots(table)
    assert slots["accumulator"].numpy()[0] == pytest.approx(expected[now][1], rel=1e-5)
    assert table.numpy()[0] == expected[before][0]
    if initial is None:
        assert expected[before][0] == pytest.approx(expected[now][0], rel=1e-5)
        assert slots["linear"].numpy()[0] == pytest.approx(expected[now][2], rel=1e-4)


@pytest.mark.parametrize("name", DEEP_OPTIMIZERS)
def test_the_deep_state_of_a_rare_row_is_that_of_the_same_examples_in_other_batches(
    name: settings.DeepOptimizerName, tmp_path: Path
) -> None:
    old, new = with_batches_of(64, name), with_batches_of(512, name)
    expected: dict[int, dict[str, float]] = {}
    for size in (64, 512):
        weight = tf.Variable([0.0])
        optimizer = make_deep_optimizer(sized(old.config.training, 8).deep_optimizer)
        for delta in DELTAS:
            optimizer.apply_gradients([(tf.constant([delta / size]), weight)])
        expected[size] = {n: optimizer.get_slot(weight, n).numpy()[0] for n in optimizer.get_slot_names()}
    table, kernel = "embedding/app", "dense_0/kernel"
    for variable in (old.model.table_weights[table], old.model.dense_variables[kernel]):
        for slot, values in old.optimizers.slots(variable).items():
            values.assign(tf.fill(values.shape, expected[64][slot]))
    start(new, save(old, tmp_path))
    for slot, values in new.optimizers.slots(new.model.table_weights[table]).items():
        np.testing.assert_allclose(values.numpy(), expected[512][slot], rtol=1e-5)
    if name == "adam":  # a hidden layer's m and v: by √(1/8) and by 1/8
        slots = new.optimizers.slots(new.model.dense_variables[kernel])
        np.testing.assert_allclose(slots["m"].numpy(), expected[64]["m"] * 0.125**0.5, rtol=1e-5)
        np.testing.assert_allclose(slots["v"].numpy(), expected[64]["v"] / 8, rtol=1e-5)


def test_weights_stay_where_they_are_and_zeros_stay_zeros(tmp_path: Path) -> None:
    old, new = with_batches_of(64, l1=0.001), with_batches_of(128, l1=0.001)
    old.train(30, seed=1)
    base = save(old, tmp_path)
    report = start(new, base)
    assert report.not_carried == ("the batch size changed from 64 to 128: the optimizers' state was scaled to it",)
    before = [variable.numpy() for variable in old.model.wide_variables]
    assert any((weights == 0).any() for weights in before)
    zeros = [tf.zeros_like(variable) for variable in new.optimizers.variables]
    new.optimizers.apply(zeros)  # FTRL recomputes every weight from z and n
    for variable, weights in zip(new.model.wide_variables, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), weights, atol=1e-6)
        of_zero = weights == 0
        z, old_z = (
            t.optimizers.slots(t.model.table_weights[name])["linear"].numpy()[of_zero]
            for t in (new, old)
            for name in [next(n for n, v in new.model.table_weights.items() if v is variable)]
        )
        np.testing.assert_allclose(z, old_z / 2, rtol=1e-6)  # gradients of twice as many examples are half as large


def test_files_without_a_batch_size_stay_as_they_are(tmp_path: Path) -> None:
    old, new = with_batches_of(64), with_batches_of(128)
    old.train(5, seed=1)
    base = save(old, tmp_path)
    path = Path(warm_start_dir(base)) / INDEX_FILE
    index = json.loads(path.read_text())
    assert index["settings"].pop("batch_size") == 64
    path.write_text(json.dumps(index))
    assert start(new, base).not_carried == ()
    for name, variable in old.model.table_weights.items():
        for slot, values in old.optimizers.slots(variable).items():
            found = new.optimizers.slots(new.model.table_weights[name])[slot]
            np.testing.assert_array_equal(found.numpy(), values.numpy())
    saved = read_files(warm_start_dir(base))
    same = dataclasses.replace(sized(new.config.training, 8), batch_size=64)
    assert in_batches_of(saved, same) == (saved, ())
