"""A server whose log fails, at a moment between its start and its stop, beside one whose log does not."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import grpc
import httpx
from rich.progress import track
from tensorflow_serving.apis import model_service_pb2_grpc

from serving.ranking_client.channel import LOOK_SECONDS
from serving.ranking_client.settings import ClientSettings
from tests.e2e.small_disk import mounted
from tests.serving.model_server.operator_calls import bearer, reload
from tests.serving.model_server.running import wait_for
from tests.serving.model_server.tiny_models import push
from tests.serving.ranking_client.running import free_port
from tests.serving.ranking_client.tiny_model import export_tiny
from tests.soak.outages.clients import MODEL, PATIENT_SECONDS, Outcome, calling, wait_until_connected

#: A file descriptor for a server's standard error, and what makes it fail.
Log: TypeAlias = tuple[int, Callable[[], None]]

_PATIENCE_SECONDS = 60

#: Calls that are answered while nothing changes.
_NUM_CALLS = 100


def _fill(log: int) -> None:
    """Writes to a log until it takes nothing more."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK
    own = os.open(f"/proc/self/fd/{log}", flags)  # not shared with the server, which may wait for its reader
    for size in (2**16, 1):
        with contextlib.suppress(OSError):
            while True:
                os.write(own, b" " * size)
    os.close(own)


@contextlib.contextmanager
def _on_a_disk(folder: Path) -> Iterator[Log]:
    """A log on a disk that gets full."""
    with mounted(folder / "disk") as disk:
        log = os.open(disk / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            yield log, lambda: _fill(log)
        finally:
            os.close(log)


@contextlib.contextmanager
def _read(fail: Callable[[subprocess.Popen[bytes], int], None]) -> Iterator[Log]:
    """A log in a pipe of 4 kB that another process reads."""
    reader, log = os.pipe()
    fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL) as process:
        os.close(reader)
        try:
            yield log, lambda: fail(process, log)
        finally:
            process.kill()
            os.close(log)


def _end(reader: subprocess.Popen[bytes], _: int) -> None:
    reader.kill()
    reader.wait()


def _stall(reader: subprocess.Popen[bytes], log: int) -> None:
    reader.send_signal(signal.SIGSTOP)
    os.waitpid(reader.pid, os.WUNTRACED)
    _fill(log)


LOGS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Log]]] = {
    "a log's disk is full": _on_a_disk,
    "a log's reader has gone": lambda _: _read(_end),
    "a log's reader stalls": lambda _: _read(_stall),
}


class _Server:
    """A server that requires a token.

    Args:
      shared: What it has in common with the other server.
      log: Its standard output and error.
      grpc_port: Its gRPC port.
    """

    def __init__(self, shared: _Shared, log: int, grpc_port: int) -> None:
        self.grpc_port, rest_port = grpc_port, free_port()
        ports = ("--grpc-port", grpc_port, "--rest-port", rest_port)
        often = ("--poll-seconds", 0.1, "--settle-seconds", 0.1)
        options = ("--models", shared.models, "--token-file", shared.tokens, *ports, *often)
        command = [sys.executable, "-m", "serving.model_server", *map(str, options)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        self._rest = httpx.Client(base_url=f"http://127.0.0.1:{rest_port}", timeout=_PATIENCE_SECONDS)

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._rest.close()
        self.process.kill()
        self.process.wait()

    def get(self, path: str, token: str | None = None) -> tuple[int, str]:
        """The code and the text of its answer; 0 if there is none."""
        try:
            answer = self._rest.get(path, headers=dict(bearer(token) if token else ()))
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    def metric(self, name: str, token: str) -> float:
        """The sum of a metric's values over its labels."""
        lines = self.get("/metrics", token)[1].splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until a condition is true; raises AssertionError if the server ends before."""
        wait_for(condition, what, self.process)

    def wait_for_code(self, code: int, token: str) -> None:
        """Waits until it answers a token with this code."""
        self.wait_for(lambda: self.get("/metrics", token)[0] == code, f"{code} for {token}")


class _Shared:
    """What the servers have in common: models and tokens.

    Attributes:
      models: The folder of models.
      tokens: The file of the tokens that the servers accept.
      token: The file of the token that the clients send.
      sent: That token.
      version: The newest version of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._template = export_tiny(folder)
        self.models, self.tokens, self.token = folder / "models", folder / "tokens", folder / "token"
        self.version, self.sent = 1, "token-1"
        push(self._template, self.models / MODEL / "1")
        self.tokens.write_text(self.sent, encoding="ascii")
        self.token.write_text(self.sent, encoding="ascii")

    def swap(self) -> None:
        """Pushes a version."""
        self.version += 1
        push(self._template, self.models / MODEL / str(self.version))

    def change_token(self, servers: Sequence[_Server]) -> None:
        """Brings in a new token as `docs/how_to/serve.md` says: the servers accept both, until the clients send it."""
        old, self.sent = self.sent, f"token-{self.version}"
        self.tokens.write_text(f"{old}\n{self.sent}", encoding="ascii")
        for server in servers:
            server.wait_for_code(200, self.sent)
        self.token.write_text(self.sent, encoding="ascii")
        time.sleep(2 * LOOK_SECONDS)  # nothing tells when the clients have seen it
        self.tokens.write_text(self.sent, encoding="ascii")
        for server in servers:
            server.wait_for_code(401, old)


class _Life:
    """The phases of a server from its start to its stop.

    Args:
      shared: What it has in common with the other server.
      server: The server.
      other: The other server, whose log does not fail.
    """

    def __init__(self, shared: _Shared, server: _Server, other: _Server) -> None:
        self._shared, self._server, self._other = shared, server, other

    def start(self) -> None:
        """Until all clients are connected."""
        self._server.wait_for(lambda: self._server.get("/readyz")[0] == 200, "readiness")
        wait_until_connected(self._server.grpc_port)

    def load(self) -> None:
        """Until it has answered some calls."""
        num_calls = self._num_calls() + _NUM_CALLS
        self._server.wait_for(lambda: self._num_calls() >= num_calls, "calls")

    def _num_calls(self) -> float:
        return self._server.metric("wdr_requests_total", self._shared.sent)

    def swap(self) -> None:
        """Until a new version answers."""
        self._shared.swap()
        line = f'wdr_loaded{{model="{MODEL}",version="{self._shared.version}"}} 1.0'
        self._server.wait_for(lambda: line in self._server.get("/metrics", self._shared.sent)[1], line)

    def reload(self) -> None:
        """Until it serves the model under a second name, too."""
        with grpc.insecure_channel(f"127.0.0.1:{self._server.grpc_port}") as channel:
            call = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
            request = reload(self._shared.models, MODEL)
            assert call(request, metadata=bearer(self._shared.sent), timeout=_PATIENCE_SECONDS).status.error_code == 0

    def change_token(self) -> None:
        """Until the old token is refused."""
        self._shared.change_token([self._server, self._other])

    def stop(self) -> None:
        """Until it has ended."""
        self._server.process.send_signal(signal.SIGTERM)
        self._server.process.wait(_PATIENCE_SECONDS)


#: What a server goes through.
Phase: TypeAlias = Callable[[_Life], None]
PHASES: Sequence[Phase] = (_Life.start, _Life.load, _Life.swap, _Life.reload, _Life.change_token, _Life.stop)


def _run(life: _Life, fails_in: Phase | None, seconds: float, fail: Callable[[], None]) -> dict[Phase, float]:
    """Runs a server through its phases; its log fails so many seconds after a phase's begin.

    Returns:
      The seconds of each phase.

    Raises:
      AssertionError: If it ends before its stop, or does not do as asked.
    """
    durations = {}

    def fail_later() -> None:
        time.sleep(seconds)
        fail()

    for phase in PHASES:
        with ThreadPoolExecutor(1) as pool:
            failing = pool.submit(fail_later) if phase is fails_in else None
            start = time.monotonic()
            phase(life)
            durations[phase] = time.monotonic() - start
            if failing:
                failing.result()
    return durations


def break_log(folder: Path, kind: str, num_moments: int, rng: random.Random) -> Outcome:
    """Lets the logs of servers fail, one after another, while clients call them and a server whose log does not fail.

    Args:
      folder: An empty folder.
      kind: How a log fails.
      num_moments: The number of servers.
      rng: Draws the moments: of each phase in turn, in the first half of the time that it takes undisturbed.
    """
    shared, port = _Shared(folder), free_port()
    codes, problems, times = list[int](), list[str](), list[tuple[float, float]]()
    with (folder / "other.log").open("wb") as log, _Server(shared, log.fileno(), free_port()) as other:
        other.wait_for(lambda: other.get("/readyz")[0] == 200, "readiness")

        def run(fails_in: Phase | None, seconds: float) -> dict[Phase, float]:
            with LOGS[kind](folder) as (descriptor, fail), _Server(shared, descriptor, port) as server:
                durations = _run(_Life(shared, server, other), fails_in, seconds, fail)
                codes.append(server.process.returncode)
                return durations

        addresses = f"ipv4:127.0.0.1:{port},127.0.0.1:{other.grpc_port}"
        token_file = str(shared.token)
        settings = ClientSettings(MODEL, addresses, token_file=token_file, deadline_seconds=PATIENT_SECONDS)
        with calling(settings, folder) as calls:
            usual = run(None, 0.0)
            for number in track(range(num_moments), kind, disable=not sys.stderr.isatty()):
                phase = PHASES[number % len(PHASES)]
                seconds, start = rng.uniform(0, usual[phase] / 2), time.monotonic()
                try:
                    run(phase, seconds)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    problems.append(f"{phase.__name__}, after {seconds:.2f} s: {error}")
                times.append((start, time.monotonic()))
    return Outcome(kind, times, calls, codes, others=problems)
