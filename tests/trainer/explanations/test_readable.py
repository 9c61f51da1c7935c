"""The values that an explanation names."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tests.transform.small_config import small_config
from trainer.explanations.readable import Readable
from trainer.transform_state import TransformState

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
    assert readable.of_block("hour", raw, {}).numpy().tolist() == expected
    assert readable.of_input("hour_xf", raw, {}).numpy().tolist() == expected
    crossed = readable.of_input("hour_x_app_xf", raw, {}).values.numpy().tolist()
    assert [text.decode() for text in crossed] == ["21 × a", "(missing) × b", "(missing) × c"]
