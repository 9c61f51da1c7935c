"""Tests of gRPC requests whose message does not arrive: no token is needed to send them, so they must be bounded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.model_server.guard.unread_messages import MAX_SLOW
from tests.serving.model_server.hostile_requests import PREDICTION
from tests.serving.model_server.requests import refusal
from tests.serving.model_server.running import Server, running, wait_for
from tests.serving.model_server.tiny_models import x_request

#: The time within which a message must arrive.
SECONDS = 1
TOKEN = (("authorization", "Bearer secret"),)


@contextlib.contextmanager
def with_token(models: Path, folder: Path, seconds: int) -> Iterator[Server]:
    """A server that requires a token, and messages within so many seconds. No request is an error of its own."""
    token = folder / "token"
    token.write_text("secret\n", encoding="utf-8")
    with running("--models", models, "--token-file", token, "--timeout-seconds", str(seconds)) as server:
        yield server
    assert [line for line in server.log if line["level"] != "info"] == []


@pytest.fixture(scope="module")
def guarded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_token(models, tmp_path_factory.mktemp("token"), SECONDS) as server:
        yield server


@pytest.fixture
def never() -> Iterator[Callable[[], Iterator[bytes]]]:
    """A function that makes the messages of a client that sends none, nor ends its stream until the test ends."""
    end = threading.Event()

    def wait() -> Iterator[bytes]:
        end.wait()
        yield from ()

    yield wait
    end.set()


def stream(server: Server, path: str) -> Any:
    """Calls a unary method, as which a stream of one message is the same on the wire."""
    return server.channel.stream_unary(path)


def count(server: Server, code: str, method: str) -> str:
    """The number of requests over gRPC that were refused before they were read; waits until there is one.

    A client has its refusal before the server counts it.
    """
    labels = f'code="{code}",method="{method}",model="",protocol="grpc",signature="",version=""'

    def counted() -> str | None:
        page = server.rest.get("/metrics", headers=dict(TOKEN)).text
        return dict(line.rsplit(" ", 1) for line in page.splitlines()).get(f"wdr_requests_total{{{labels}}}")

    return wait_for(counted, f"a count of {code} {method}")


def test_without_a_token_a_call_is_refused_before_its_message(
    guarded: Server, never: Callable[[], Iterator[bytes]]
) -> None:
    code, sentence = refusal(stream(guarded, PREDICTION + "Predict"), never(), timeout=60)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert sentence.startswith("a request must have the header `authorization: Bearer TOKEN`")
    refusal(stream(guarded, "/no/such"), never(), timeout=60)
    assert count(guarded, "UNAUTHENTICATED", "Predict") == count(guarded, "UNAUTHENTICATED", "") == "1.0"


@pytest.mark.parametrize("path", [PREDICTION + "Predict", "/grpc.health.v1.Health/Check"])
def test_a_message_that_never_arrives(guarded: Server, never: Callable[[], Iterator[bytes]], path: str) -> None:
    found = refusal(stream(guarded, path), never(), timeout=60, metadata=TOKEN)
    assert found == (grpc.StatusCode.DEADLINE_EXCEEDED, f"a request's message must come within {SECONDS} seconds")
    if path.endswith("Predict"):
        assert count(guarded, "DEADLINE_EXCEEDED", "Predict") == "1.0"


def test_a_call_without_a_message(guarded: Server) -> None:
    found = refusal(stream(guarded, PREDICTION + "Predict"), iter(()), timeout=60, metadata=TOKEN)
    assert found == (grpc.StatusCode.INVALID_ARGUMENT, "a request must have a message")


def test_of_too_many_slow_messages_the_oldest_is_dropped(
    models: Path, tmp_path: Path, never: Callable[[], Iterator[bytes]]
) -> None:
    """None of them is refused in time because it is late."""
    with with_token(models, tmp_path, seconds=600) as server:

        def predict() -> list[float]:
            return list(server.predictions.Predict(x_request([1.0]), metadata=TOKEN).outputs["y"].float_val)

        call = stream(server, PREDICTION + "Predict")
        # A channel sends the calls that waited for its connection in any order: it is connected before the oldest
        # begins, and the oldest has arrived before the others begin.
        assert predict() == [3.5]
        oldest = call.future(never(), metadata=TOKEN)
        assert predict() == [3.5]
        others = [call.future(never(), metadata=TOKEN) for _ in range(MAX_SLOW)]
        wait_for(oldest.done, "the refusal of the oldest")
        expected = f"{MAX_SLOW} messages are arriving slowly already; try again later"
        assert (oldest.code(), oldest.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, expected)
        assert not any(each.done() for each in others)
        assert predict() == [3.5]
        for each in others:
            each.cancel()
        assert predict() == [3.5]
