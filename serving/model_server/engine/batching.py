"""Merges waiting requests into one computation, and splits large requests into parts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence

from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.signatures import CLASSIFY_METHOD, REGRESS_METHOD, Inputs, Signature, Tensors
from serving.model_server.engine.tensors import num_bytes, proto_shape, values_dtype, values_field
from transform.signature_names import (
    CLASSIFY_SIGNATURE,
    EXAMPLES_INPUT,
    EXPLAIN_ITEMS_SIGNATURE,
    EXPLAIN_SIGNATURE,
    INPUTS,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_NAMED_SIGNATURE,
    RANK_SIGNATURE,
    REGRESS_SIGNATURE,
    SERVING_SIGNATURE,
    TRANSFORM_SIGNATURE,
)

#: The trainer's signatures whose rows are independent of each other, each with an input that identifies it. A row of a
#: ranking signature is a request: its list of candidates is ranked as a whole.
_BY_ROW = {
    SERVING_SIGNATURE: EXAMPLES_INPUT,
    TRANSFORM_SIGNATURE: EXAMPLES_INPUT,
    CLASSIFY_SIGNATURE: INPUTS,
    REGRESS_SIGNATURE: INPUTS,
    RANK_SIGNATURE: ITEM_IDS,
    RANK_ITEMS_SIGNATURE: ITEM_IDS,
    RANK_NAMED_SIGNATURE: ITEM_IDS,
}

#: So many bytes of values, such as 20 app ids in a list, cost as much as a candidate. With the model of
#: `configs/app_store.yaml`, a candidate takes 20 us of processor time, and each of 450,000 values 0.8 us.
_ELEMENT_BYTES = 400

#: So many bytes of a context cost a candidate once more, since the context's values are crossed with each candidate.
#: 20,000 values, in 359 kB, and 200 candidates take 0.3 s: 75 ns for a pair, with which a value has 18 bytes.
_CROSSED_BYTES = 5_000

#: An explained row or candidate costs as much as so many that are only scored: 100 take 1.2 s.
_EXPLAINED_ELEMENTS = 500


def key(signature: Signature, inputs: Inputs) -> Hashable:
    """The merge key: requests of a signature with equal keys can be computed as one. None: the request runs alone.

    A request has a key if all inputs have the same number of rows, the signature's inputs and outputs all have a
    variable first dimension, and each input holds exactly one value per element. The key is the rest of the shapes, and
    how the values are encoded. A request without a key is computed alone, and refused there if its values do not fit
    its shape.
    """
    definition = signature.definition
    if not all(_has_rows(info) for info in (*definition.inputs.values(), *definition.outputs.values())):
        return None
    shapes = [proto_shape(inputs[name]) for name in signature.inputs]
    kinds = [_kind(inputs[name]) for name in signature.inputs]
    if len({shape[:1] for shape in shapes}) != 1 or () in shapes or None in kinds:
        return None
    return tuple((shape[1:], kind) for shape, kind in zip(shapes, kinds, strict=True))


def is_by_row(signature: Signature) -> bool:
    """Whether a signature's rows are known to be independent of each other.

    They are for Classify and Regress by definition, and for the trainer's signatures by construction. Of any other
    signature only its author knows: a softmax over the batch, for example, has the same shapes.
    """
    definition = signature.definition
    return definition.method_name in (CLASSIFY_METHOD, REGRESS_METHOD) or (
        _BY_ROW.get(signature.name, "") in definition.inputs
    )


def num_elements(signature: Signature, inputs: Inputs) -> int:
    """The work of a request in elements: an element is as much as a candidate or a row without long lists.

    This is the largest of three counts: the largest product of an input's first two dimensions, in explanations times
    `_EXPLAINED_ELEMENTS`; all inputs' bytes by `_ELEMENT_BYTES`; and, where candidates are ranked, their number times
    the bytes of one context by `_CROSSED_BYTES`. What values of two lists of one side take in combination depends on
    the model, and is not counted.

    Args:
      signature: The signature.
      inputs: The inputs, checked against the signature.
    """
    # Each read of a proto's field takes time, and a request may have many small inputs: each shape is read once.
    shapes = {name: [dim.size for dim in proto.tensor_shape.dim] for name, proto in inputs.items()}
    sizes = {name: num_bytes(proto, math.prod(shapes[name])) for name, proto in inputs.items()}
    elements = max((math.prod(shape[:2]) for shape in shapes.values()), default=1)
    if signature.name in (EXPLAIN_SIGNATURE, EXPLAIN_ITEMS_SIGNATURE):
        elements *= _EXPLAINED_ELEMENTS
    crossed = 0
    if ITEM_IDS in inputs:
        of_contexts = sum(size for name, size in sizes.items() if name not in (ITEM_IDS, ITEMS_INPUT))
        num_contexts = max(1, math.prod(shapes[ITEM_IDS][:1]))
        crossed = math.prod(shapes[ITEM_IDS][:2]) * of_contexts // num_contexts // _CROSSED_BYTES
    return max(elements, sum(sizes.values()) // _ELEMENT_BYTES, crossed)


def num_rows(inputs: Inputs) -> int:
    """The number of rows of a request that has a key."""
    return int(next(iter(inputs.values())).tensor_shape.dim[0].size)


def rows_of(inputs: Inputs, start: int, end: int) -> Tensors:
    """A part of a request that has a key: the rows `start` to `end`, `end` excluded."""
    return {name: _rows_of(proto, start, end) for name, proto in inputs.items()}


def _rows_of(proto: tensor_pb2.TensorProto, start: int, end: int) -> tensor_pb2.TensorProto:
    found = tensor_pb2.TensorProto(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
    found.tensor_shape.dim[0].size = end - start
    if proto.tensor_content:
        width = len(proto.tensor_content) // proto.tensor_shape.dim[0].size
        found.tensor_content = proto.tensor_content[start * width : end * width]
    else:
        width = math.prod(proto_shape(proto)[1:])
        field = values_field(proto.dtype)
        getattr(found, field).extend(getattr(proto, field)[start * width : end * width])
    return found


def merge(requests: Sequence[Inputs]) -> Tensors:
    """Concatenates the rows of requests with equal keys, or of their outputs."""
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


def have_rows(outputs: Tensors, rows: int) -> bool:
    """Whether all outputs have this many rows."""
    return all(proto_shape(proto)[:1] == (rows,) for proto in outputs.values())


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors] | None:
    """Splits the outputs into each request's rows; None if the outputs do not have as many rows as the inputs."""
    if not have_rows(outputs, sum(rows)):
        return None
    parts: list[Tensors] = [{} for _ in rows]
    for name, proto in outputs.items():
        for part, size, end in zip(parts, rows, itertools.accumulate(rows), strict=True):
            part[name] = _rows_of(proto, end - size, end)
    return parts


def _has_rows(info: meta_graph_pb2.TensorInfo) -> bool:
    dims = info.tensor_shape.dim
    return bool(dims) and dims[0].size == -1


def _kind(proto: tensor_pb2.TensorProto) -> str | None:
    """Where the values are encoded; None if there is not exactly one value per element.

    In a merged tensor, another request's values would make up for missing or surplus ones.
    """
    num_elements = math.prod(proto_shape(proto))
    if not proto.tensor_content:
        return "values" if len(getattr(proto, values_field(proto.dtype))) == num_elements else None
    if proto.dtype == types_pb2.DT_STRING:
        return None
    fits = len(proto.tensor_content) == num_elements * values_dtype(proto.dtype).itemsize
    return "tensor_content" if fits else None
