"""Reading tf.Transform's output: vocabularies, and boundaries as its graph applies them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.small_deployment import Span
from trainer.transform_output.graph import apply_transform
from trainer.transform_output.state import _boundaries, read_transform_state
from transform.feature import Feature


def test_boundaries_are_where_the_graph_goes_to_the_next_quantile(first_span: Span) -> None:
    output = tft.TFTransformOutput(first_span.transform_output)
    transform_state = read_transform_state(output, first_span.config.spec)
    assert transform_state.vocabulary_sizes == {"app": 9, "country": 4, "installed_x_app": 64}
    assert set(transform_state.boundaries) == {"price"}
    boundaries = transform_state.boundaries["price"]
    np.testing.assert_allclose(boundaries, [2.5, 5, 7.5], atol=0.3)  # quarters of a uniform price from 0 to 10

    values = np.stack([np.nextafter(boundaries, np.float32(-np.inf)), boundaries], axis=1).reshape(-1)
    raw = tf.SparseTensor([[row, 0] for row in range(values.size)], values, [values.size, 1])
    transform_fn = tf.saved_model.load(output.transform_savedmodel_dir).transform_fn
    assert apply_transform(transform_fn, {"price": raw})["price_bucket_xf"].numpy().tolist() == [0, 1, 1, 2, 2, 3]


def test_boundaries_are_found_exactly_whatever_they_are() -> None:
    """With repeated boundaries, and a different number of them per feature."""
    expected = {
        "balance": np.array([-3e38, -7.25, -1e-6, 0, 0, 0, np.pi, 3e38], np.float32),
        "price": np.array([0.1, 1e9], np.float32),
    }

    @tf.function(input_signature=[{name: tf.SparseTensorSpec([None, None], tf.float32) for name in expected}])  # type: ignore[untyped-decorator]
    def transform(raw: dict[str, tf.SparseTensor]) -> dict[str, tf.Tensor]:
        return {
            f"{name}_bucket_xf": tf.searchsorted(boundaries, raw[name].values, side="right", out_type=tf.int64)
            for name, boundaries in expected.items()
        }

    features = [
        Feature(name=name, side="item", kind="numeric", num_quantiles=boundaries.size + 1)
        for name, boundaries in expected.items()
    ]
    found = _boundaries(transform.get_concrete_function(), features)
    for name, boundaries in expected.items():
        np.testing.assert_array_equal(found[name], boundaries)
