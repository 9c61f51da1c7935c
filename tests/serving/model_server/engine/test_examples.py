"""Tests that a Classify result is limited, since the event loop builds it."""

from __future__ import annotations

import pytest
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.model_server.engine.examples import MAX_CLASSES, classification_result
from serving.model_server.errors import ServingError


def _scores(num_examples: int, num_classes: int) -> dict[str, tensor_pb2.TensorProto]:
    scores = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[0.5] * (num_examples * num_classes))
    for size in (num_examples, num_classes):
        scores.tensor_shape.dim.add(size=size)
    return {"scores": scores}


def test_as_many_classes_as_there_may_be() -> None:
    num_examples = MAX_CLASSES // 1000
    result = classification_result(_scores(num_examples, 1000), num_examples)
    assert [len(row.classes) for row in result.classifications] == [1000] * num_examples


def test_more_classes_than_there_may_be() -> None:
    num_examples = MAX_CLASSES // 1000 + 1
    with pytest.raises(ServingError) as caught:
        classification_result(_scores(num_examples, 1000), num_examples)
    rule = f"the examples of a classification times their classes must be at most {MAX_CLASSES}"
    assert caught.value.message == f"{rule}. Received: {num_examples} x 1000"
