"""The tower of a feature that only the log has: its output by numpy, its dropout, its training, and its fixed value."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.placed_model import TEXT, build_placed, by_hand, placed_config
from tests.trainer.small_deployment import make_config
from tests.trainer.trained_model import OLD, features_of
from trainer.training.step import train_step
from trainer.transform_output.state import TransformState
from trainer.wide_deep.model import WideDeep
from trainer.wide_deep.tower import UNITS, fixed_row
from transform.errors import InputError


def placed_batch(seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """Features of eight examples, and their positions' buckets."""
    rng = np.random.default_rng(seed)
    features, ids = features_of(rng, OLD, OLD), rng.integers(0, 5, 8)
    return features | {"position_bucket_xf": tf.constant(ids)}, ids


def randomize(model: WideDeep) -> None:
    rng = np.random.default_rng(3)
    for variable in model.tower_variables:
        variable.assign(rng.normal(size=variable.shape))


def test_the_logit_has_the_output_of_the_tower_added() -> None:
    model = build_placed(placed_config()).model
    features, ids = placed_batch(1)
    without = model(features).numpy()
    assert model.table_weights["tower/position"].shape == (5, UNITS)
    randomize(model)
    added = by_hand(model, ids)
    assert np.ptp(added) > 1
    np.testing.assert_allclose(model(features), without + added, rtol=1e-4)  # v was 0: it added nothing


def test_the_same_weights_as_without_a_position() -> None:
    """The tower's draws are its own: the other parts begin, and train, as they do without it, as long as v is 0."""
    plain = make_config()
    before = WideDeep(plain.spec, plain.model, {name: len(tokens) for name, tokens in OLD.items()})
    model = build_placed(placed_config()).model
    for name, weights in before.table_weights.items():
        np.testing.assert_array_equal(model.table_weights[name].numpy(), weights.numpy(), err_msg=name)
    for name, variable in before.dense_variables.items():
        np.testing.assert_array_equal(model.dense_variables[name].numpy(), variable.numpy(), err_msg=name)
    assert [v.shape for v in model.wide_variables] == [v.shape for v in before.wide_variables]
    assert not any("position" in block.feature for block in model.layout)


def test_training_leaves_the_output_out_of_a_share_of_the_examples() -> None:
    model = build_placed(placed_config(dropout=0.25)).model
    randomize(model)
    ids = np.random.default_rng(1).integers(0, 4, 20_000)
    output = model.tower.in_training(tf.constant(ids), model._step_seed_of).numpy()  # type: ignore[union-attr]
    kept = output != 0
    expected = by_hand(model, ids)
    assert (expected != 0).all()
    assert kept.mean() == pytest.approx(0.75, abs=0.01)  # a standard error is 0.003
    np.testing.assert_allclose(output[kept], expected[kept], rtol=1e-5)  # and what is kept is not scaled
    model.step.assign_add(1)
    again = model.tower.in_training(tf.constant(ids), model._step_seed_of).numpy()  # type: ignore[union-attr]
    assert ((again != 0) != kept).any()


def test_the_tower_learns_what_a_position_does() -> None:
    """Labels that follow from the position alone: log-odds of 1, 0, -1 and -2."""
    config = placed_config(dropout=0.0)
    training = dataclasses.replace(
        config.training, deep_optimizer=dataclasses.replace(config.training.deep_optimizer, learning_rate=0.2)
    )
    trained = build_placed(dataclasses.replace(config, training=training))
    model, rng = trained.model, np.random.default_rng(5)
    step = tf.function(lambda *batch: train_step(model, trained.optimizers, batch))
    for _ in range(60):
        parts = [features_of(rng, OLD, OLD) for _ in range(16)]
        features = {
            name: tf.sparse.concat(0, values) if isinstance(values[0], tf.SparseTensor) else tf.concat(values, 0)
            for name, *values in zip(parts[0], *(part.values() for part in parts), strict=True)
        }
        ids = rng.integers(0, 4, 128)
        labels = (rng.random(128) < 1 / (1 + np.exp(ids - 1.0))).astype(np.float32)
        step(features | {"position_bucket_xf": tf.constant(ids)}, tf.constant(labels), tf.ones(128))
    learned = by_hand(model, np.arange(4))
    np.testing.assert_allclose(learned - learned[0], [0, -1, -2, -3], atol=0.6)
    assert int(trained.optimizers.tower.iterations) == 60  # type: ignore[union-attr]


def test_a_request_has_the_fixed_value() -> None:
    model = build_placed(placed_config(fixed=4)).model
    randomize(model)
    features, _ = placed_batch(1)
    served = model.as_served(features)
    assert served["position_bucket_xf"].numpy().tolist() == [2] * 8
    (fixed,) = by_hand(model, np.array([2]))
    assert model.served_bias().numpy() == pytest.approx(model.bias.numpy() + fixed, rel=1e-5)
    assert "position_bucket_xf" in model.feature_names
    assert "position_bucket_xf" not in model.served_names


@pytest.mark.parametrize(("fixed", "row"), [(0, 0), (1, 0), (2, 1), (9.5, 2), (10, 3)])
def test_the_row_of_a_fixed_number(fixed: float, row: int) -> None:
    assert fixed_row(placed_config(fixed=fixed).spec, TransformState({}, {})) == row


def test_the_row_of_a_fixed_text_is_that_of_the_vocabulary() -> None:
    state = TransformState({"position": [b"<missing>", b"top", b"side"]}, {})
    assert fixed_row(placed_config(TEXT, "side").spec, state) == 2
    with pytest.raises(InputError, match=r"`at_serving.fixed` of feature `position` must be .* Received: 'left'"):
        fixed_row(placed_config(TEXT, "left").spec, state)
    assert fixed_row(make_config().spec, state) is None
