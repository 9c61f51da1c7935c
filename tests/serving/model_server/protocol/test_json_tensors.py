"""Tests of REST's JSON tensors and errors; cases of TF Serving's `util/json_tensor_test.cc` and `json_tensor.cc`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import grpc
import pytest
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
from serving.model_server.protocol.json_requests import predict_request


def signature(**dtypes: str) -> dict[str, meta_graph_pb2.SignatureDef]:
    infos = {name: meta_graph_pb2.TensorInfo(dtype=types_pb2.DataType.Value(f"DT_{t}")) for name, t in dtypes.items()}
    return {"serving_default": meta_graph_pb2.SignatureDef(inputs=infos)}


def parsed(
    body: str, max_strings: int = 100, max_bytes: int = 1000, **dtypes: str
) -> Mapping[str, tensor_pb2.TensorProto]:
    request, _ = predict_request(body.encode(), Limits(max_strings, max_bytes), signature(**dtypes))
    inputs: Mapping[str, tensor_pb2.TensorProto] = request.inputs
    return inputs


@pytest.mark.parametrize(
    ("dtype", "body", "expected"),
    [
        (
            "INT32",
            '{"instances": [[1, 2], [3, 4], [5, 6]]}',
            "dim { size: 3 } dim { size: 2 } | int_val: [1,2,3,4,5,6]",
        ),
        ("INT32", '{"instances": [[1, 2]]} text that follows', "dim { size: 1 } dim { size: 2 } | int_val: [1, 2]"),
        ("INT32", '{"instances": [1], "instances": [2]}', "dim { size: 1 } | int_val: 1"),
        ("FLOAT", '{"instances": [1, 2.0, 5.003]}', "dim { size: 3 } | float_val: [1, 2, 5.003]"),
        ("DOUBLE", '{"instances": [1.0, 2, 0.662]}', "dim { size: 3 } | double_val: [1, 2, 0.662]"),
        ("FLOAT", '{"instances": [1435774380]}', "dim { size: 1 } | float_val: 1435774336"),
        ("FLOAT", '{"instances": [1.79e308, -1.79e308]}', "dim { size: 2 } | float_val: [inf, -inf]"),
        ("FLOAT", '{"instances": [2.2e-308]}', "dim { size: 1 } | float_val: 0"),
        ("STRING", '{"instances": [{"b64": "aGVsbG8="}]}', 'dim { size: 1 } | string_val: "hello"'),
        ("STRING", '{"instances": [[{"b64": "aGk="}]]}', 'dim { size: 1 } dim { size: 1 } | string_val: "hi"'),
        ("STRING", '{"instances": [{"x": [{"b64": "aGk="}]}]}', 'dim { size: 1 } dim { size: 1 } | string_val: "hi"'),
        ("INT32", '{"inputs": {"x": [[1, 2]]}}', "dim { size: 1 } dim { size: 2 } | int_val: [1, 2]"),
        ("INT32", '{"inputs": [[1, 2]]}', "dim { size: 1 } dim { size: 2 } | int_val: [1, 2]"),
        ("INT32", '{"inputs": 7}', "| int_val: 7"),
    ],
)
def test_tensors(dtype: str, body: str, expected: str) -> None:
    found = parsed(body, x=dtype)["x"]
    shape, values = expected.split("|")
    text = f"dtype: DT_{dtype} tensor_shape {{ {shape} }} {values}"
    assert found == text_format.Parse(text, tensor_pb2.TensorProto())


def test_named_tensors() -> None:
    rows = [
        {"i": [[1, 2], [3, 4]], "s": ["foo", "bar"], "d": [math.nan]},
        {"i": [[5, 6], [7, 8]], "s": ["baz", "bat"], "d": [math.inf]},
    ]
    found = parsed(json.dumps({"instances": rows}), i="INT32", s="STRING", d="DOUBLE")
    assert list(found["i"].int_val) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [dim.size for dim in found["i"].tensor_shape.dim] == [2, 2, 2]
    assert list(found["s"].string_val) == [b"foo", b"bar", b"baz", b"bat"]
    assert math.isnan(found["d"].double_val[0])
    assert found["d"].double_val[1] == math.inf


ELEMENT = "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
KEY = "Failed to process element: 1 key: x of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"instances": [[1, 2], [3, 4, 5]]}', f"{ELEMENT}Expecting tensor size: 2 but got: 3"),
        ('{"instances": [[1, 2], [[3, 4]]]}', f"{ELEMENT}Expecting shape [2] but got: [1,2]"),
        ('{"instances": [1, [1]]}', f"{ELEMENT}Expecting shape [] but got: [1]"),
        (
            '{"instances": [[1, 2], ["a", "b"]]}',
            f'{ELEMENT}JSON Value: "a" Type: String is not of expected type: int32',
        ),
        ('{"instances": [[1], [[1], 2]]}', f"{ELEMENT}JSON Value: 2 found at incorrect level: 2 in the JSON DOM. "
         "Expected at level: 2"),
        ('{"instances": [[1], [1, [2]]]}', f"{ELEMENT}Encountered list at unexpected level: 1 expected < 1"),
        ('{"instances": [[1], [[1], [2, 3]]]}', f"{ELEMENT}Encountered list at unexpected size: 2 at level: 1 "
         "expected size: 1"),
        ('{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ('{"instances": [{"x": [1]}, {"x": [1, 2]}]}', f"{KEY}Expecting tensor size: 1 but got: 2"),
        ('{"instances": [{"x": 1}, {"x": {"b64": "aGk="}}]}', f'{KEY}JSON Value: {{"b64": "aGk="}} Type: Object is not '
         "of expected type: int32"),
        ('{"instances": [{"x": 1}, {"z": 1}]}', "Failed to process element: 1 key: z of 'instances' list. Error: "
         "INVALID_ARGUMENT: JSON object: does not have named input: z"),
        ('{"instances": [{"x": 1}, {}]}', "Failed to process element: 1 of 'instances' list. JSON object: {} keys must "
         "be equal to: x"),
        ('{"instances": 1}', "JSON Value: {\"instances\": 1} Expecting 'instances' to be an list/array"),
        ("instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (" ", "JSON Parse error: The document is empty"),
        ("{1}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        ('{"a": {"}": 1} 1}', "JSON Parse error: Missing a comma or } after an object member. at offset: 15"),
        ('{"a": [{"]": 1} 1]}', "JSON Parse error: Missing a comma or ] after an array element. at offset: 16"),
        ('{"a": "\\x"}', "JSON Parse error: Invalid escape character in string. at offset: 7"),
    ],
)  # fmt: skip
def test_errors(body: str, error: str) -> None:
    with pytest.raises(ServingError) as caught:
        parsed(body, x="INT32")
    assert (caught.value.code, caught.value.message) == (grpc.StatusCode.INVALID_ARGUMENT, error)


def test_a_dtype_that_json_does_not_have() -> None:
    with pytest.raises(ServingError, match="Conversion of JSON Value: 1 to type: complex64") as caught:
        parsed('{"inputs": 1}', x="COMPLEX64")
    assert caught.value.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_strings_are_bounded_in_number_and_numbers_in_bytes(key: str) -> None:
    """A string may be a whole example or candidate; 250 floats of 4 bytes take 1,000 bytes."""
    assert len(parsed(json.dumps({key: [1.0] * 250}), x="FLOAT")["x"].float_val) == 250
    assert len(parsed(json.dumps({key: ["a"] * 100}), x="STRING")["x"].string_val) == 100
    with pytest.raises(ServingError, match=r"input x must have at most 100 elements, .*\. Received: 101"):
        parsed(json.dumps({key: ["a"] * 101}), x="STRING")
    with pytest.raises(ServingError, match=r"input x must have at most 1000 bytes\. Received: 1004"):
        parsed(json.dumps({key: [1.0] * 251}), x="FLOAT")


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("INT8", -128, 127), ("UINT8", 0, 255), ("INT16", -32768, 32767), ("UINT16", 0, 65535)],
)
def test_an_integer_out_of_its_range(dtype: str, low: int, high: int) -> None:
    """In TF Serving, an int8 of 300 wraps around."""
    assert list(parsed(f'{{"inputs": [{low}, {high}]}}', x=dtype)["x"].int_val) == [low, high]
    for value in (low - 1, high + 1):
        with pytest.raises(ServingError, match=f"JSON Value: {value} Type: Number is not of expected type: "):
            parsed(f'{{"inputs": {value}}}', x=dtype)
