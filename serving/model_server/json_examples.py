"""REST's JSON of Classify and Regress: tf.Examples as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.model_server.errors import invalid
from serving.model_server.json_tensors import SIGNATURE_NAME
from serving.model_server.json_values import check_length, from_b64, is_b64, lossless, shown, type_name, utf8

CONTEXT, EXAMPLES = "context", "examples"

_INT64 = range(-(1 << 63), 1 << 63)

#: By a feature's field, what TF Serving's errors call it.
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def fill_request(
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    document: Mapping[str, Any],
    max_elements: int,
) -> None:
    """Fills a Classify or Regress request from a body.

    Args:
      request: Its examples, context and signature name are set.
      document: The body.
      max_elements: The most examples.

    Raises:
      ServingError: If the body does not have the form.
    """
    request.model_spec.signature_name = document.get(SIGNATURE_NAME, "")
    target = request.input.example_list
    if CONTEXT in document:
        target = request.input.example_list_with_context
        target.context.CopyFrom(_example(document[CONTEXT]))
    if EXAMPLES not in document:
        raise invalid(
            f"JSON Value: {shown(document)} When method is classify, key 'examples' is expected and was not found"
        )
    found = document[EXAMPLES]
    if not isinstance(found, list):
        raise invalid(f"JSON Value: {shown(document)} Expecting 'examples' value to be an list/array")
    if not found:
        raise invalid(f"JSON Value: {shown(document)} 'examples' value is an empty array")
    check_length(found, max_elements)
    target.examples.extend(_example(value) for value in found)


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = example_pb2.Example()
    for name, content in value.items():
        utf8(name)
        feature = example.features.feature[name]
        for element in content if isinstance(content, list) else [content]:
            _add(feature, name, element)
    return example


def _add(feature: feature_pb2.Feature, name: str, value: Any) -> None:
    """Adds a value to a feature; what the first one is, all must be."""
    if isinstance(value, str) or is_b64(value):
        field = "bytes_list"
        value = utf8(value) if isinstance(value, str) else from_b64(value)
    elif isinstance(value, float):
        field = "float_list"
        value = lossless(value, types_pb2.DT_FLOAT)
    elif isinstance(value, int):  # a boolean too
        field = "int64_list"
        if value not in _INT64:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    kind = feature.WhichOneof("kind")
    if kind not in (None, field):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[kind]}")
    getattr(feature, field).value.append(value)
