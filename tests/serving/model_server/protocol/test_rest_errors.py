"""Tests of REST's answers to malformed requests; the messages are TF Serving's."""

from __future__ import annotations

import pytest

from tests.serving.model_server.running import Server
from tests.serving.model_server.tiny_models import CLASSIFY

PREDICT = "/v1/models/half_plus_three:predict"
REGRESS = "/v1/models/half_plus_three:regress"
ELEMENT_0 = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
ROW = '{"tag": "a", "signal": [1], "sensor": [[1]]}'


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (PREDICT, "", "JSON Parse error: The document is empty"),
        (PREDICT, "{", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (PREDICT, "[1]", "JSON Value: [1] Is not object"),
        (PREDICT, "{}", "Missing 'inputs' or 'instances' key"),
        (
            PREDICT,
            '{"signature_name": 5}',
            "JSON Value: {\"signature_name\": 5} not formatted correctly. 'signature_name' key must be a string value.",
        ),
        (PREDICT, '{"signature_name": "no"}', 'Serving signature name: "no" not found in signature def'),
        (
            PREDICT,
            '{"inputs": 1, "instances": 1}',
            'JSON Value: {"inputs": 1, "instances": 1} Not formatted correctly expecting only one of \'inputs\' or '
            "'instances' keys to exist ",
        ),
        (PREDICT, '{"instances": 1}', "JSON Value: {\"instances\": 1} Expecting 'instances' to be an list/array"),
        (PREDICT, '{"instances": []}', "JSON Value: {\"instances\": []} No values in 'instances' array"),
        (PREDICT, '{"instances": ["1"]}', f'{ELEMENT_0}JSON Value: "1" Type: String is not of expected type: float'),
        (PREDICT, '{"instances": [true]}', f"{ELEMENT_0}JSON Value: true Type: True is not of expected type: float"),
        (PREDICT, '{"instances": [null]}', f"{ELEMENT_0}JSON Value: null Type: Null is not of expected type: float"),
        (PREDICT, f'{{"instances": [{10**400}]}}', f"{ELEMENT_0}Number too big to be stored in double."),
        (
            PREDICT,
            '{"instances": [{"x": 1, "z": 2}]}',
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        (
            PREDICT,
            r'{"signature_name": "\ud800"}',
            r'JSON Value: "\ud800" must be text. Received: surrogates not allowed',
        ),
        (
            REGRESS,
            r'{"signature_name": "\ud800", "examples": [{"x": 1.0}]}',
            r'JSON Value: "\ud800" must be text. Received: surrogates not allowed',
        ),
        (
            PREDICT,
            r'{"instances": [{"\ud800": 1}]}',
            r"Failed to process element: 0 key: \ud800 of 'instances' list. Error: INVALID_ARGUMENT: "
            r"JSON object: does not have named input: \ud800",
        ),
        (PREDICT, '{"instances": [{"x": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        (PREDICT, '{"instances": [1, {"x": 2}]}', "Expecting value/list but got object at item 1 of input list"),
        (
            PREDICT,
            '{"signature_name": "named", "instances": [1]}',
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (
            PREDICT,
            '{"signature_name": "named", "inputs": [1]}',
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (
            PREDICT,
            '{"signature_name": "named", "inputs": {"tag": []}}',
            "Missing named input: sensor in 'inputs' object.",
        ),
        (
            PREDICT,
            '{"signature_name": "images", "instances": [{"b64": "!!!"}]}',
            f"{ELEMENT_0}Unable to base64 decode",
        ),
        (
            PREDICT,
            '{"signature_name": "images", "instances": ["a\\ud800"]}',
            f'{ELEMENT_0}JSON Value: "a\\ud800" must be text. Received: surrogates not allowed',
        ),
        (
            PREDICT,
            '{"signature_name": "sizes", "instances": [1, 2]}',
            "Tensor name: mean has no shape information ",
        ),
        (
            REGRESS,
            '{"signature_name": "tensorflow/serving/regress"}',
            'JSON Value: {"signature_name": "tensorflow/serving/regress"} When method is classify, key '
            "'examples' is expected and was not found",
        ),
        (REGRESS, '{"examples": 1}', "JSON Value: {\"examples\": 1} Expecting 'examples' value to be an list/array"),
        (REGRESS, '{"examples": []}', "JSON Value: {\"examples\": []} 'examples' value is an empty array"),
        (REGRESS, '{"examples": [1]}', "Example must be JSON object but got JSON Number"),
        (REGRESS, '{"examples": [{"x": [[1]]}]}', "Feature: x has element with unexpected JSON type: Array"),
        (REGRESS, '{"examples": [{"x": null}]}', "Feature: x has element with unexpected JSON type: Null"),
        (REGRESS, '{"examples": [{"x": [1, "a"]}]}', "Unexpected element type in feature: x expecting type: int64"),
        (REGRESS, '{"examples": [{"x": ["a", 1]}]}', "Unexpected element type in feature: x expecting type: bytes"),
        (REGRESS, '{"examples": [{"x": [1.5, 1]}]}', "Unexpected element type in feature: x expecting type: float"),
        (REGRESS, '{"examples": [{"x": [1.5, null]}]}', "Feature: x has element with unexpected JSON type: Null"),
        (REGRESS, '{"examples": [{"x": ["a", {"y": 1}]}]}', "Feature: x has element with unexpected JSON type: Object"),
        (
            REGRESS,
            '{"examples": [{"x": [0, -9223372036854775809]}]}',
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        (
            REGRESS,
            '{"examples": [{"x": 9223372036854775808}]}',
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        (REGRESS, '{"signature_name": "types", "examples": [{"x": 1.0}]}', "Expected one input Tensor."),
        (REGRESS, f'{{"signature_name": "{CLASSIFY}", "examples": [{{"x": 1.0}}]}}', "Expected one output Tensor."),
        (
            "/v1/models/half_plus_three:classify",
            '{"signature_name": "no", "examples": [{"x": 1.0}]}',
            "No signature was found with the name: no",
        ),
        ("/v1/models/half_plus_three:rank", "{}", "Malformed request: POST /v1/models/half_plus_three:rank"),
        ("/v1/models/half_plus_three", "{}", "Malformed request: POST /v1/models/half_plus_three"),
        (
            f"/v1/models/half_plus_three/versions/{2**63}:predict",
            "{}",
            f"Failed to convert version: {2**63} to numeric.",
        ),
        ("/v1/models/half_plus_three/labels/x:predict", "{}", "Unrecognized servable version label: x"),
        ("/v1/models/%ff:predict", "{}", "Failed to decode model name:%ff"),
    ],
)
def test_a_request_that_cannot_be_answered(server: Server, path: str, body: str, error: str) -> None:
    response = server.rest.post(path, content=body)
    assert (response.status_code, response.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    ("method", "path", "code", "error"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/half_plus_three:predict", 400, "Malformed request: GET /v1/models/half_plus_three:predict"),
        ("GET", "/v1/models/no", 404, "Could not find any versions of model no"),
        ("GET", "/v1/models/no/metadata", 404, "Servable not found for request: Latest(no)"),
        (
            "GET",
            "/v1/models/half_plus_three/versions/7",
            404,
            "Could not find version 7 of model half_plus_three",
        ),
        ("GET", "/", 404, "there is no GET /"),
        ("PUT", "/v1/models/half_plus_three", 405, "there is no PUT /v1/models/half_plus_three"),
    ],
)
def test_a_page_that_is_not_there(server: Server, method: str, path: str, code: int, error: str) -> None:
    response = server.rest.request(method, path)
    assert (response.status_code, response.json()) == (code, {"error": error})


def test_a_version_that_is_not_there(server: Server) -> None:
    response = server.rest.post("/v1/models/half_plus_three/versions/7:predict", content='{"instances": [1.0]}')
    assert response.status_code == 404
    assert response.json() == {"error": "Servable not found for request: Specific(half_plus_three, 7)"}


def test_a_body_that_nests_too_deep(server: Server) -> None:
    response = server.rest.post(PREDICT, content='{"instances": ' + "[" * 100_000 + "]" * 100_000 + "}")
    assert response.status_code == 400
    assert response.json()["error"].startswith("JSON Parse error: ")


def test_a_body_that_is_too_large(server: Server) -> None:
    response = server.rest.post(PREDICT, content=b" " * ((8 << 20) + 1))
    assert response.status_code == 429
    assert response.json() == {"error": "a request's body must have at most 8388608 bytes"}
