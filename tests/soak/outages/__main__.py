"""Servers and logs that fail while six clients rank: no call is lost, and a lost node costs seconds.

    unshare -rmn python -m tests.soak.outages [--stops 50] [--moments 20] [--losses 10]

The clients have two servers. (1) The servers get SIGTERM and are started again, in turn. (2) A server's log disk gets
full, its log's reader ends, or its log's reader stalls, at moments from its start to its stop. (3) A node is lost: its
server stands still (SIGSTOP), or all packets from it are dropped. Runs in namespaces of its own, since it mounts a
disk and drops packets. Exits with code 1 if a server ends otherwise than by SIGTERM, if one loses a call that it has
accepted, or if a call fails; after a loss, calls and copies of them may fail for `MAX_FAILING_SECONDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from serving.ranking_client.settings import ClientSettings
from tests.serving.ranking_client.running import Stoppable, free_port, model_server
from tests.serving.ranking_client.tiny_model import export_tiny
from tests.soak.outages.clients import (
    DEADLINE_SECONDS,
    MAX_FAILING_SECONDS,
    MODEL,
    PATIENT_SECONDS,
    Outcome,
    calling,
    wait_until_connected,
)
from tests.soak.outages.logs import LOGS, break_log

_START_SECONDS, _STOP_SECONDS = 300.0, 60.0

#: All addresses of the machine: each server is called at its own.
_HOSTS = ("127.0.0.2", "127.0.0.3")
_OPTIONS = ("--host", "0.0.0.0")


def stop_in_turn(models: Path, folder: Path, num_stops: int) -> Outcome:
    """Stops two servers in turn, and starts each again before the other's stop."""
    ports, codes, times = [free_port() for _ in _HOSTS], [], []
    with contextlib.ExitStack() as stack:

        def start(i: int) -> subprocess.Popen[bytes]:
            log = folder / f"server-{i}.log"
            server = model_server(models, log, *_OPTIONS, start_seconds=_START_SECONDS, grpc_port=ports[i])
            return stack.enter_context(server)[1]

        servers = [start(i) for i in range(2)]
        with calling(_settings(ports, PATIENT_SECONDS), folder) as calls:
            for number in track(range(num_stops), "stops", disable=not sys.stderr.isatty()):
                for port in ports:
                    wait_until_connected(port)
                stopped = time.monotonic()
                servers[number % 2].send_signal(signal.SIGTERM)
                codes.append(servers[number % 2].wait(_STOP_SECONDS))
                servers[number % 2] = start(number % 2)
                times.append((stopped, time.monotonic()))
    return Outcome("SIGTERM", times, calls, codes)


@contextlib.contextmanager
def _standing_still(server: Stoppable) -> Iterator[None]:
    """The server's process is stopped; its kernel still takes packets and connections."""
    server[1].send_signal(signal.SIGSTOP)
    yield
    server[1].send_signal(signal.SIGCONT)


@contextlib.contextmanager
def _cut_off(_: Stoppable) -> Iterator[None]:
    """No packet from the server arrives any more, and nothing says so."""
    rule = ["pref", "10", "from", _HOSTS[0], "blackhole"]
    subprocess.run(["ip", "rule", "add", *rule], check=True)
    yield
    subprocess.run(["ip", "rule", "del", *rule], check=True)


LOSSES: dict[str, Callable[[Stoppable], contextlib.AbstractContextManager[None]]] = {
    "a node stands still": _standing_still,
    "a node is cut off": _cut_off,
}


def lose_node(models: Path, folder: Path, kind: str, num_losses: int) -> Outcome:
    """Loses the node of one of two servers; each time it comes back."""
    losses = []
    with (
        model_server(models, folder / "first.log", *_OPTIONS, start_seconds=_START_SECONDS) as first,
        model_server(models, folder / "second.log", *_OPTIONS, start_seconds=_START_SECONDS) as second,
    ):
        ports = [int(address.rpartition(":")[2]) for address, _ in (first, second)]
        with calling(_settings(ports, DEADLINE_SECONDS), folder) as calls:
            for _ in track(range(num_losses), kind, disable=not sys.stderr.isatty()):
                for port in ports:
                    wait_until_connected(port)
                lost = time.monotonic()
                with LOSSES[kind](first):
                    time.sleep(MAX_FAILING_SECONDS + DEADLINE_SECONDS + 1)  # a later copy that fails has the time to
                losses.append((lost, time.monotonic()))
    return Outcome(kind, losses, calls, bound=MAX_FAILING_SECONDS)


def _settings(ports: list[int], deadline_seconds: float) -> ClientSettings:
    server = "ipv4:" + ",".join(f"{host}:{port}" for host, port in zip(_HOSTS, ports, strict=True))
    return ClientSettings(model=MODEL, server=server, deadline_seconds=deadline_seconds)


def _prepare_network() -> None:
    """Brings up the loopback device, and lets rules come before the table of local addresses, which has no drops.

    Raises:
      SystemExit: If the network is the machine's.
    """
    if [name for _, name in socket.if_nameindex()] != ["lo"]:
        sys.exit("the campaign must have a network of its own, such as by `unshare -rmn`. Received: the machine's")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if subprocess.run(["ip", "rule", "add", "pref", "100", "lookup", "local"], check=False).returncode == 0:
        subprocess.run(["ip", "rule", "del", "pref", "0"], check=True)


def _table(outcomes: Sequence[Outcome]) -> Table:
    """One row for each kind of outage."""
    table = Table()
    table.add_column("outage", no_wrap=True)
    for head in ("times", "answered", "lost", "failed", "CANCELLED", "failing for", "exits not 0", "load"):
        table.add_column(head, justify="right")
    for outcome in outcomes:
        calls = outcome.calls
        table.add_row(
            outcome.kind,
            str(len(outcome.times)),
            str(calls.num_answered),
            str(len(calls.lost)),
            str(len(calls.failed)),
            str(sum(call.code == "CANCELLED" for call in calls.failed)),
            f"{outcome.failing_seconds:.2f} s",
            str(sum(code != 0 for code in outcome.codes)),
            f"{outcome.load:.1f}",
        )
    return table


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=50)
    parser.add_argument("--moments", type=int, default=20, help="For each way in which a log fails.")
    parser.add_argument("--losses", type=int, default=10, help="For each way in which a node is lost.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    _prepare_network()
    folder = Path(tempfile.mkdtemp(prefix="outages-"))
    models = folder / "models"
    (models / MODEL).mkdir(parents=True)
    export_tiny(models / MODEL)
    outcomes = []
    if options.stops:
        outcomes.append(stop_in_turn(models, folder, options.stops))
    if options.moments:
        rng = random.Random(options.seed)
        outcomes += [break_log(folder / kind, kind, options.moments, rng) for kind in LOGS]
    if options.losses:
        outcomes += [lose_node(models, folder, kind, options.losses) for kind in LOSSES]
    console = Console(width=120)
    console.print(_table(outcomes))
    problems = [problem for outcome in outcomes for problem in outcome.problems()]
    for problem in problems:
        console.print(problem, markup=False)
    if problems:
        console.print(f"what it left: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
