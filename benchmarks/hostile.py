"""Effect of hostile requests on other clients: `python -m benchmarks.hostile [VERSION]`.

A client ranks at a steady rate, alternately alone and next to an attacker. The attacker runs in a process of its own,
sends all kinds of hostile requests one after the other without a pause, and holds idle and slow connections. Prints
both latencies, their ratio, and the server's memory; exits with 1 if a kind never had a response. With `--each-kind`,
each kind is sent on its own instead, to find the one that affects other clients; beside long lists, their median should
be at most 3 times the one alone (`--each-kind 10 --rate 10 --only "a list of"`). Client, attacker and server share the
machine. A latency counts from the time at which the request was scheduled and includes the client's own time.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.attacker import NUM_IDLE, Attacker, Target, push_small_model
from benchmarks.model_server import MODEL, Running, free_port, push, running
from pipeline.cli.display import console_for
from serving.model_server.protos import import_protos_alone

#: Maximum 99th percentile of other clients' latency, relative to its value without the attacker.
ALLOWED_RATIO = 3.0


@dataclasses.dataclass
class Round:
    """One turn without the attacker and one with it.

    Attributes:
      usual: Latencies in milliseconds without the attacker.
      attacked: Latencies in milliseconds with the attacker.
    """

    usual: list[float]
    attacked: list[float]

    @property
    def ratio(self) -> float:
        """The ratio of the 99th percentiles."""
        return float(np.percentile(self.attacked, 99) / np.percentile(self.usual, 99))


@dataclasses.dataclass
class Report:
    """The measurements.

    Attributes:
      rounds: The rounds.
      errors: Failed requests of the client that ranks, by code.
      answers: Responses to the attacker, by kind and code.
      attack_seconds: Total duration of the attacks, as the attacker measures it.
      memory: Resident memory of the server's processes in MB, before the first attack and after each.
    """

    rounds: list[Round] = dataclasses.field(default_factory=list)
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    answers: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)
    attack_seconds: float = 0.0
    memory: list[float] = dataclasses.field(default_factory=list)

    def never_answered(self, kinds: Sequence[str]) -> list[str]:
        """Returns the kinds without a response."""
        answered = {kind for kind, _ in self.answers}
        return [kind for kind in kinds if kind not in answered]


@dataclasses.dataclass
class Beside:
    """A turn of the client that ranks next to one kind.

    Attributes:
      latencies: The latencies in milliseconds.
      num_failed: The number of its failed requests.
    """

    latencies: list[float]
    num_failed: int


@dataclasses.dataclass
class Scene:
    """A server, the attacker, and the settings of the client that ranks."""

    server: Running
    attacker: Attacker
    version: Path
    grpc_port: int
    rate: float
    num_candidates: int
    deadline_seconds: float

    def latencies(self, seconds: float, errors: collections.Counter[str]) -> list[float]:
        """Ranks at the steady rate; returns latencies in milliseconds, and counts failures by code."""
        from serving.load_test.load import load
        from serving.load_test.recorded import read_recorded
        from serving.ranking_client.settings import ClientSettings

        requests = read_recorded(str(self.version)).requests(self.num_candidates)
        address = f"127.0.0.1:{self.grpc_port}"
        settings = ClientSettings(MODEL, address, deadline_seconds=self.deadline_seconds, max_attempts=1)
        found = asyncio.run(load(settings, requests, self.rate, seconds))
        errors.update(found.errors)
        return [milliseconds for _, milliseconds in found.latencies]


@contextlib.contextmanager
def scene(version: Path, rate: float, num_candidates: int, deadline_seconds: float = 10.0) -> Iterator[Scene]:
    """Starts a server and an attacker.

    Args:
      version: A pushed version.
      rate: Requests per second of the client that ranks.
      num_candidates: Number of candidate items per request.
      deadline_seconds: Time after which one of its requests has failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        models, port = Path(folder) / "models", free_port()
        push(version, models, 1)
        push_small_model(models)
        with running(models, port) as server:
            server.wait_until_ready()
            attacker = Attacker(Target(port, server.rest_port, version))
            try:
                yield Scene(server, attacker, version, port, rate, num_candidates, deadline_seconds)
            finally:
                attacker.close()


def measure(scene: Scene, num_rounds: int, seconds: float) -> Report:
    """Ranks alternately without and with the attacker.

    Args:
      scene: The server, attacker and client.
      num_rounds: Number of rounds.
      seconds: Duration of each turn.
    """
    report = Report()
    scene.latencies(seconds, report.errors)  # starts the server's threads; its memory grows to its usual size
    report.memory.append(scene.server.memory_mb)
    for _ in range(num_rounds):
        usual = scene.latencies(seconds, report.errors)
        with scene.attacker.attacking() as attack:
            attacked = scene.latencies(seconds, report.errors)
        report.answers += attack.answers
        report.attack_seconds += attack.seconds
        report.rounds.append(Round(usual, attacked))
        report.memory.append(scene.server.memory_mb)
    return report


def measure_each(scene: Scene, seconds: float, kinds: Sequence[str]) -> dict[str, Beside]:
    """Ranks next to each kind of hostile request on its own.

    Args:
      scene: The server, attacker and client.
      seconds: Duration per kind.
      kinds: The kinds.

    Returns:
      The turns by kind; under the empty name, the one without the attacker.
    """

    def turn() -> Beside:
        errors: collections.Counter[str] = collections.Counter()
        return Beside(scene.latencies(seconds, errors), errors.total())

    found = {"": turn()}
    for kind in kinds:
        with scene.attacker.attacking([kind]):
            found[kind] = turn()
    return found


def print_report(console: Console, report: Report) -> None:
    """Prints latencies, their ratio, failures and memory."""
    table = Table("milliseconds", "p50", "p99", "requests")
    usual = [latency for each in report.rounds for latency in each.usual]
    attacked = [latency for each in report.rounds for latency in each.attacked]
    for name, found in (("nobody else", usual), ("beside the attacker", attacked)):
        table.add_row(name, *(f"{np.percentile(found, p):.2f}" for p in (50, 99)), f"{len(found):,}")
    console.print(table)
    ratios = [each.ratio for each in report.rounds]
    console.print(
        f"p99 beside the attacker is {np.median(ratios):.2f} x its normal, the median of {len(ratios)} rounds "
        f"({min(ratios):.2f} to {max(ratios):.2f}); {ALLOWED_RATIO:g} allowed"
    )
    console.print(f"failed {report.errors.total()} {dict(report.errors) or ''}")
    rate = report.answers.total() / report.attack_seconds
    by_code: collections.Counter[str] = collections.Counter()
    for (_, code), number in report.answers.items():
        by_code[code] += number
    codes = ", ".join(f"{code} {number:,}" for code, number in by_code.most_common())
    console.print(f"the attacker sent {rate:.0f} requests a second and held {NUM_IDLE} connections: {codes}")
    before, *after = report.memory
    console.print(
        f"the server's memory: {before:.0f} MB before, {', '.join(f'{m:.0f}' for m in after)} after each attack"
    )


def print_each(console: Console, found: dict[str, Beside]) -> None:
    """Prints the failures and latencies next to each kind, most failures first, then the slowest."""
    table = Table("beside", "failed", "p50", "x alone", "p99", "largest, ms")

    def percentile(beside: Beside, percent: int) -> float:
        return float(np.percentile(beside.latencies, percent)) if beside.latencies else math.nan

    def harm(item: tuple[str, Beside]) -> tuple[int, float]:
        return item[1].num_failed, percentile(item[1], 99)

    for kind, beside in sorted(found.items(), key=harm, reverse=True):
        cells = [f"{percentile(beside, p):.2f}" if beside.latencies else "-" for p in (50, 99, 100)]
        ratio = percentile(beside, 50) / percentile(found[""], 50)
        cells.insert(1, f"{ratio:.2f}" if beside.latencies else "-")
        table.add_row(kind or "(nobody else)", f"{beside.num_failed:,}", *cells)
    console.print(table)


def main() -> None:
    """Prints the effect of the attacker, or of each kind, on the client that ranks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", type=Path, nargs="?", help="a pushed version; without it, one is made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of each turn of a round")
    parser.add_argument("--rate", type=float, default=50, help="requests per second")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--each-kind", type=float, metavar="SECONDS", help="send each kind alone, for so long")
    parser.add_argument("--only", default="", help="with --each-kind, only kinds with this in their name")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        version = arguments.version
        if version is None:  # imports TFX, which needs the whole of TensorFlow
            from benchmarks.served_model import NUM_IMPRESSIONS, push_in_other_process

            version = push_in_other_process(Path(folder), NUM_IMPRESSIONS)
        import_protos_alone()
        with scene(version, arguments.rate, arguments.candidates) as found:
            if arguments.each_kind:
                kinds = [kind for kind in found.attacker.kinds if arguments.only in kind]
                print_each(console_for(sys.stdout), measure_each(found, arguments.each_kind, kinds))
            else:
                console = console_for(sys.stdout)
                report = measure(found, arguments.rounds, arguments.seconds)
                print_report(console, report)
                if missing := report.never_answered(found.attacker.kinds):
                    console.print(f"{len(missing)} kinds have no response, so the rounds must be longer: {missing}")
                    sys.exit(1)


if __name__ == "__main__":
    main()
