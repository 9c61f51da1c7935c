"""The values that an explanation names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.transform.small_config import small_config
from trainer.explanations.readable import Readable
from trainer.transform_output.state import TransformState
from transform.feature import Feature
from transform.feature_spec import FeatureSpec

CONFIG = small_config(
    (
        "features.3",
        {
            "name": "hour",
            "side": "context",
            "kind": "categorical",
            "derive": {"part": "hour", "format": "iso", "time_zone": "Asia/Tokyo"},
            "vocabulary": {},
        },
    ),
    ("features.2.parts", ["deep"]),
    ("crosses", [{"features": ["hour", "app"], "min_count": 1}]),
)


def test_a_derived_feature_is_named_by_the_part_of_its_time() -> None:
    def column(*values: str) -> Any:
        return tf.RaggedTensor.from_row_lengths([v for v in values if v], [int(v != "") for v in values]).to_sparse()

    raw = {"hour": column("2026-11-28T12:30Z", "noon", ""), "app": column("a", "b", "c")}
    readable = Readable(CONFIG.spec, TransformState({}, {}))
    expected = [b"21", b"(missing)", b"(missing)"]
    assert readable.format_block("hour", raw, {}).numpy().tolist() == expected
    assert readable.format_input("hour_xf", raw, {}).numpy().tolist() == expected
    crossed = readable.format_input("hour_x_app_xf", raw, {}).values.numpy().tolist()
    assert [text.decode() for text in crossed] == ["21 × a", "(missing) × b", "(missing) × c"]


@pytest.mark.parametrize("rule", [{"num_quantiles": 3}, {"boundaries": (2.0, 8.0)}])
def test_a_number_of_the_wide_part_is_named_by_its_bucket(rule: dict[str, object]) -> None:
    price = Feature(name="price", side="item", kind="numeric", **rule)  # type: ignore[arg-type]
    readable = Readable(FeatureSpec(features=(price,)), TransformState({}, {"price": np.array([2, 8], np.float32)}))
    buckets = {"price_bucket_xf": tf.constant([0, 1, 2, 3], tf.int64)}
    names = readable.format_input("price_bucket_xf", {}, buckets)
    assert names.numpy().tolist() == [b"below 2", b"from 2 below 8", b"from 8", b"(missing)"]
