"""Tests of REST's JSON of Classify and Regress, against tf.Examples in text format."""

from __future__ import annotations

import re
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow.core.example import feature_pb2
from tensorflow_serving.apis import regression_pb2

from serving.model_server.errors import ServingError
from serving.model_server.protocol.json_examples import fill_request


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (3, "int64_list { value: 3 }"),
        ([1, True, -9223372036854775808], "int64_list { value: 1 value: 1 value: -9223372036854775808 }"),
        ([0.5, -0.0], "float_list { value: 0.5 value: -0.0 }"),
        (["a", {"b64": "/w=="}, "é"], r'bytes_list { value: "a" value: "\377" value: "\303\251" }'),
        ({"b64": ""}, 'bytes_list { value: "" }'),
        ([], ""),
    ],
)
def test_values_become_a_feature(values: Any, expected: str) -> None:
    request = regression_pb2.RegressionRequest()
    fill_request(request, {"examples": [{"x": values}]}, 1)
    feature = request.input.example_list.examples[0].features.feature["x"]
    assert feature == text_format.Parse(expected, feature_pb2.Feature())


def test_features_are_bounded() -> None:
    with pytest.raises(ServingError, match=re.escape("an Example must have at most 1 features. Received: 2")):
        fill_request(regression_pb2.RegressionRequest(), {"examples": [{"x": 1, "y": 1}]}, 1)
