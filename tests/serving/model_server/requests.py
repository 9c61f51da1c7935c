"""Requests to the model server, and its refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    input_pb2,
    predict_pb2,
)

from tests.serving.model_server.tiny_models import MODEL


def request(signature: str = "", *output_filter: str, model: str = MODEL, **inputs: Any) -> predict_pb2.PredictRequest:
    found = predict_pb2.PredictRequest(output_filter=output_filter)
    found.model_spec.name, found.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        found.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return found


@dataclasses.dataclass(frozen=True)
class Hold:
    """Holds requests: each is computed for as long as `file` does not exist, however fast the machine is.

    A held request that waits in the queue is held by the same file.
    """

    file: Path

    def request(self, num_bytes: int = 1) -> predict_pb2.PredictRequest:
        """A request that is held; its string has `num_bytes` more than the file's path, as a long list has."""
        name = self.file.name
        pattern = f"[{name[0] * num_bytes}]{name[1:]}"  # the signature takes a pattern
        return request("held", until=str(self.file.with_name(pattern)))

    def release(self) -> None:
        self.file.touch()


def example(**features: float) -> tf.train.Example:
    floats = {name: tf.train.Feature(float_list=tf.train.FloatList(value=[v])) for name, v in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=floats))


def examples(*found: tf.train.Example, context: tf.train.Example | None = None) -> input_pb2.Input:
    if context is None:
        return input_pb2.Input(example_list=input_pb2.ExampleList(examples=found))
    with_context = input_pb2.ExampleListWithContext(examples=found, context=context)
    return input_pb2.Input(example_list_with_context=with_context)


def spec(signature: str = "", model: str = MODEL) -> Mapping[str, str]:
    return {"name": model, "signature_name": signature}


def refusal(call: Any, message: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(message, **kwargs)
    return caught.value.code(), caught.value.details()
