"""A model server whose clients give up: calls are cancelled or expire while versions are swapped and servers stop.

    python -m tests.soak.abandoned_calls [--swaps 50] [--stops 50]

The server may still compute a call after its client has given up. The call's version must not be freed before that
ends. Exits with code 1 if a server crashes, if a call fails that its client has not given up, or if a client has fewer
calls of its kind than there are swaps.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from rich.console import Console
from rich.progress import track

from tests.serving.model_server.requests import request
from tests.serving.model_server.running import POLL, Server, running, wait_for
from tests.serving.model_server.tiny_models import MODEL, push, save, x_request

#: The steps of the signature `slow`: some 100 ms, ten times the impatient clients' deadline.
_STEPS = 30

_DEADLINE_SECONDS = 0.01
_PATIENT_SECONDS = 30


@dataclasses.dataclass
class Calls:
    """The results of the clients' calls.

    Attributes:
      answered: The number of answered calls of patient clients.
      expired: The number of calls that passed their deadline.
      cancelled: The number of calls that their client cancelled.
      failed: The errors of the calls that failed otherwise.
    """

    answered: int = 0
    expired: int = 0
    cancelled: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)

    def problems(self, num_swaps: int) -> list[str]:
        """The violated requirements of this number of swaps, one sentence each."""
        found = []
        if self.failed:
            some = list(itertools.islice(self.failed, 3))
            found.append(f"no call must fail unless its client gives up. Received: {len(self.failed)}, such as {some}")
        if (fewest := min(self.answered, self.expired, self.cancelled)) < num_swaps:
            found.append(f"each client must have a call of its kind per swap, {num_swaps}. Received: {fewest}")
        return found


@contextlib.contextmanager
def load(server: Server, calls: Calls) -> Iterator[None]:
    """Sends calls while the context is open: from a client that waits, one with a short deadline, one that cancels."""
    stop = threading.Event()

    def wait() -> None:
        try:
            server.predictions.Predict(x_request([1.0]), timeout=_PATIENT_SECONDS)
            calls.answered += 1
        except grpc.RpcError as error:
            fail(error)

    def fail(error: Any) -> None:
        calls.failed.append(f"{error.code()}: {error.details()}")

    def expire() -> None:
        try:
            server.predictions.Predict(request("slow", steps=np.int32(_STEPS)), timeout=_DEADLINE_SECONDS)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                calls.expired += 1
            else:
                fail(error)

    def cancel() -> None:
        call = server.predictions.Predict.future(request("slow", steps=np.int32(_STEPS)))
        stop.wait(_DEADLINE_SECONDS)
        if call.cancel():
            calls.cancelled += 1
        elif error := call.exception():
            fail(error)

    def repeat(send: Callable[[], None]) -> None:
        while not stop.is_set():
            send()

    clients = [threading.Thread(target=repeat, args=(send,)) for send in (wait, expire, cancel)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        stop.set()
        for client in clients:
            client.join()


def swap(folder: Path, num_swaps: int) -> tuple[Calls, int]:
    """Swaps versions under load.

    Args:
      folder: An empty folder for the model.
      num_swaps: The number of new versions.

    Returns:
      The calls, and the server's exit code.
    """
    templates = [save(folder / f"template-{bias}", float(bias)) for bias in range(2)]
    model = folder / "models" / MODEL
    push(templates[0], model / "1")
    calls = Calls()
    with running("--models", model.parent, *POLL) as server:
        with load(server, calls):
            for number in track(range(2, num_swaps + 2), "swaps", disable=not sys.stderr.isatty()):
                push(templates[number % 2], model / str(number))
                states = {**dict.fromkeys(range(1, number), "END"), number: "AVAILABLE"}
                server.wait_for_states(MODEL, states)
        return calls, server.stop()


def stop_under_load(folder: Path) -> int:
    """Stops a server under load; returns its exit code.

    Args:
      folder: A folder for the model; an existing model is reused.
    """
    model = folder / "models" / MODEL / "1"
    if not model.exists():
        model.parent.mkdir(parents=True)
        save(model)
    sent = Calls()
    with running("--models", model.parents[1]) as server, load(server, sent):
        wait_for(lambda: sent.answered and sent.expired and sent.cancelled, "calls of each client", server.process)
        return server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--stops", type=int, default=50)
    options = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        calls, code = swap(Path(folder) / "swaps", options.swaps)
        stops = Path(folder) / "stops"
        stopped = [
            stop_under_load(stops) for _ in track(range(options.stops), "stops", disable=not sys.stderr.isatty())
        ]
    crashes = [number for number in (code, *stopped) if number]
    console.print(f"swaps              {options.swaps}, the server's exit code {code}")
    console.print(f"stops              {options.stops}, exit codes {sorted(set(stopped))}")
    console.print(f"calls              {calls.answered} answered, {calls.expired} expired, {calls.cancelled} cancelled")
    problems = calls.problems(options.swaps)
    if crashes:
        problems.append(f"every server must end with exit code 0. Received: {crashes}")
    for problem in problems:
        console.print(problem, markup=False)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
