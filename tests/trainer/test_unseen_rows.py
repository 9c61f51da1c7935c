"""Rows that no example has become the mean of the others, and FTRL holds them there."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tests.trainer.test_token_dropout import SIZES, batch
from trainer.model import WideDeep
from trainer.optimizers import JointOptimizer, ftrl_linear
from trainer.unseen_rows import fill_unseen_rows
from transform.config import Config


def test_rows_that_no_example_has_are_the_mean_of_the_others_weighted_by_their_examples(config: Config) -> None:
    """App 2 is in all three examples, with installed apps 1 and 4; one country is rare, in the first of two buckets."""
    training = config.training
    model = WideDeep(config.spec, config.model, SIZES)
    optimizers = JointOptimizer(model, training)
    rng = np.random.default_rng(3)
    for table in model.table_weights.values():
        table.assign(rng.normal(size=table.shape).astype(np.float32))
    before = {name: table.numpy() for name, table in model.table_weights.items()}
    features: dict[str, Any] = batch(3) | {"country_xf": tf.constant([1, 1, 3], tf.int64)}
    fill_unseen_rows(model, optimizers, training, [features])
    after = {name: table.numpy() for name, table in model.table_weights.items()}

    # The app's embeddings are read by the app and by the installed ones: 3 times row 2, 3 times rows 1 and 4.
    app, country = before["embedding/app"], before["embedding/country"]
    expected = {
        "embedding/app": {0: (app[1] + app[2] + app[4]) / 3, 5: (app[1] + app[2] + app[4]) / 3},
        "embedding/country": dict.fromkeys((0, 4), (2 * country[1] + country[3]) / 3),
        "wide/app": dict.fromkeys((0, 5), before["wide/app"][2]),
        "wide/installed": {row: before["wide/installed"][[1, 4]].mean() for row in (0, 5)},
    }
    for name, values in after.items():
        for row, value in enumerate(values):
            wanted = expected.get(name, {}).get(row, before[name][row])
            np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=f"{name} {row}")
    slots = optimizers.slots(model.table_weights["wide/app"])
    held = ftrl_linear(
        after["wide/app"], slots["accumulator"].numpy(), training.wide_optimizer, np.zeros(6, np.float32)
    )
    np.testing.assert_allclose(slots["linear"].numpy()[[0, 5]], held[[0, 5]], rtol=1e-6)
