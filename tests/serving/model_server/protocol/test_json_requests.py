"""Tests of REST's bodies: for signatures without inputs, and of the sentence of a syntax error."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
from serving.model_server.protocol import json_requests
from serving.model_server.protocol.json_requests import predict_request

LIMITS = Limits(max_strings=10, max_bytes=10)
WITHOUT_INPUTS = {"serving_default": meta_graph_pb2.SignatureDef()}


@pytest.mark.parametrize("body", [b'{"inputs": 1}', b'{"instances": [1]}'])
def test_a_signature_without_inputs_takes_no_plain_value(body: bytes) -> None:
    with pytest.raises(ServingError, match="multiple input tensors required"):
        predict_request(body, LIMITS, WITHOUT_INPUTS)


def test_a_signature_without_inputs_takes_none() -> None:
    request, by_row = predict_request(b'{"inputs": {}}', LIMITS, WITHOUT_INPUTS)
    assert (dict(request.inputs), by_row) == ({}, False)


def test_the_sentence_of_an_error_costs_no_more_than_parsing() -> None:
    """A comma is missing behind 500,000 strings; the body is parsed at most twice, in C."""
    body = b'{"instances": [' + b'"",' * 500_000 + b'"" ""]}'

    def seconds(parse: Callable[[], object], error: type[Exception]) -> float:
        begin = time.process_time()
        with pytest.raises(error):
            parse()
        return time.process_time() - begin

    once = min(seconds(lambda: json.loads(body), json.JSONDecodeError) for _ in range(3))
    with pytest.raises(ServingError) as refused:
        json_requests._parse(body)
    offset = len(body) - len(b'""]}')
    assert refused.value.message == (
        f"JSON Parse error: Missing a comma or ] after an array element. at offset: {offset}"
    )
    assert min(seconds(lambda: json_requests._parse(body), ServingError) for _ in range(3)) < 3 * once


def test_numbers_that_are_not_finite() -> None:
    """As TF Serving's parser takes them: RapidJSON, with `kParseNanAndInfFlag`."""
    body = b'{"a": [Inf, -Inf, Infinity, -Infinity, NaN, -NaN], "Inf": "\\"Inf, -NaN"} and Inf'
    assert repr(json_requests._parse(body)) == repr(
        {"a": [math.inf, -math.inf, math.inf, -math.inf, math.nan, math.nan], "Inf": '"Inf, -NaN'}
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"a": [-NaN, Inf 2]}', "Missing a comma or ] after an array element. at offset: 17"),
        (b'{"a": [Inf, -Inf, Info]}', "Missing a comma or ] after an array element. at offset: 21"),
        (b'{"a": [Inf, "Inf]}', "Missing a closing quotation mark in string. at offset: 12"),
        (b'{"a": [Inf, In]}', "Invalid value. at offset: 12"),
        (b"Inf", None),
    ],
)
def test_the_offset_of_an_error_beside_a_number_that_is_not_finite(body: bytes, sentence: str | None) -> None:
    with pytest.raises(ServingError) as refused:
        json_requests._parse(body)
    expected = f"JSON Parse error: {sentence}" if sentence else "JSON Value: Infinity Is not object"
    assert refused.value.message == expected
