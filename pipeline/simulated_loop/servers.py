"""The servers of the loop: a model server, the rank service that explores and logs, and one of the first version."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from transform.errors import UserError

_WAIT_SECONDS = 300.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 60.0

#: The model server's name of the first version.
_FIRST = "first"

#: The longest time between an answer and the end of the log's file that has it.
_SEAL_SECONDS = 1


@dataclass(frozen=True)
class Servers:
    """The addresses of the two rank services."""

    url: str
    first_url: str


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds; raises UserError if it does not within five minutes."""
    end = time.monotonic() + _WAIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise UserError(f"{what} must be within {_WAIT_SECONDS:g} s. Received: it is not")
        time.sleep(_LOOK_SECONDS)


def ready_version(url: str) -> int | None:
    """Returns the version by which a rank service answers now; None if it does not answer."""
    try:
        response = httpx.get(f"{url}/health/ready", timeout=10)
    except httpx.TransportError:
        return None
    return int(response.json()["version"]) if response.is_success else None


@contextlib.contextmanager
def servers(name: str, serving: Path, first: Path, log: Path, key: Path, options: Sequence[str]) -> Iterator[Servers]:
    """Runs the servers, on free ports of this machine, until the block ends.

    Args:
      name: The model's name.
      serving: The folder of its versions, of which the newest one serves.
      first: A folder with the first version alone.
      log: The folder of the serving log; the servers' own output is in files beside it.
      key: The file of keys for the requests' ids.
      options: Options of the rank service that explores.
    """
    grpc, rest, port, first_port = _free_ports(4)
    to_models = ["--server", f"127.0.0.1:{grpc}", "--deadline-seconds", "60"]
    commands = {
        "model_server": [
            "serve", "--model", f"{name}={serving}", "--model", f"{_FIRST}={first}", "--grpc-port", f"{grpc}",
            "--rest-port", f"{rest}",
        ],
        "rank_service": [
            "rank-service", "--model", name, "--port", f"{port}", *to_models, "--log-dir", f"{log}", "--log-key",
            f"{key}", "--log-file-seconds", f"{_SEAL_SECONDS}", *options,
        ],
        "rank_service_of_first": ["rank-service", "--model", _FIRST, "--port", f"{first_port}", *to_models],
    }  # fmt: skip
    found = Servers(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{first_port}")
    with contextlib.ExitStack() as stack:
        running = {of: stack.enter_context(_process(words, log.parent / f"{of}.out")) for of, words in commands.items()}

        def are_ready() -> bool:
            for of, process in running.items():
                if process.poll() is not None:
                    raise UserError(f"the {of} must run. Received: it has ended (see {log.parent / of}.out)")
            return None not in (ready_version(found.url), ready_version(found.first_url))

        wait_until(are_ready, "the answers of both rank services")
        yield found


@contextlib.contextmanager
def _process(words: Sequence[str], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("ab") as file:
        process = subprocess.Popen([sys.executable, "-m", "pipeline.cli", *words], stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
