"""Tests of what TF Serving's clients do with ordinary TensorFlow 2 models, as in its quickstart."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest
from tensorflow_serving.apis import inference_pb2

from tests.serving.model_server.requests import example, examples, request
from tests.serving.model_server.running import Server
from tests.serving.model_server.tiny_models import CLASSIFY, REGRESS
from tests.serving.model_server.toy_models import SHAPELESS, TOY


def post(server: Server, verb: str, body: Any) -> Any:
    response = server.rest.post(f"/v1/models/{TOY}:{verb}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("signature", ["serving_default", SHAPELESS])
def test_a_shape_is_the_graph_s_own_business(toy: Server, signature: str) -> None:
    """The signature declares a column; the graph also takes a list, a single value and a matrix."""
    values = {"signature_name": signature}
    assert post(toy, "predict", {**values, "instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    assert post(toy, "predict", {**values, "instances": [[1.0], [2.0]]}) == {"predictions": [[2.5], [3.0]]}
    assert post(toy, "predict", {**values, "inputs": 1.0}) == {"outputs": 2.5}
    response = toy.predictions.Predict(request(signature, model=TOY, x=np.ones([2, 3], np.float32)))
    assert list(response.outputs["y"].float_val) == [2.5] * 6


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"x": 4.0}, 4.0),
        ({"x": 4}, 4.0),
        ({"x": [4], "ages": [1, 2.5], "days": 3}, 10.5),
        ({"count": 5}, 7.0),
        ({"x": 1, "count": True}, 3.5),
    ],
)
def test_classify_and_regress_by_models_of_tensorflow_2(toy: Server, features: Any, expected: float) -> None:
    """TensorFlow 2 writes Predict's method to all signatures; integers become floats where it parses floats."""
    body = {"examples": [features]}
    assert post(toy, "regress", {"signature_name": "regress_x_to_y", **body}) == {"results": [expected]}
    assert post(toy, "classify", {"signature_name": "classify_x_to_y", **body}) == {"results": [[["", expected]]]}


def test_multi_inference_by_models_of_tensorflow_2(toy: Server) -> None:
    sent = inference_pb2.MultiInferenceRequest(input=examples(example(x=2)))
    sent.tasks.add(model_spec={"name": TOY, "signature_name": "regress_x_to_y"}, method_name=REGRESS)
    sent.tasks.add(model_spec={"name": TOY, "signature_name": "classify_x_to_y"}, method_name=CLASSIFY)
    regression, classification = toy.predictions.MultiInference(sent).results
    assert regression.regression_result.regressions[0].value == 3.0
    assert classification.classification_result.classifications[0].classes[0].score == 3.0


@pytest.mark.parametrize(
    ("method", "signature", "error"),
    [
        ("classify", "regress_x_to_y", 'outputs to contain at least one of "classes" or "scores"'),
        ("regress", "classify_x_to_y", "No regression outputs found in SignatureDef: "),
        ("regress", "serving_default", "No regression inputs found in SignatureDef: "),
        ("classify", "serving_default", "No classification inputs found in SignatureDef: "),
        ("regress", "count_runs", "Expected one input Tensor."),
    ],
)
def test_a_signature_of_another_kind(toy: Server, method: str, signature: str, error: str) -> None:
    body = {"signature_name": signature, "examples": [{"x": 1.0}]}
    response = toy.rest.post(f"/v1/models/{TOY}:{method}", json=body)
    assert (response.status_code, error in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ("1435774380, 1435774380.0", [717887168.0] * 2),  # the nearest float32 is 11216987 x 128; half of it, plus 2
        ("16777217.0, 16777217", [8388610.0] * 2),
        ("1e39, -1e39", [float("inf"), float("-inf")]),
    ],
)
def test_numbers_are_rounded_to_the_input_s_floats(toy: Server, numbers: str, expected: list[float]) -> None:
    answer = toy.rest.post(f"/v1/models/{TOY}:predict", content=f'{{"instances": [{numbers}]}}')
    assert answer.json() == {"predictions": expected}


def test_an_image_in_json(toy: Server) -> None:
    """224 x 224 x 3 numbers of 30 digits are 150,528 elements in 4.9 MB."""
    number = "0.25".ljust(31, "0")
    row = f"[{number},{number},{number}],"
    image = f"[{(f'[{row * 223}{row[:-1]}],' * 224)[:-1]}]"
    body = f'{{"signature_name": "image", "instances": [{image}]}}'
    assert len(body) > 4_800_000
    answer = toy.rest.post(f"/v1/models/{TOY}:predict", content=body)
    assert answer.json() == {"predictions": [0.25]}


def test_a_large_answer_is_written_as_a_small_one(toy: Server) -> None:
    rows = [float(row) for row in range(50_000)]
    assert post(toy, "predict", {"instances": rows}) == {"predictions": [row / 2 + 2 for row in rows]}


def gzipped(server: Server, body: bytes, encoding: str = "gzip") -> tuple[int, Any]:
    headers = {"content-encoding": encoding}
    response = server.rest.post(f"/v1/models/{TOY}:predict", content=body, headers=headers)
    return response.status_code, response.json()


def test_a_body_of_gzip(toy: Server) -> None:
    body = b'{"instances": [1.0, 2.0, 5.0]}'
    packed = gzip.compress(body)
    assert gzipped(toy, packed) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert gzipped(toy, body, "identity") == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert gzipped(toy, body)[0] == 400
    assert gzipped(toy, packed[:-1]) == (
        400,
        {"error": "a body with Content-Encoding gzip must be of gzip. Received: it ends too early"},
    )
    assert gzipped(toy, packed + b"x") == (
        400,
        {"error": "a body with Content-Encoding gzip must be of gzip. Received: bytes behind its end"},
    )
    assert gzipped(toy, body, "br") == (400, {"error": "Content-Encoding must be gzip. Received: br"})


def test_a_body_of_gzip_is_bounded_without_it(toy: Server) -> None:
    """256 MiB of spaces, compressed to about 256 KiB, are not decompressed as a whole."""
    packed = gzip.compress(b" " * (1 << 28), 9)
    assert len(packed) < 1 << 19
    before = toy.memory_mb()
    assert gzipped(toy, packed) == (429, {"error": "a request's body must have at most 8388608 bytes"})
    assert toy.memory_mb() - before < 100


def test_a_version_without_warm_up_requests_computes_nothing_when_it_is_loaded(toy: Server) -> None:
    """A stateful signature counts its runs; the first run is a client's, as in TF Serving."""
    response = toy.predictions.Predict(request("count_runs", model=TOY))
    assert list(response.outputs["runs"].int64_val) == [1]
