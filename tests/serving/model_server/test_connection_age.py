"""Tests of what ends a gRPC connection: its age, so that the client resolves names again, but not a client's pings."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import grpc
import pytest

from tests.serving.model_server.requests import Hold
from tests.serving.model_server.running import PATIENCE_SECONDS, Server, running
from tests.serving.model_server.tiny_models import x_request

_AGE_SECONDS = 0.5


def seconds_connected(server: Server, at_most: float) -> float | None:
    """How long a connection lasts with a call every 0.05 s, its start included; None if longer than `at_most`."""
    states: queue.Queue[grpc.ChannelConnectivity] = queue.Queue()
    begin = time.monotonic()
    server.channel.subscribe(states.put, try_to_connect=True)
    while states.get(timeout=PATIENCE_SECONDS) is not grpc.ChannelConnectivity.READY:
        pass
    end = time.monotonic() + at_most
    while time.monotonic() < end:
        server.predictions.Predict(x_request([1.0]))  # no call fails
        try:
            states.get(timeout=0.05)
        except queue.Empty:
            continue
        return time.monotonic() - begin
    return None


def test_a_connection_ends_at_its_age_and_no_call_fails(models: Path) -> None:
    """gRPC randomizes the age by up to 10 %."""
    with running("--models", models, "--connection-age-seconds", str(_AGE_SECONDS)) as server:
        lasted = seconds_connected(server, at_most=PATIENCE_SECONDS)
    assert lasted is not None
    assert lasted > 0.8 * _AGE_SECONDS


def test_by_default_it_stays(models: Path) -> None:
    with running("--models", models) as server:
        assert seconds_connected(server, at_most=3 * _AGE_SECONDS) is None


#: A ping each second for as long as a call waits, whether or not data is sent.
_PINGS = [("grpc.keepalive_time_ms", 1000), ("grpc.http2.max_pings_without_data", 0)]


@pytest.mark.slow
def test_pings_of_a_call_that_waits_do_not_end_it(models: Path, hold: Hold) -> None:
    """gRPC's own limit, a ping in five minutes, ends the call at the third ping that comes too early."""

    def pinging(port: int) -> grpc.Channel:
        return grpc.insecure_channel(f"localhost:{port}", _PINGS)

    with running("--models", models, channel=pinging) as server:
        at_work = server.predictions.Predict.future(hold.request())
        with pytest.raises(grpc.FutureTimeoutError):
            at_work.result(timeout=8)
        hold.release()
        assert "checks" in at_work.result().outputs
