"""The answers of a model whose bias says which version it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.serving.model_server.running import Server
from tests.serving.model_server.tiny_models import x_request

Saved = Callable[[float], Path]


def answer(server: Server, **choice: object) -> tuple[int, float]:
    """The version that answers, and its answer for x = 0, which is its bias."""
    sent = x_request([0.0])
    for key, value in choice.items():
        if key == "version":
            sent.model_spec.version.value = value
        else:
            sent.model_spec.version_label = value
    response = server.predictions.Predict(sent)
    return response.model_spec.version.value, response.outputs["y"].float_val[0]


def of(server: Server, model: str) -> tuple[int, float]:
    """The version of a model that answers, and its answer for x = 0."""
    response = server.predictions.Predict(x_request([0.0], model))
    return response.model_spec.version.value, response.outputs["y"].float_val[0]
