"""Runs the model server and the ranking service in separate processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx

_START_SECONDS = 60.0

#: A server's gRPC address, and its process.
Stoppable: TypeAlias = tuple[str, subprocess.Popen[bytes]]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command, and ends its process at the end of the block, even if it is stopped (SIGSTOP)."""
    with log.open("ab") as output:
        running = subprocess.Popen([sys.executable, *command], stdout=output, stderr=output)
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGCONT)
                running.terminate()
            running.wait(30)


def wait_until_up(running: subprocess.Popen[bytes], url: str, log: Path, start_seconds: float = _START_SECONDS) -> None:
    """Waits until a GET is answered with 200."""
    end = time.monotonic() + start_seconds
    while time.monotonic() < end:
        assert running.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{url} does not answer: {log.read_text()}")


def wait_for_port(running: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Waits until a process listens on a port."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        assert running.poll() is None, log.read_text()
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"port {port} does not answer: {log.read_text()}")


@contextlib.contextmanager
def model_server(
    models: Path,
    log: Path,
    *options: str,
    start_seconds: float = _START_SECONDS,
    grpc_port: int | None = None,
) -> Iterator[Stoppable]:
    """Runs a server of a folder of models, on a free port by default; the block starts once each model is served."""
    grpc_port, rest_port = grpc_port or free_port(), free_port()
    ports = ["--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    often = ["--poll-seconds", "0.1", "--settle-seconds", "0.1"]
    command = ["-m", "serving.model_server", "--models", str(models), *ports, *often, *options]
    with process(command, log) as running:
        for name in sorted(os.listdir(models)):
            wait_until_up(running, f"http://127.0.0.1:{rest_port}/v1/models/{name}/metadata", log, start_seconds)
        yield f"127.0.0.1:{grpc_port}", running


@contextlib.contextmanager
def forwarded(port: int, address: str) -> Iterator[threading.Event]:
    """Forwards a port to an address, both ways: a server that runs already appears at a new address.

    Yields the event that cuts the link: all bytes are lost from then on, and nothing is closed.
    """
    host, _, to = address.partition(":")
    cut = threading.Event()

    class Forwarder(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(to))) as target:
                back = threading.Thread(target=copy, args=(target, self.request))
                back.start()
                copy(self.request, target)
                back.join()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side has closed first
            while data := source.recv(65536):
                if not cut.is_set():
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", port), Forwarder) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield cut
        finally:
            server.shutdown()


@contextlib.contextmanager
def ranking_service(server: str, model: str, log: Path, *options: str) -> Iterator[str]:
    """Runs the HTTP service in front of a model server; yields its URL."""
    port = free_port()
    command = ["-m", "pipeline.cli", "rank-service", "--server", server, "--model", model, "--port", str(port)]
    with process([*command, *options], log) as running:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(running, f"{url}/health/live", log)
        yield url
