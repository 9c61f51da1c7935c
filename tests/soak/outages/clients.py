"""Clients of the ranking client, each in a process of its own, that make one call after another.

    python -m tests.soak.outages.clients SETTINGS

A client ranks until its standard input is closed. It writes a line once its first call is answered, and at the end a
JSON document with its calls.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from serving.ranking_client.client import RankingClient
from serving.ranking_client.errors import RankingError
from serving.ranking_client.protos import PredictionServiceStub
from serving.ranking_client.settings import ClientSettings, read_settings, write_settings

NUM_CLIENTS = 6

#: The name of the model that they call.
MODEL = "tiny"

_CONTEXT, _ITEM_IDS = {"age": 30}, [f"app_{i}" for i in range(200)]

#: In the message of a call that no server has accepted: there was no connection, the server was about to close it, or
#: it says that it cannot answer yet.
_NOT_ACCEPTED = ("failed to connect", "GOAWAY", "is still loading its first models")

#: For how long after a node's loss a copy of a call that meets it may be sent.
MAX_FAILING_SECONDS = 3.0

#: The clients' deadline where a node is lost, shorter than the loss. With 1 s, a busy machine misses it without a loss.
DEADLINE_SECONDS = 5.0
PATIENT_SECONDS = 10.0

#: A client gives up an attempt to connect after 1 s.
_ATTEMPT_SECONDS = 1.5

#: The most calls that a sentence lists.
_MOST_LISTED = 20

#: The time limit for connections that are expected.
_PATIENCE_SECONDS = 60

#: The state of an open connection in `/proc/net/tcp` and `/proc/net/tcp6`.
_ESTABLISHED = "01"


@dataclasses.dataclass(frozen=True)
class Failure:
    """A call that was not answered.

    Attributes:
      sent: When it was sent, in seconds on `time.monotonic`'s clock, which all processes share.
      code: Its status code.
      reason: The error's message.
    """

    sent: float
    code: str
    reason: str


@dataclasses.dataclass
class Calls:
    """The calls of one client, or of several.

    Attributes:
      num_answered: The number of calls that were answered.
      failed: The calls that were not.
      lost: The copies of calls that a server may have accepted, and did not answer; another copy may have been.
    """

    num_answered: int = 0
    failed: list[Failure] = dataclasses.field(default_factory=list)
    lost: list[Failure] = dataclasses.field(default_factory=list)


class _WatchedClient(RankingClient, grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """A ranking client that records the copies of its calls that a server lost."""

    def __init__(self, settings: ClientSettings, lost: list[Failure]) -> None:
        super().__init__(settings)
        self._stub = PredictionServiceStub(grpc.intercept_channel(self._channel, self))
        self._lost = lost

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Called by gRPC for each copy."""
        sent = time.monotonic()
        copy = continuation(client_call_details, request)
        if copy.code() is not grpc.StatusCode.OK and was_accepted(copy.details() or ""):
            self._lost.append(Failure(sent, copy.code().name, copy.details()))
        return copy


def was_accepted(details: str) -> bool:
    """Whether a server may have accepted the call that failed with this message."""
    return not any(mark in details for mark in _NOT_ACCEPTED)


@contextlib.contextmanager
def calling(settings: ClientSettings, folder: Path) -> Iterator[Calls]:
    """Runs clients during the block, which begins once each has an answer; their calls are there after it.

    Args:
      settings: The clients' settings.
      folder: A folder for a file of them.
    """
    path = folder / "client.json"
    write_settings(settings, str(path))
    command = [sys.executable, "-m", __name__, str(path)]
    calls = Calls()
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(NUM_CLIENTS)
        ]
        try:
            for client in clients:
                assert client.stdout
                assert client.stdout.readline(), "a client ended at its start"
            yield calls
        finally:
            documents = [json.loads(client.communicate()[0]) for client in clients]
    calls.num_answered = sum(document["num_answered"] for document in documents)
    calls.failed = [Failure(**call) for document in documents for call in document["failed"]]
    calls.lost = [Failure(**copy) for document in documents for copy in document["lost"]]


def wait_until_connected(port: int) -> None:
    """Waits until each client has a connection to a port that has lasted longer than an attempt to connect may."""
    before, since = set[str](), time.monotonic()
    end = since + _PATIENCE_SECONDS
    while len(before) < NUM_CLIENTS or time.monotonic() < since + _ATTEMPT_SECONDS:
        assert time.monotonic() < end, f"{len(before)} clients are connected to port {port}"
        if (found := _connections(port)) != before:
            before, since = found, time.monotonic()
        time.sleep(0.05)


def _connections(port: int) -> set[str]:
    """The local addresses of the connections to a port, as Linux writes them."""
    tables = (Path(f"/proc/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return {local for _, local, remote, state, *_ in rows if remote.endswith(f":{port:04X}") and state == _ESTABLISHED}


@dataclasses.dataclass
class Outcome:
    """What came of outages of one kind.

    Attributes:
      kind: The kind.
      times: When each began and when it was over, in seconds on `time.monotonic`'s clock.
      calls: The clients' calls, before, in and after them.
      codes: The exit codes of the servers that ended.
      bound: For how long after an outage's begin a call, or a copy of one, that fails may be sent, in seconds.
      others: Further violated requirements, one sentence each.
      load: The machine's load, the mean of the last minute.
    """

    kind: str
    times: Sequence[tuple[float, float]]
    calls: Calls
    codes: Sequence[int] = ()
    bound: float = 0.0
    others: Sequence[str] = ()
    load: float = dataclasses.field(default_factory=lambda: os.getloadavg()[0])

    @property
    def failing_seconds(self) -> float:
        """The longest time from an outage's begin to that of a call, or a copy of one, that failed within it."""
        sent = [call.sent for call in (*self.calls.failed, *self.calls.lost)]
        return max((time - begin for begin, end in self.times for time in sent if begin < time < end), default=0.0)

    def problems(self) -> list[str]:
        """The violated requirements, one sentence each."""
        found = list(self.others)
        if codes := [code for code in self.codes if code]:
            found.append(f"every server must end with exit code 0. Received: {codes}")
        if self.bound:
            if (seconds := self.failing_seconds) > self.bound:
                late = [copy for copy in self.calls.lost if self._seconds_after(copy) > self.bound]
                rule = f"calls must fail for at most {self.bound:g} s"
                found.append(f"{rule}. Received: {seconds:.2f} s; later ones: {self._listed(late)}")
            failed = [call for call in self.calls.failed if not self._expected(call)]
        else:
            failed = self.calls.failed
            if lost := self.calls.lost:
                found.append(f"what a server accepts must be answered. Received: {self._listed(lost)}")
        if failed:
            found.append(f"no call must fail. Received: {self._listed(failed)}")
        return [f"{self.kind}: {problem}" for problem in found]

    def _expected(self, call: Failure) -> bool:
        """Whether a call was in flight at an outage's begin, or sent before its end."""
        return any(begin - DEADLINE_SECONDS <= call.sent < end for begin, end in self.times)

    def _seconds_after(self, call: Failure) -> float:
        """How long after the last outage's begin a call was sent; 0 before all."""
        return call.sent - max((begin for begin, _ in self.times if begin <= call.sent), default=call.sent)

    def _listed(self, failures: Sequence[Failure]) -> str:
        """How many there are, and of the first ones: when each was sent after which outage's begin, and its reason."""
        lines = []
        for failure in failures[:_MOST_LISTED]:
            number = sum(begin <= failure.sent for begin, _ in self.times)
            seconds = self._seconds_after(failure)
            lines.append(f"{seconds:.3f} s after outage {number}, {failure.code}: {failure.reason}")
        return "\n  ".join([str(len(failures)), *lines])


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    calls = Calls()
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    with _WatchedClient(read_settings(arguments[0]), calls.lost) as client:
        while not ended.is_set():
            sent = time.monotonic()
            try:
                client.rank(_CONTEXT, _ITEM_IDS)
            except RankingError as error:
                calls.failed.append(Failure(sent, error.code.name, str(error)))
                continue
            calls.num_answered += 1
            if calls.num_answered == 1:
                print("answered", flush=True)
    print(json.dumps(dataclasses.asdict(calls)))


if __name__ == "__main__":
    main(sys.argv[1:])
