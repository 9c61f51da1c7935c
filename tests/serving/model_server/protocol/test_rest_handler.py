"""Cases of TF Serving's test of its REST handler, `model_servers/http_rest_api_handler_test.cc`."""

from __future__ import annotations

import json

import pytest

from tests.serving.model_server.running import Server
from tests.serving.model_server.toy_models import TOY

AT = f"/v1/models/{TOY}"
EVERY = ["", "/versions/123", "/labels/good"]


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/v1/foo", "Malformed request"),
        ("POST", "/v1/foo", "Malformed request"),
        ("GET", "/v1/models", "Missing model name"),
        ("GET", "/v1/models/debug/model_name", "Malformed request"),
        ("POST", "/v1/models", "Malformed request"),
        ("GET", "/v1/models/foo:predict", "Malformed request"),
        ("GET", "/v1/models/foo/version/50:predict", "Malformed request"),
        ("POST", "/v1/models/foo/version/50:regress", "Malformed request"),
        ("POST", "/v1/models/foo/versions/HELLO:regress", "Malformed request"),
        ("POST", f"/v1/models/foo/versions/{2**64 - 1}:regress", "Failed to convert version"),
        ("POST", "/v1/models/foo/metadata", "Malformed request"),
        ("POST", "/v1/models/foo/label/some_label:regress", "Malformed request"),
        ("POST", "/v1/models/foo/versions/50/labels/some_label:regress", "Malformed request"),
        ("POST", "/v1/models/foo/versions/some_label:regress", "Malformed request"),
    ],
)
def test_calls_that_there_are_not(toy: Server, method: str, path: str, error: str) -> None:
    response = toy.rest.request(method, path)
    assert (response.status_code, error in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize("path", ["/v1/models/foo:predict", "/v1/models/foo/versions/50:predict", f"{AT}99:predict"])
def test_models_that_there_are_not(toy: Server, path: str) -> None:
    assert toy.rest.post(path, content='{"instances": [1]}').status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (AT, "", "JSON Parse error: The document is empty"),
        (AT, "instances = [1, 2]", "JSON Parse error: Invalid value"),
        (AT, '{"instances": ["x", "y"]}', "not of expected type: float"),
        (f"{AT}/labels/bad", '{"instances": ["x", "y"]}', "Unrecognized servable version label"),
        (AT, '{"signature_name": 100}', "'signature_name' key must be a string value."),
    ],
)
def test_bodies_that_are_refused(toy: Server, path: str, body: str, error: str) -> None:
    response = toy.rest.post(f"{path}:predict", content=body)
    assert (response.status_code, error in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize("which", EVERY)
@pytest.mark.parametrize(
    ("verb", "body", "answer"),
    [
        ("predict", {"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3.0], [3.5, 4.0]]}),
        ("predict", {"instances": [1.0, 2.0]}, {"predictions": [2.5, 3.0]}),
        ("predict", {"signature_name": "serving_default", "inputs": [3.0, 4.0]}, {"outputs": [3.5, 4.0]}),
        ("regress", {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}, {"results": [42]}),
        ("classify", {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]}, {"results": [[["", 12]]]}),
    ],
)
def test_answers(toy: Server, which: str, verb: str, body: object, answer: object) -> None:
    response = toy.rest.post(f"{AT}{which}:{verb}", content=json.dumps(body))
    assert (response.status_code, response.json()) == (200, answer)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("verb", "signature", "value"),
    [("regress", "regress_x_to_y", 12.125), ("classify", "classify_x_to_y", [["", 12.125]])],
)
def test_a_large_answer(toy: Server, verb: str, signature: str, value: object) -> None:
    """The other process formats such an answer."""
    body = {"signature_name": signature, "examples": [{"x": 20.25}] * 10_000}
    assert toy.rest.post(f"{AT}:{verb}", json=body).json() == {"results": [value] * 10_000}


def test_a_body_for_a_model_that_there_is_not_is_not_decoded(toy: Server) -> None:
    response = toy.rest.post("/v1/models/foo:predict", content=b"no gzip", headers={"content-encoding": "gzip"})
    assert (response.status_code, response.json()) == (404, {"error": "Servable not found for request: Latest(foo)"})


def test_a_version_may_have_leading_zeros(toy: Server) -> None:
    assert toy.rest.get(f"{AT}/versions/{'0' * 20}123").json() == toy.rest.get(f"{AT}/versions/123").json()
    assert toy.rest.get(f"{AT}/versions/{'0' * 30}").json() == toy.rest.get(f"{AT}/versions/0").json()


@pytest.mark.parametrize("which", EVERY)
def test_status(toy: Server, which: str) -> None:
    response = toy.rest.get(f"{AT}{which}")
    status = {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert response.json() == {"model_version_status": [status]}
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("which", EVERY)
def test_metadata(toy: Server, which: str) -> None:
    found = toy.rest.get(f"{AT}{which}/metadata").json()
    assert found["model_spec"] == {"name": TOY, "signature_name": "", "version": "123"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {
        "dim": [{"name": "", "size": "-1"}, {"name": "", "size": "1"}],
        "unknown_rank": False,
    }
