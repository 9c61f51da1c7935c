"""Tests that a server that stops answers what it has accepted, while clients send one request after another."""

from __future__ import annotations

import collections
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from tensorflow_serving.apis import prediction_service_pb2_grpc

from tests.serving.model_server.running import PATIENCE_SECONDS, Server, running
from tests.serving.model_server.tiny_models import MODEL, x_request

_NUM_CLIENTS, _CALLS_AT_ONCE = 6, 6

#: What a client gets once the server does not listen any more; it has accepted no such request.
_GONE = "gone"


def _grpc_calls(server: Server) -> list[Callable[[], str]]:
    """For each client, a function that makes a call and returns its code."""

    def client() -> Callable[[], str]:
        own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", own)
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

        def call() -> str:
            try:
                predict(x_request([1.0] * 200), timeout=PATIENCE_SECONDS)
            except grpc.RpcError as error:
                refused = "failed to connect to all addresses" in error.details()
                return _GONE if refused else f"{error.code().name}: {error.details()}"
            return "OK"

        return call

    return [client() for _ in range(_NUM_CLIENTS)]


def _rest_calls(server: Server) -> list[Callable[[], str]]:
    """As `_grpc_calls`; clients keep their connections."""

    def client() -> Callable[[], str]:
        rest = httpx.Client(base_url=f"http://127.0.0.1:{server.rest_port}", timeout=PATIENCE_SECONDS)

        def call() -> str:
            try:
                answer = rest.post(f"/v1/models/{MODEL}:predict", json={"instances": [1.0] * 200})
            except httpx.ConnectError:
                return _GONE
            except httpx.HTTPError as error:
                return repr(error)
            return "OK" if answer.status_code == 200 else answer.text

        return call

    return [client() for _ in range(_NUM_CLIENTS)]


@pytest.mark.parametrize("calls", [_grpc_calls, _rest_calls])
def test_a_stop_answers_what_was_accepted(models: Path, calls: Callable[[Server], list[Callable[[], str]]]) -> None:
    with running("--models", models, "--grace-seconds", "60") as server:
        num_calls = _NUM_CLIENTS * _CALLS_AT_ONCE
        begun = threading.Barrier(num_calls + 1)

        def repeat(call: Callable[[], str]) -> collections.Counter[str]:
            """Calls until the server is gone; returns the number of each outcome."""
            counts = collections.Counter([call()])
            begun.wait(PATIENCE_SECONDS)
            while (outcome := call()) != _GONE:
                counts[outcome] += 1
            return counts

        with ThreadPoolExecutor(num_calls) as pool:
            at_work = [pool.submit(repeat, call) for call in calls(server) for _ in range(_CALLS_AT_ONCE)]
            begun.wait(PATIENCE_SECONDS)
            server.process.send_signal(signal.SIGTERM)
            counts = sum((each.result() for each in at_work), collections.Counter())
        assert server.process.wait(PATIENCE_SECONDS) == 0
    assert counts.keys() == {"OK"}, counts
    assert counts["OK"] >= num_calls
