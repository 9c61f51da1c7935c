"""Checks what a Predict request asks for against the signature that answers it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import grpc

from serving.model_server.engine.servable import Servable
from serving.model_server.engine.signatures import DEFAULT_SIGNATURE, Inputs, Signature
from serving.model_server.engine.tensors import Limits, check_rank, dtype_name, proto_shape
from serving.model_server.errors import ServingError, invalid


def find_signature(model: Servable, name: str) -> Signature:
    """Finds the signature of a Predict request.

    Raises:
      ServingError: If there is no such signature.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    return model.signatures[name]


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
            limits.check(name, dtype, math.prod(size or 1 for size in shape))


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
