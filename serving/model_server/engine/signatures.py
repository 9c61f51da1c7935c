"""A model's signatures, and the checks of what a Predict request asks of one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.tensors import Limits, check_rank, dtype_name, proto_shape
from serving.model_server.errors import ServingError, invalid

#: TF Serving's constants, from `tensorflow/cc/saved_model/signature_constants.h`.
DEFAULT_SIGNATURE = "serving_default"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

Inputs = Mapping[str, tensor_pb2.TensorProto]
Tensors = dict[str, tensor_pb2.TensorProto]


@dataclasses.dataclass(frozen=True)
class Signature:
    """One of a model's signatures.

    Attributes:
      name: Its name.
      definition: Its SignatureDef: the method name, and the dtypes and shapes of its inputs and outputs.
      inputs: The inputs' names, sorted.
      outputs: The outputs' names, sorted.
      float_features: The features that it parses from tf.Examples as floats.
    """

    name: str
    definition: meta_graph_pb2.SignatureDef
    inputs: Sequence[str]
    outputs: Sequence[str]
    float_features: frozenset[str] = frozenset()


def find_signature(signatures: Mapping[str, Signature], name: str) -> Signature:
    """Finds the signature of a Predict request among those of a model.

    Raises:
      ServingError: If there is no such signature.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return signatures[name]


def check_inputs(signature: Signature, inputs: Inputs, limits: Limits | None = None) -> None:
    """Checks a request's tensors against a signature's names and dtypes, and against limits.

    As in TF Serving, shapes are left to the graph. A signature may declare less than the graph accepts, or no shape;
    and where it declares `[-1, 1]`, `[3]` is accepted, as in TF Serving's quickstart.

    Args:
      signature: The signature.
      inputs: The tensors by name.
      limits: The most that each may have; a dimension of 0 counts as 1. None for no limits.

    Raises:
      ServingError: If an input is missing or unknown, does not have the signature's dtype, has no known shape, or has
        too many dimensions or elements.
    """
    expected = signature.definition.inputs
    extra, missing = sorted(set(inputs) - set(expected)), sorted(set(expected) - set(inputs))
    if extra or missing:
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(expected)} "
            f"len({{{','.join(sorted(inputs))}}}) != len({{{','.join(sorted(expected))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
        )
    for position, name in enumerate(signature.inputs):
        dtype, shape = inputs[name].dtype, proto_shape(inputs[name])
        if dtype != expected[name].dtype:
            raise invalid(
                f"Expects arg[{position}] to be {dtype_name(expected[name].dtype)} but {dtype_name(dtype)} is provided "
                f"(input {name})"
            )
        check_rank(name, len(shape))
        if limits is not None:  # for empty tensors, too: the queue counts rows and candidates by the first dimensions
            num_elements = math.prod(size or 1 for size in shape)
            limits.check(name, dtype, num_elements)
            limits.check_repeated(name, inputs[name], num_elements)


def check_filter(signature: Signature, requested: Sequence[str]) -> None:
    """Checks a request's output filter against a signature.

    Raises:
      ServingError: If it names an unknown output, or an output twice.
    """
    for number, name in enumerate(requested):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(signature.outputs)}}}."
            )
        if name in requested[:number]:
            raise invalid(f"duplicate output tensor alias: {name}")
