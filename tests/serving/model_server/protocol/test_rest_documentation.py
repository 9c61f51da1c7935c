"""Sends each request of TF Serving's REST documentation, https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest

from tests.serving.model_server.running import Server

MODEL = "/v1/models/half_plus_three"


def post(server: Server, verb: str, body: Any, at: str = MODEL) -> Any:
    response = server.rest.post(f"{at}:{verb}", content=body if isinstance(body, str) else json.dumps(body))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/123"])
def test_status(server: Server, path: str) -> None:
    assert server.rest.get(path).json() == {
        "model_version_status": [
            {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


def test_predict(server: Server) -> None:
    assert post(server, "predict", {"instances": [1.0, 2.0, 5.0]}) == {"predictions": [3.5, 4.0, 5.5]}


def test_regress(server: Server) -> None:
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert post(server, "regress", body) == {"results": [3.5, 4.0]}


def test_a_model_that_is_not_there(server: Server) -> None:
    response = server.rest.post("/v1/models/half:predict", content='{"instances": [1.0,5.0]}')
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"error": "Servable not found for request: Latest(half)"}


def test_rows_of_one_input_of_scalars(server: Server) -> None:
    """`"instances": [ "foo", "bar", "baz" ]`."""
    answer = post(server, "predict", {"signature_name": "images", "instances": ["foo", "bar", "baz"]})
    assert answer == {"predictions": [{"length": 3, "reversed_bytes": {"b64": encoded}} for encoded in B64_TAILS]}


B64_TAILS = [base64.b64encode(tail).decode() for tail in (b"oo", b"ar", b"az")]


def test_rows_of_one_input_of_tensors(server: Server) -> None:
    """`"instances": [ [[1, 2]], [[3, 4]] ]`: two tensors of shape [1, 2]."""
    answer = post(server, "predict", {"signature_name": "pairs", "instances": [[[1, 2]], [[3, 4]]]})
    assert answer == {"predictions": [3.0, 7.0]}


ROWS = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def test_rows_of_several_inputs(server: Server) -> None:
    assert post(server, "predict", {"signature_name": "named", "instances": ROWS}) == {
        "predictions": [
            {"doubled": [[2, 4], [6, 8]], "tag": "FOO", "total": 25},
            {"doubled": [[8, 10], [12, 16]], "tag": "BAR", "total": 38},
        ]
    }


def test_columns_of_several_inputs(server: Server) -> None:
    assert post(server, "predict", {"signature_name": "named", "inputs": COLUMNS}) == {
        "outputs": {"doubled": [[[2, 4], [6, 8]], [[8, 10], [12, 16]]], "tag": ["FOO", "BAR"], "total": [25, 38]}
    }


def test_columns_of_one_input(server: Server) -> None:
    assert post(server, "predict", {"inputs": [1.0, 2.0, 5.0]}) == {"outputs": [3.5, 4.0, 5.5]}
    assert post(server, "predict", {"inputs": {"x": [1.0, 2.0, 5.0]}}) == {"outputs": [3.5, 4.0, 5.5]}


def test_columns_need_not_have_as_many_rows(server: Server) -> None:
    body = {"signature_name": "sizes", "inputs": [1.0, 2.0]}
    assert post(server, "predict", body) == {"outputs": {"mean": 1.5, "x": [1.0, 2.0]}}


def test_classify_with_binary_values(server: Server) -> None:
    body = {
        "signature_name": "classify_objects",
        "examples": [
            {"image": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside"},
            {"image": {"b64": "YXdlc29tZSBpbWFnZSBieXRlcw=="}, "caption": "mountains"},
        ],
    }
    lengths = [float(len(b"image bytes")), float(len(b"awesome image bytes"))]
    assert post(server, "classify", body) == {"results": [[["seaside", lengths[0]]], [["mountains", lengths[1]]]]}


def test_classify_and_regress_with_context(server: Server) -> None:
    """A context's features are added to each example; the result is `x / 2 + bias + 3`."""
    body = {"context": {"bias": 10.0}, "examples": [{"x": 1.0}, {"x": 2.0}]}
    assert post(server, "regress", {"signature_name": "tensorflow/serving/regress", **body}) == {
        "results": [13.5, 14.0]
    }
    assert post(server, "classify", {"signature_name": "tensorflow/serving/classify", **body}) == {
        "results": [[["low", -13.5], ["high", 13.5]], [["low", -14.0], ["high", 14.0]]]
    }


def test_a_list_is_a_feature_of_several_values(server: Server) -> None:
    body = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": [1.0]}, {"x": [2.0]}]}
    assert post(server, "regress", body) == {"results": [3.5, 4.0]}


def test_numbers_that_json_does_not_have(server: Server) -> None:
    """`[ 1.0, -3.14, NaN, Infinity ]`."""
    response = server.rest.post(f"{MODEL}:predict", content='{"instances": [1.0, -3.14, NaN, Infinity, -Infinity]}')
    assert response.text == '{"predictions": [3.5, 1.43, NaN, Infinity, -Infinity]}'
    values = response.json()["predictions"]
    assert math.isnan(values[2])
    assert values[3:] == [math.inf, -math.inf]
    examples = '"examples": [{"sensor_readings": [1.0, -3.14, NaN, Infinity]}]'
    body = f'{{"signature_name": "tensorflow/serving/regress", {examples}}}'
    assert post(server, "regress", body) == {"results": [3.0]}


def test_every_dtype_of_the_table(server: Server) -> None:
    row = {
        "float32": 1.1,
        "float64": -10.0,
        "int8": -128,
        "uint8": 255,
        "int16": -32768,
        "int32": -(2**31),
        "int64": -(2**63),
        "uint32": 2**32 - 1,
        "uint64": 2**64 - 1,
        "bool": True,
        "string": "Hello World!",
    }
    answer = post(server, "predict", {"signature_name": "types", "instances": [row]})
    assert answer == {"predictions": [{f"{name}_out": value for name, value in row.items()}]}


def test_exponents_and_whole_floats_are_decimals(server: Server) -> None:
    response = server.rest.post(f"{MODEL}:predict", content='{"instances": [1e3, 0, -6, 1.2e7]}')
    assert response.text == '{"predictions": [503.0, 3.0, 0.0, 6000003.0]}'


@pytest.mark.parametrize("at", [MODEL, f"{MODEL}/versions/123"])
def test_a_version_may_be_named(server: Server, at: str) -> None:
    assert post(server, "predict", {"instances": [1.0]}, at) == {"predictions": [3.5]}


def test_metadata(server: Server) -> None:
    answer = server.rest.get(f"{MODEL}/metadata").json()
    assert answer["model_spec"] == {"name": "half_plus_three", "signature_name": "", "version": "123"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "name": "serving_default_x:0",
        "tensor_shape": {"dim": [{"name": "", "size": "-1"}], "unknown_rank": False},
    }
