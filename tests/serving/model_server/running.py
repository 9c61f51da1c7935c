"""Runs a model server in a separate process, and calls it over gRPC and REST."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from benchmarks.model_server import memory_mb

_T = TypeVar("_T")

#: The time limit for events that are expected.
PATIENCE_SECONDS = 300

#: Options of a server that polls for new versions often, and soon accepts a version without a manifest.
POLL = ("--poll-seconds", "0.05", "--settle-seconds", "0.2")


class Server:
    """A running model server.

    Attributes:
      log: The lines of its log so far.
      not_json: What it wrote to standard error beside the log's lines; it must stay empty.
      rest: A client of its REST API.
      channel: A gRPC channel to it.
    """

    def __init__(self, arguments: list[str], channel: Callable[[int], grpc.Channel], rest: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "serving.model_server", "--grpc-port", "0", "--rest-port", "0", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
        self.log: list[dict[str, Any]] = []
        self.not_json: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        listening = self.wait_for_log("listening")
        self.grpc_port, self.rest_port = listening["grpc_port"], listening["rest_port"]
        scheme = "https" if "verify" in rest else "http"
        self.rest = httpx.Client(base_url=f"{scheme}://localhost:{self.rest_port}", timeout=PATIENCE_SECONDS, **rest)
        self.channel = channel(self.grpc_port)
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except json.JSONDecodeError:
                self.not_json.append(line)

    def wait_for_log(self, message: str, **fields: Any) -> dict[str, Any]:
        """Waits for a line with this message and these fields; returns the first one."""
        return wait_for(lambda: self.find_log(message, **fields), f"{message} {fields} in {self.log}", self.process)

    def find_log(self, message: str, **fields: Any) -> dict[str, Any] | None:
        requested = {"message": message, **fields}
        return next((line for line in list(self.log) if requested.items() <= line.items()), None)

    def wait_until_ready(self) -> None:
        wait_for(lambda: self.rest.get("/readyz").status_code == 200, "readiness", self.process)

    def states(self, model: str) -> dict[int, str]:
        """By version, the state that REST reports."""
        answer = self.rest.get(f"/v1/models/{model}").json()
        return {int(found["version"]): found["state"] for found in answer.get("model_version_status", [])}

    def wait_for_state(self, model: str, version: int, expected: str) -> None:
        wait_for(lambda: self.states(model).get(version) == expected, f"{expected} of version {version}", self.process)

    def wait_for_states(self, model: str, expected: dict[int, str]) -> None:
        what = f"the states {expected}, not {self.states(model)}"
        wait_for(lambda: self.states(model) == expected, what, self.process)

    def wait_for_requests(self, state: str, expected: int) -> None:
        """Waits until so many requests are `waiting` or `running`, as its metrics say."""
        what = f"{expected} {state} requests"
        wait_for(lambda: self.num_requests(state) == expected, what, self.process)

    def num_requests(self, state: str) -> float:
        """How many requests are `waiting` or `running`, as its metrics say."""
        lines = self.rest.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"wdr_{state}_requests "))

    def memory_mb(self) -> float:
        """Its resident memory in MB."""
        return memory_mb(self.process.pid)

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    def close(self) -> None:
        self.channel.close()
        self.rest.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr
        self._reader.join(PATIENCE_SECONDS)
        self.process.stderr.close()


def _insecure(port: int) -> grpc.Channel:
    return grpc.insecure_channel(f"localhost:{port}", options=[("grpc.max_receive_message_length", -1)])


@contextlib.contextmanager
def running(
    *arguments: str | Path, ready: bool = True, channel: Callable[[int], grpc.Channel] = _insecure, **rest: Any
) -> Iterator[Server]:
    """Runs a model server with these arguments, on free ports; `rest` has arguments of the REST client."""
    server = Server([str(argument) for argument in arguments], channel, rest)
    try:
        if ready:
            server.wait_until_ready()
        yield server
    finally:
        server.close()
    assert server.not_json == []


def wait_for(condition: Callable[[], _T | None], what: str, process: subprocess.Popen[str] | None = None) -> _T:
    """Waits until a condition is true, and returns its result."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        assert process is None or process.poll() is None, f"the server ended before {what}"
        time.sleep(0.01)
    return found
