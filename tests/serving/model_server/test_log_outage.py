"""Tests of a server whose log cannot be written: it goes on serving, counts the lost lines, and stops as it should."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests.serving.model_server.requests import Hold
from tests.serving.model_server.running import PATIENCE_SECONDS, POLL, wait_for
from tests.serving.model_server.tiny_models import x_request

#: More lines than a pipe of 4 kB takes: each of these versions is incomplete, which is a line.
_NUM_INCOMPLETE = 100


_STALLS = "a reader that stalls"


@pytest.fixture(params=["a full disk", "a reader that has gone", _STALLS])
def log(request: pytest.FixtureRequest) -> Iterator[int]:
    """A standard error that takes no lines, or few."""
    if request.param == "a full disk":
        log = os.open("/dev/full", os.O_WRONLY)
        yield log
    else:
        reader, log = os.pipe()
        fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
        if request.param == "a reader that has gone":
            os.close(reader)
        yield log
        if request.param == _STALLS:
            os.close(reader)
    os.close(log)


_SECOND = {"authorization": "Bearer second"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _serving(log: int, *arguments: str | Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client, grpc.Channel]]:
    """Runs a server with this standard error; yields its process and clients of its ports."""
    grpc_port, rest_port = _free_port(), _free_port()
    ports = ("--grpc-port", str(grpc_port), "--rest-port", str(rest_port))
    command = [sys.executable, "-m", "serving.model_server", *ports, *map(str, arguments)]
    process = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[3])
    try:
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{rest_port}", timeout=30) as rest,
            grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
        ):
            yield process, rest, channel
    finally:
        process.kill()
        process.wait()


def _ready(rest: httpx.Client) -> bool:
    try:
        return rest.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _num_lost(rest: httpx.Client) -> float:
    page = rest.get("/metrics", headers=_SECOND).text
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith("wdr_lost_log_lines_total "))


def test_a_log_that_cannot_be_written_stops_nothing(
    log: int, request: pytest.FixtureRequest, folder: Path, tmp_path: Path, hold: Hold
) -> None:
    models, token = folder.parent, tmp_path / "token"
    token.write_text("first", encoding="ascii")
    for number in range(_NUM_INCOMPLETE):
        (models / "incomplete" / str(number)).mkdir(parents=True)
    options = ("--models", models, "--token-file", token, "--grace-seconds", "60", *POLL)
    with _serving(log, *options) as (process, rest, channel), ThreadPoolExecutor(1) as pool:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

        def call(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
            return predict(request, metadata=(("authorization", "Bearer second"),), timeout=PATIENCE_SECONDS)

        def calls() -> bool:
            with contextlib.suppress(grpc.RpcError):
                return bool(call(x_request([1.0])).outputs["y"].float_val[0] == 1.5)
            return False

        wait_for(lambda: _ready(rest), "readiness")
        token.write_text("second", encoding="ascii")  # read again, which is a line
        wait_for(calls, "the new token")
        models.rename(tmp_path / "away")  # a line, too
        if request.node.callspec.params["log"] != _STALLS:  # then they wait in the queue
            wait_for(lambda: _num_lost(rest) > 0, "lost lines")
        assert rest.get("/healthz").status_code == 200
        assert calls()

        at_work = pool.submit(call, hold.request())
        wait_for(lambda: "wdr_running_requests 1.0" in rest.get("/metrics", headers=_SECOND).text, "the call")
        process.send_signal(signal.SIGTERM)
        hold.release()
        assert "checks" in at_work.result().outputs
        assert process.wait(PATIENCE_SECONDS) == 0
