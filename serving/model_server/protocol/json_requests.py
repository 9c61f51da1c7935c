"""Converts REST's bodies to gRPC's requests.

Each body is parsed by one function call, since large bodies are parsed in another process (`parsing_process`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from serving.model_server.engine.signatures import DEFAULT_SIGNATURE
from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError, invalid
from serving.model_server.protocol import json_examples, json_tensors
from serving.model_server.protocol.json_values import MAX_SHOWN, shown, utf8

_SIGNATURE_NAME = "signature_name"

OfExamples = TypeVar("OfExamples", classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest)


def predict_request(
    body: bytes, limits: Limits, signatures: Mapping[str, meta_graph_pb2.SignatureDef]
) -> tuple[predict_pb2.PredictRequest, bool]:
    """Parses the body of a Predict request.

    Args:
      body: The JSON.
      limits: The size limits of an input.
      signatures: The model's signatures by name.

    Returns:
      The request without its model and version; and whether the inputs are given by row, as the outputs then are.

    Raises:
      ServingError: If the body is malformed, or its values do not have the signature's dtypes.
    """
    document = _parse(body)
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = document.get(_SIGNATURE_NAME, "")
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f'Serving signature name: "{name}" not found in signature def')
    by_row = json_tensors.fill_predict_request(request, document, signatures[name].inputs, limits)
    return request, by_row


def examples_request(
    body: bytes, limits: Limits, request_type: type[OfExamples], float_features: Mapping[str, frozenset[str]]
) -> OfExamples:
    """Parses the body of a Classify or Regress request, as `predict_request` does.

    `request_type` is the request's type, and `float_features` has the features that each signature parses as floats.
    """
    request, document = request_type(), _parse(body)
    request.model_spec.signature_name = document.get(_SIGNATURE_NAME, "")
    floats = float_features.get(request.model_spec.signature_name or DEFAULT_SIGNATURE, frozenset())
    json_examples.fill_request(request, document, limits.max_strings, floats)
    return request


def _parse(body: bytes) -> dict[str, Any]:
    """Parses a body's first JSON value, an object; as in TF Serving, anything after it is ignored."""
    try:
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        start = len(text) - len(text.lstrip(_SPACE))
        if start == len(text):
            raise invalid("JSON Parse error: The document is empty")
        document = _decode(text, start)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {str(error)[:MAX_SHOWN]}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    if not isinstance(document.get(_SIGNATURE_NAME, ""), str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    utf8(document.get(_SIGNATURE_NAME, ""))
    return document


def _decode(text: str, start: int) -> Any:
    """Decodes a JSON value; raises ServingError if it is malformed.

    As in TF Serving, `Inf` and `-NaN` are numbers, beside the `Infinity` and `NaN` that Python's parser knows: a text
    with one of them is parsed once more.
    """
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if not _NOT_FINITE.match(text, error.pos):
            raise _malformed(error, error.pos) from error
    ends: list[int] = []  # of the values that are written longer, in the new text

    def as_python_has_it(found: re.Match[str]) -> str:
        if (value := found["value"]) is None:  # a string
            return found[0]
        if value == "-NaN":
            return " NaN"  # as long
        ends.append(found.end() + _LONGER * (len(ends) + 1))
        return f"{value}inity"

    try:
        return _DECODER.raw_decode(_NOT_FINITE_OR_TEXT.sub(as_python_has_it, text), start)[0]
    except json.JSONDecodeError as error:
        raise _malformed(error, error.pos - _LONGER * sum(end <= error.pos for end in ends)) from error


def _malformed(error: json.JSONDecodeError, offset: int) -> ServingError:
    return invalid(f"JSON Parse error: {_sentence(error)} at offset: {offset}")


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object; of a repeated key, the first value counts."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else found | dict(reversed(pairs))


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)

#: Numbers that TF Serving's parser, RapidJSON, takes with `kParseNanAndInfFlag`, and Python's does not.
_NOT_FINITE = re.compile("-?Inf|-NaN")
_NOT_FINITE_OR_TEXT = re.compile(r'"(?:[^"\\]+|\\.)*+(?:"|\Z)|(?P<value>-?Inf(?!inity)|-NaN)', re.DOTALL)
_LONGER = len("Infinity") - len("Inf")

_SPACE = " \t\n\r"

#: By the beginning of a message of Python's parser, that of TF Serving's parser, RapidJSON.
_SENTENCES = {
    "Expecting value": "Invalid value.",
    "Expecting property name": "Missing a name for object member.",
    "Expecting ':'": "Missing a colon after a name of object member.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid control character": "Invalid encoding in string.",
    "Invalid \\u": "Incorrect hex digit after \\u escape in string.",
    "Invalid \\escape": "Invalid escape character in string.",
}


def _sentence(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Expecting ','"):
        of_object = _is_in_object(error)
        return f"Missing a comma or {'} after an object member' if of_object else '] after an array element'}."
    return next((ours for theirs, ours in _SENTENCES.items() if error.msg.startswith(theirs)), error.msg)


def _is_in_object(error: json.JSONDecodeError) -> bool:
    """Whether a comma is missing in an object, not in a list: then its bracket would continue the text.

    Parsing once more takes as long as it took until the error. To look for open brackets in Python takes a second for
    8 MB.
    """
    try:
        json.JSONDecoder().decode(error.doc[: error.pos] + "}")
    except json.JSONDecodeError as other:
        return other.pos > error.pos
    return True
