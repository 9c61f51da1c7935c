"""Requests that wait at the same time, computed as one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence

from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.servable import Signature, Tensors
from serving.model_server.tensors import proto_shape, values_field

Inputs = Mapping[str, tensor_pb2.TensorProto]


def key(signature: Signature, inputs: Inputs) -> Hashable:
    """What requests of a signature must have in common to be computed as one; none if this one must be alone.

    They can be if all inputs and outputs have as many rows as each other, and all else of their shapes agrees.
    """
    definition = signature.definition
    if not all(_has_rows(info) for info in (*definition.inputs.values(), *definition.outputs.values())):
        return None
    shapes = [proto_shape(inputs[name]) for name in signature.feeds]
    kinds = [_kind(inputs[name]) for name in signature.feeds]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes or None in kinds:
        return None
    return tuple((shape[1:], kind) for shape, kind in zip(shapes, kinds, strict=True))


def num_rows(inputs: Inputs) -> int:
    """How many rows a request that has a key has."""
    return int(next(iter(inputs.values())).tensor_shape.dim[0].size)


def merge(requests: Sequence[Inputs]) -> Tensors:
    """The rows of requests with the same key, behind each other."""
    merged = {}
    for name, first in requests[0].items():
        proto = tensor_pb2.TensorProto()
        proto.CopyFrom(first)
        proto.tensor_shape.dim[0].size = sum(request[name].tensor_shape.dim[0].size for request in requests)
        for request in requests[1:]:
            if first.tensor_content:
                proto.tensor_content += request[name].tensor_content
            else:
                field = values_field(proto.dtype)
                getattr(proto, field).extend(getattr(request[name], field))
        merged[name] = proto
    return merged


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors] | None:
    """Each request's rows of the outputs; none if those are not as many as the inputs'."""
    if any(proto_shape(proto)[:1] != (sum(rows),) for proto in outputs.values()):
        return None
    parts: list[Tensors] = [{} for _ in rows]
    for name, proto in outputs.items():
        field, width = values_field(proto.dtype), math.prod(proto_shape(proto)[1:])
        values = getattr(proto, field)
        for part, size, end in zip(parts, rows, itertools.accumulate(rows), strict=True):
            part[name] = tensor_pb2.TensorProto(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
            part[name].tensor_shape.dim[0].size = size
            getattr(part[name], field).extend(values[(end - size) * width : end * width])
    return parts


def _has_rows(info: meta_graph_pb2.TensorInfo) -> bool:
    dims = info.tensor_shape.dim
    return bool(dims) and dims[0].size == -1


def _kind(proto: tensor_pb2.TensorProto) -> str | None:
    """Where the values are; none if they do not stand there one for each element."""
    if proto.tensor_content:
        return "tensor_content"
    full = len(getattr(proto, values_field(proto.dtype))) == math.prod(proto_shape(proto))
    return "values" if full and proto.dtype in types_pb2.DataType.values() else None
