"""What clients of TF Serving do with ordinary models of TensorFlow 2, as its quickstart has it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.serving.model_server.running import Server, running
from tests.serving.model_server.test_grpc import request
from tests.serving.model_server.toy_models import SHAPELESS, TOY, save_toy


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("toy")
    save_toy(folder / "00000123")
    with running("--model", f"{TOY}={folder}", "--settle-seconds", "0", "--max-batch", "8") as server:
        yield server


def post(server: Server, verb: str, body: Any) -> Any:
    response = server.rest.post(f"/v1/models/{TOY}:{verb}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("signature", ["serving_default", SHAPELESS])
def test_a_shape_is_the_graph_s_own_business(toy: Server, signature: str) -> None:
    """A column is what the signature says; a list, a single value and a matrix are what the graph takes, too."""
    values = {"signature_name": signature}
    assert post(toy, "predict", {**values, "instances": [1.0, 2.0, 5.0]}) == {"predictions": [2.5, 3.0, 4.5]}
    assert post(toy, "predict", {**values, "instances": [[1.0], [2.0]]}) == {"predictions": [[2.5], [3.0]]}
    assert post(toy, "predict", {**values, "inputs": 1.0}) == {"outputs": 2.5}
    response = toy.predictions.Predict(request(signature, model=TOY, x=np.ones([2, 3], np.float32)))
    assert list(response.outputs["y"].float_val) == [2.5] * 6
