"""Tests of REST's bodies for signatures without inputs, which the server's test models do not have."""

from __future__ import annotations

import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from serving.model_server.engine.tensors import Limits
from serving.model_server.errors import ServingError
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
