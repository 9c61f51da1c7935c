"""Requests whose combinations would exhaust a server's memory are refused before any combination is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.trainer.rank_export.every_cross import CONFIG
from tests.trainer.small_deployment import Row, Span, make_config, to_example, transform_span
from trainer.rank_export.limits import MAX_COMBINATIONS, bounded, bounded_lists, row_lengths
from trainer.signatures import ServingModule
from trainer.transform_output.state import read_transform_state
from trainer.wide_deep.model import WideDeep
from transform.feature_spec import FeatureSpec

INVALID = tf.errors.InvalidArgumentError

#: Counted and hashed crosses with lists, from either side, and one that goes through tf.Transform's graph.
CROSSES = [
    {"features": ["installed", "app"], "min_count": 1},
    {"features": ["app", "installed"], "num_hash_buckets": 20},
    {"features": ["tags", "installed"], "min_count": 1},
    {"features": ["country", "app", "installed"], "num_hash_buckets": 20},
]


def test_as_many_as_allowed_and_one_more() -> None:
    values = tf.constant([1, 2])
    half = MAX_COMBINATIONS // 2
    assert bounded(values, tf.constant([half, half]), "a_x_b").numpy().tolist() == [1, 2]
    with pytest.raises(
        INVALID, match=rf"(?s)at most {MAX_COMBINATIONS} combinations of `a_x_b`. Received:.*{2 * half + 1}"
    ):
        bounded(values, tf.constant([half, half + 1]), "a_x_b")


def test_numbers_past_64_bits_are_too_many() -> None:
    with pytest.raises(INVALID, match="must have at most"):
        bounded(tf.constant(0), tf.constant([2**62, 2**62, 2**62, 2**62], tf.int64), "a_x_b")


def test_rows_may_be_empty() -> None:
    lists = tf.RaggedTensor.from_row_lengths(["a", "b", "c"], [0, 2, 0, 1, 0]).to_sparse()
    assert row_lengths(lists).numpy().tolist() == [0, 2, 0, 1, 0]


def test_two_long_lists_in_a_cross(span_spec: FeatureSpec) -> None:
    """Only lists in the same row are combined: 3,000 × 3,000 is too many, two rows of 3,000 × 1 are not."""
    many = ["x"] * 3000

    def raw(tags: list[list[str]], installed: list[list[str]]) -> dict[str, Any]:
        return {"tags": tf.ragged.constant(tags).to_sparse(), "installed": tf.ragged.constant(installed).to_sparse()}

    found = bounded_lists(raw([many, ["y"]], [["y"], many]), span_spec)
    assert tf.sparse.to_dense(found["tags"])[1, 0] == b"y"
    with pytest.raises(INVALID, match=r"(?s)combinations of `tags_x_installed`. Received:.*9000000"):
        bounded_lists(raw([many], [many]), span_spec)


@pytest.fixture(scope="module")
def span_spec() -> FeatureSpec:
    return make_config(**CONFIG).spec


@pytest.fixture(scope="module", params=CROSSES)
def module(request: Any, tmp_path_factory: pytest.TempPathFactory) -> ServingModule:
    """What is exported of a model with one cross."""
    config = make_config(**CONFIG | {"crosses": [request.param], "count_encodings": []})
    rows: list[Row] = [
        {
            "country": ["a"],
            "installed": ["app0", "app1"],
            "age": [float(i)],
            "app": [f"app{i % 3}"],
            "tags": ["game", "free"],
            "price": [float(i % 5)],
            "label": [i % 2],
            "request_id": [str(i)],
        }
        for i in range(40)
    ]
    span: Span = transform_span(config, rows, rows[:10], tmp_path_factory.mktemp("span"))
    output = tft.TFTransformOutput(span.transform_output)
    model = WideDeep(config.spec, config.model, read_transform_state(output, config.spec).vocabulary_sizes, seed=4)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.1))
    items = {f"app{i}".encode(): to_example({"tags": ["game", "free"], "price": [1.0]}) for i in range(3)}
    return ServingModule(model, output, config, items, None, None)


@pytest.mark.slow
def test_a_long_list_with_many_candidates(module: ServingModule) -> None:
    """A list of 10,000 values alone is ranked; with 10,000 candidates, every ranking signature refuses it."""
    installed = [f"app{i % 3}" for i in range(10_000)]
    context = tf.constant([to_example({"country": ["a"], "installed": installed, "age": [3.0]})])
    named = (tf.constant(["a"]), tf.constant([installed]), tf.constant([3.0]))
    few, many = tf.constant([["app0", "app2", "new"]]), tf.constant([["app0"] * 10_000])
    assert np.isfinite(module.functions["rank"](context=context, item_ids=few)["scores"]).all()
    for signature, inputs in (
        ("rank", (context, many)),
        ("rank_items", (context, many, tf.fill([1, 10_000], ""))),
        ("rank_named", (many, *named)),
    ):
        with pytest.raises(INVALID, match=f"at most {MAX_COMBINATIONS} combinations of"):
            module.functions[signature](*inputs)
