"""Tests of answers in REST's JSON, number by number, with cases of TF Serving's `util/json_tensor_test.cc`."""

from __future__ import annotations

import json

import pytest
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from serving.model_server.errors import ServingError
from serving.model_server.protocol.json_responses import classifications, error, regressions
from serving.model_server.protocol.json_responses import predictions as format_predictions


def tensor(dtype: str, sizes: list[int], values: str = "") -> tensor_pb2.TensorProto:
    dims = " ".join(f"dim {{ size: {size} }}" for size in sizes)
    text = f"dtype: DT_{dtype} tensor_shape {{ {dims} }} {values}"
    return text_format.Parse(text, tensor_pb2.TensorProto())


def predictions(outputs: dict[str, tensor_pb2.TensorProto], by_row: bool) -> str:
    return format_predictions(predict_pb2.PredictResponse(outputs=outputs), by_row)


INTS = tensor("INT32", [2, 3, 2], "int_val: [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]")
BYTES = tensor("STRING", [2, 2], 'string_val: ["hello", "world", "tf", "serving"]')
FLOATS = tensor("FLOAT", [2, 3], "float_val: [9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5]")
ODD = tensor("FLOAT", [2, 2], "float_val: [nan, inf, 3, -inf]")


@pytest.mark.parametrize(
    ("name", "proto", "rows"),
    [
        ("x", INTS, "[[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]]"),
        ("x", tensor("INT32", [5], "int_val: [1, 2, 3, 4, 5]"), "[1, 2, 3, 4, 5]"),
        ("x", BYTES, '[["hello", "world"], ["tf", "serving"]]'),
        ("x_bytes", BYTES, '[[{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [{"b64": "dGY="}, {"b64": "c2VydmluZw=="}]]'),
        ("x", FLOATS, "[[9e+06, 999999.0, 0.5], [0.0003, 3e-05, 555557.5]]"),
        ("x", ODD, "[[NaN, Infinity], [3.0, -Infinity]]"),
        ("x", tensor("INT32", [0, 2]), "[]"),
    ],
)
def test_one_output(name: str, proto: tensor_pb2.TensorProto, rows: str) -> None:
    assert predictions({name: proto}, by_row=True) == f'{{"predictions": {rows}}}'
    assert predictions({name: proto}, by_row=False) == f'{{"outputs": {rows}}}'


def test_several_outputs() -> None:
    found = {"i": INTS, "s": BYTES}
    assert json.loads(predictions(found, by_row=True)) == {
        "predictions": [
            {"i": [[1, 2], [3, 4], [5, 6]], "s": ["hello", "world"]},
            {"i": [[7, 8], [9, 0], [1, 2]], "s": ["tf", "serving"]},
        ]
    }
    assert json.loads(predictions(found, by_row=False)) == {
        "outputs": {
            "i": [[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 0], [1, 2]]],
            "s": [["hello", "world"], ["tf", "serving"]],
        }
    }
    no_rows = {"s": tensor("STRING", [0, 1, 2]), "f": tensor("FLOAT", [0, 3, 4])}
    assert predictions(no_rows, by_row=True) == '{"predictions": []}'


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        ({"x": tensor("COMPLEX64", [1])}, "Failed to write JSON value for tensor type: complex64"),
        ({"x": tensor("INT32", [], "int_val: 1")}, "Tensor name: x has no shape information "),
        ({"i": INTS, "s": tensor("STRING", [1])}, "Tensor name: s has inconsistent batch size: 1 expecting: 2"),
        (
            {"i": tensor("INT32", [0, 2]), "s": tensor("STRING", [1])},
            "Tensor name: s has inconsistent batch size: 1 expecting: 0",
        ),
    ],
)
def test_outputs_that_are_no_rows(outputs: dict[str, tensor_pb2.TensorProto], sentence: str) -> None:
    with pytest.raises(ServingError) as caught:
        predictions(outputs, by_row=True)
    assert caught.value.message == sentence


def test_results() -> None:
    rows = [[("car", 0.2), ("bike", 0.7)], [("car", 0.7), ("bus", 0.2)]]
    classes = [{"classes": [{"label": label, "score": score} for label, score in row]} for row in rows]
    result = classification_pb2.ClassificationResult(classifications=classes)
    assert classifications(result) == '{"results": [[["car", 0.2], ["bike", 0.7]], [["car", 0.7], ["bus", 0.2]]]}'
    values = (0.2, float("inf"), 1.0, float("-inf"), float("nan"))
    numbers = regression_pb2.RegressionResult(regressions=[{"value": value} for value in values])
    assert regressions(numbers) == '{"results": [0.2, Infinity, 1.0, -Infinity, NaN]}'


def test_no_results() -> None:
    with pytest.raises(ServingError, match="Cannot convert empty ClassificationResults to JSON"):
        classifications(classification_pb2.ClassificationResult())
    with pytest.raises(ServingError, match="Cannot convert empty RegressionResults to JSON"):
        regressions(regression_pb2.RegressionResult())


def test_an_error_in_quotes() -> None:
    assert json.loads(error('Bad key: "key"')) == {"error": 'Bad key: "key"'}
