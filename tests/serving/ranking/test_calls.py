"""Calls of gRPC servers without a model: servers of different versions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from serving.ranking_client.messages import string_tensor
from serving.ranking_client.protos import (
    DT_FLOAT,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
)
from serving.ranking_client.settings import ClientSettings
from tests.serving.ranking.asking import Ask, ask_async, ask_sync
from transform.signature_names import ITEM_IDS, RANK_SIGNATURE, SCORES_OUTPUT

Method = Callable[[Any, grpc.ServicerContext], Any]


class Version:
    """A server's version, which scores each candidate by its version.

    Attributes:
      num_refused: The calls that asked for another version.
    """

    def __init__(self, number: int) -> None:
        self._number, self.num_refused = number, 0

    def metadata(self, _: Any, __: grpc.ServicerContext) -> Any:
        response, signatures = GetModelMetadataResponse(), SignatureDefMap()
        response.model_spec.version.value = self._number
        signatures.signature_def[RANK_SIGNATURE].SetInParent()
        response.metadata["signature_def"].value = signatures.SerializeToString()
        return response

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.model_spec.version.value not in (0, self._number):
            self.num_refused += 1
            context.abort(grpc.StatusCode.NOT_FOUND, "no such version")
        ids, response = list(request.inputs[ITEM_IDS].string_val), PredictResponse()
        response.model_spec.version.value = self._number
        response.outputs[ITEM_IDS].CopyFrom(string_tensor(ids, [1, len(ids)]))
        response.outputs[SCORES_OUTPUT].dtype = DT_FLOAT
        response.outputs[SCORES_OUTPUT].float_val.extend([float(self._number)] * len(ids))
        return response


@contextlib.contextmanager
def serving(predict: Method, metadata: Method) -> Iterator[str]:
    """A gRPC server of two methods; yields its address."""
    unary = grpc.unary_unary_rpc_method_handler
    methods = {
        "Predict": unary(predict, PredictRequest.FromString, PredictResponse.SerializeToString),
        "GetModelMetadata": unary(
            metadata, GetModelMetadataRequest.FromString, GetModelMetadataResponse.SerializeToString
        ),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_a_part_finds_the_server_that_has_the_newer_version_already(ask: Ask) -> None:
    """The servers take turns, so that of an odd number of parts the repeated ones meet the old version, too."""
    old, new = Version(6), Version(7)
    with serving(old.predict, old.metadata) as first, serving(new.predict, new.metadata) as second:
        settings = ClientSettings(
            model="m", server=f"ipv4:{first},{second}", part_size=1, deadline_seconds=20.0, max_attempts=10
        )
        rankings = ask(settings, *[({}, ["a", "b", "c"])] * 6)
    assert {(ranking.version, *(item.score for item in ranking.items)) for ranking in rankings} == {(7, 7.0, 7.0, 7.0)}
    assert old.num_refused > 0
    assert new.num_refused == 0
