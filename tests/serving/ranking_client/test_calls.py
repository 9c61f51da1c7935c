"""Calls of gRPC servers without a model: clients that are closed, and servers of different versions."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from serving.ranking_client.aio_client import AsyncRankingClient
from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError
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
from tests.serving.ranking_client.asking import Ask, ask_async, ask_sync
from tests.serving.ranking_client.running import free_port
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
    """The servers take turns, so that of an odd number of parts the repeated ones meet the old version, too.

    The first rankings may be of one server, before the client is connected to both.
    """
    old, new = Version(6), Version(7)
    with serving(old.predict, old.metadata) as first, serving(new.predict, new.metadata) as second:
        settings = ClientSettings(
            model="m", server=f"ipv4:{first},{second}", part_size=1, deadline_seconds=20.0, max_attempts=10
        )
        rankings = ask(settings, *[({}, ["a", "b", "c"])] * 60)[-6:]
    assert {(ranking.version, *(item.score for item in ranking.items)) for ranking in rankings} == {(7, 7.0, 7.0, 7.0)}
    assert old.num_refused > 0
    assert new.num_refused == 0


@pytest.mark.parametrize("hedge", [None, 10.0])
@pytest.mark.parametrize("ask", [ask_sync, ask_async])
def test_a_call_that_the_server_cancels_is_sent_again(ask: Ask, hedge: float | None) -> None:
    """As a server that stops cancels a call that arrives before the client knows of the stop."""
    version, cancelled = Version(1), list[str]()

    def once(name: str, method: Method) -> Method:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            if name not in cancelled:
                cancelled.append(name)
                context.abort(grpc.StatusCode.CANCELLED, "the server stops")
            return method(request, context)

        return answer

    with serving(once("Predict", version.predict), once("GetModelMetadata", version.metadata)) as server:
        settings = ClientSettings(model="m", server=server, deadline_seconds=20.0, hedge_after_seconds=hedge)
        (ranking,) = ask(settings, ({}, ["a"]))
    assert (ranking.version, cancelled) == (1, ["GetModelMetadata", "Predict"])


@pytest.fixture
def slow_server() -> Iterator[tuple[str, threading.Event]]:
    """A server that does not answer before the test ends, and the event that it was called."""
    called, end = threading.Event(), threading.Event()

    def answer(_: Any, __: grpc.ServicerContext) -> Any:
        called.set()
        end.wait(20)
        return GetModelMetadataResponse()

    with serving(answer, answer) as server:
        try:
            yield server, called
        finally:
            end.set()


async def closed_while_ranking(settings: ClientSettings, wait: Callable[[], object]) -> None:
    client = AsyncRankingClient(settings)
    ranking = asyncio.ensure_future(client.rank({}, ["a"]))
    await asyncio.to_thread(wait)
    await client.close()
    await ranking


@pytest.mark.parametrize("hedge", [None, 0.01])
def test_a_call_of_a_client_that_is_closed_fails_with_a_ranking_error(
    slow_server: tuple[str, threading.Event], hedge: float | None
) -> None:
    server, called = slow_server
    settings = ClientSettings(model="m", server=server, deadline_seconds=20.0, hedge_after_seconds=hedge)
    with pytest.raises(RankingError) as raised:
        asyncio.run(closed_while_ranking(settings, lambda: called.wait(20)))
    assert raised.value.code == grpc.StatusCode.CANCELLED
    assert str(raised.value).startswith("the call must not be cancelled. Received: CANCELLED: the client was closed")


@pytest.mark.parametrize("hedge", [None, 10.0])
def test_a_call_of_a_synchronous_client_that_is_closed_is_not_sent_again(
    slow_server: tuple[str, threading.Event], hedge: float | None
) -> None:
    server, called = slow_server
    client = RankingClient(
        ClientSettings(model="m", server=server, deadline_seconds=20.0, hedge_after_seconds=hedge, max_attempts=10)
    )
    with ThreadPoolExecutor(1) as pool:
        ranking = pool.submit(client.rank, {}, ["a"])
        assert called.wait(20)
        client.close()
        with pytest.raises(RankingError, match=r"^the call must not be cancelled\. Received: CANCELLED"):
            ranking.result(20)


def test_a_client_that_is_closed_before_a_retry_fails_with_a_ranking_error() -> None:
    settings = ClientSettings(model="m", server=f"127.0.0.1:{free_port()}", deadline_seconds=20.0, backoff_seconds=2.0)
    with pytest.raises(RankingError, match="CANCELLED: the client was closed"):
        asyncio.run(closed_while_ranking(settings, lambda: threading.Event().wait(0.5)))


def test_a_cancelled_ranking_is_cancelled(slow_server: tuple[str, threading.Event]) -> None:
    server, called = slow_server

    async def cancelled() -> None:
        async with AsyncRankingClient(ClientSettings(model="m", server=server, deadline_seconds=20.0)) as client:
            ranking = asyncio.ensure_future(client.rank({}, ["a"]))
            await asyncio.to_thread(called.wait, 20)
            ranking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ranking

    asyncio.run(cancelled())
