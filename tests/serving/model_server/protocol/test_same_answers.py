"""Tests that REST and gRPC give the same answers to 1,000 random requests of all forms."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2

from tests.serving.model_server.requests import examples, request, spec
from tests.serving.model_server.running import Server
from tests.serving.model_server.tiny_models import CLASSIFY, MODEL, REGRESS

NUM_REQUESTS = 1000
ALPHABET = 'aZ09 é漢\n"\\/\t€'


def text(rng: random.Random) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randrange(30)))


def number(rng: random.Random) -> float:
    """A random float32 of any magnitude, which may be an integer or 0."""
    return float(
        np.float32(rng.choice([rng.uniform(-1, 1), rng.gauss(0, 1) * 10 ** rng.randint(-30, 30), rng.randint(-9, 9)]))
    )


def special(rng: random.Random) -> float:
    return rng.choice([float("nan"), float("inf"), float("-inf"), number(rng)])


def drawn_inputs(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Draws a signature and its inputs by column."""
    rows = rng.randint(1, 5)
    signature = rng.choice(["", "named", "images", "pairs"])
    if not signature:
        return "", {"x": [special(rng) for _ in range(rows)]}
    if signature == "pairs":
        return signature, {"pair": [[[number(rng), number(rng)]] for _ in range(rows)]}
    if signature == "images":
        return signature, {"image_bytes": [rng.randbytes(rng.randrange(4, 40)) for _ in range(rows)]}
    width, height = rng.randint(1, 3), rng.randint(1, 3)

    def whole() -> int:
        return rng.randint(-(2**40), 2**40)

    return signature, {
        "tag": [text(rng) for _ in range(rows)],
        "signal": [[whole() for _ in range(width)] for _ in range(rows)],
        "sensor": [[[whole() for _ in range(width)] for _ in range(height)] for _ in range(rows)],
    }


def as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [as_json(element) for element in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def as_array(value: list[Any]) -> np.ndarray:
    array = np.array(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def by_name(answer: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Returns a REST answer's outputs by column."""
    if "outputs" in answer:
        return answer["outputs"] if len(names) > 1 else {names[0]: answer["outputs"]}
    rows = answer["predictions"]
    return {name: [row[name] if len(names) > 1 else row for row in rows] for name in names}


def same_prediction(server: Server, rng: random.Random) -> None:
    signature, inputs = drawn_inputs(rng)
    sent = request(signature)
    for name, value in inputs.items():
        strings = isinstance(value[0], str | bytes)
        sent.inputs[name].CopyFrom(tf.make_tensor_proto(value if strings else as_array(value)))
    response = server.predictions.Predict(sent)
    body: dict[str, Any] = {"signature_name": signature} if signature else {}
    columns = {name: as_json(value) for name, value in inputs.items()}
    if rng.random() < 0.5:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        alone = len(columns) == 1 and rng.random() < 0.5
        body["instances"] = [next(iter(row.values())) for row in rows] if alone else rows
    else:
        body["inputs"] = columns
    answer = server.rest.post(f"/v1/models/{MODEL}:predict", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    found = by_name(answer.json(), sorted(response.outputs))
    assert found.keys() == response.outputs.keys()
    for name, proto in response.outputs.items():
        expected = tf.make_ndarray(proto)
        if proto.dtype != tf.string:
            np.testing.assert_array_equal(np.array(found[name], expected.dtype), expected, name)
        elif name.endswith("_bytes"):
            assert [base64.b64decode(value["b64"]) for value in found[name]] == list(expected)
        else:
            assert [value.encode() for value in found[name]] == list(expected)


def same_examples(server: Server, rng: random.Random) -> None:
    xs = [number(rng) for _ in range(rng.randint(1, 5))]
    bias = number(rng) if rng.random() < 0.5 else None
    found = [_example(x=x) for x in xs]
    given = examples(*found, context=None if bias is None else _example(bias=bias))
    body: dict[str, Any] = {"examples": [{"x": x} for x in xs]} | ({} if bias is None else {"context": {"bias": bias}})
    verb, signature = rng.choice([("regress", REGRESS), ("classify", CLASSIFY)])
    answer = server.rest.post(f"/v1/models/{MODEL}:{verb}", content=json.dumps({"signature_name": signature, **body}))
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    if verb == "regress":
        sent = regression_pb2.RegressionRequest(model_spec=spec(signature), input=given)
        values = [regression.value for regression in server.predictions.Regress(sent).result.regressions]
        assert [float(np.float32(result)) for result in results] == values
    else:
        sent = classification_pb2.ClassificationRequest(model_spec=spec(signature), input=given)
        rows = server.predictions.Classify(sent).result.classifications
        expected = [[(found.label, found.score) for found in row.classes] for row in rows]
        assert [[(label, float(np.float32(score))) for label, score in row] for row in results] == expected


def _example(**features: float) -> tf.train.Example:
    floats = {name: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for name, v in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=floats))


@pytest.mark.slow
def test_a_thousand_requests(server: Server) -> None:
    rng = random.Random(1)
    for _ in range(NUM_REQUESTS):
        (same_prediction if rng.random() < 0.7 else same_examples)(server, rng)
