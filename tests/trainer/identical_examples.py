"""A batch of identical examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

#: `app` has one out-of-vocabulary row, 5; `country` has two, 3 and 4.
SIZES = {"app": 5, "country": 3, "installed_x_app": 5}


NUM_EXAMPLES = 20_000


def batch(num_examples: int = NUM_EXAMPLES) -> dict[str, Any]:
    """Identical examples: app 2, installed apps 1 and 4, and so on."""
    indices = np.stack([np.repeat(np.arange(num_examples), 2), np.tile([0, 1], num_examples)], axis=1)

    def lists(first: int, second: int) -> tf.SparseTensor:
        return tf.SparseTensor(indices, np.tile(np.array([first, second], np.int64), num_examples), [num_examples, 2])

    return {
        "app_xf": tf.fill([num_examples], tf.constant(2, tf.int64)),
        "installed_xf": lists(1, 4),
        "price_xf": tf.fill([num_examples], 1 / 3),
        "price_bucket_xf": tf.fill([num_examples], tf.constant(1, tf.int64)),
        "country_xf": tf.fill([num_examples], tf.constant(1, tf.int64)),
        "installed_x_app_xf": lists(3, 4),
        "app_x_price_xf": lists(7, 9),
    }
