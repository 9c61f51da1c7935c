"""Runs the same two days in one process and on workers of each kind, and compares every byte that they leave.

    python -m tests.soak.same_bytes [--impressions 100000] [--ways workers pools prism flink] [--hot]

The shipped config with late labels, in shards of 1 MB, so that each split has several files of examples. `--hot` gives
30 % of the requests to one user and 10 % of the impressions to one app. Training has one thread, since sums of several
have no order; so examples, statistics, vocabularies, boundaries, transformed rows, scores, metrics and pushed weights
must be the same bytes, and each verdict the same. Exits with code 1 if one is not, or a split has fewer than six files.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import multiprocessing
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.hot_keys import Shares, rewrite_day
from components.ingestion import transforms
from pipeline.simulator import simulate
from tests import prism
from tests.contents import contents
from tests.e2e import store
from tests.e2e.bad_store import in_process
from tests.soak.same_days import report_of, transform_state_of

_SHIPPED = store.ROOT / "configs" / "app_store.yaml"
_HOT = Shares(user=0.3, app=0.1)
_DAYS = (1, 2)
_MIN_FILES = 6

_NAME_LENGTH = 8  # of all workspaces' names
_VERDICT = ("status", "version", "metrics", "counts")
_DIGEST = re.compile(r"[0-9a-f]{32,}")

#: A graph of Transform, whose functions have numbers in the order of their making, and its hash: the boundaries, which
#: are constants in it, are compared by themselves.
_GRAPH = ("saved_model.pb", "fingerprint.pb")

#: Nodes whose outputs are compared; a model's other files name folders and times.
NODES = ("example_gen", "late_labels", "statistics_gen", "transform", "progressive_validation", "evaluator")


@contextlib.contextmanager
def _workers() -> Iterator[Mapping[str, Any]]:
    yield {"num_workers": 2}


@contextlib.contextmanager
def _pools() -> Iterator[Mapping[str, Any]]:
    with prism.worker_pool() as first, prism.worker_pool() as second:
        yield {"workers": [f"127.0.0.1:{first.port}", f"127.0.0.2:{second.port}"]}


@contextlib.contextmanager
def _prism() -> Iterator[Mapping[str, Any]]:
    with prism.prism() as job_port, prism.worker_pool() as pool:
        yield {"args": list(prism.beam_args(job_port, pool.port, "--job_server_timeout=3600"))}


#: By the name of a kind of workers, what starts them and gives the config's section `beam`.
WAYS: Mapping[str, Callable[[], AbstractContextManager[Mapping[str, Any]]]] = {
    "workers": _workers,
    "pools": _pools,
    "prism": _prism,
}


@dataclasses.dataclass(frozen=True)
class Days:
    """Days of a store to run.

    Attributes:
      config: The config's file, without a section `beam`.
      data: The store's logs.
      shard_bytes: The bytes of logs to a file of examples.
      numbers: The days, one after another.
    """

    config: Path
    data: Path
    shard_bytes: int
    numbers: tuple[int, ...]

    def run(self, workspace: Path, beam: Mapping[str, Any]) -> float:
        """Runs the days in a process of their own; returns the seconds that they took."""
        config = workspace.with_suffix(".yaml")
        settings = {**yaml.safe_load(self.config.read_text()), **({"beam": dict(beam)} if beam else {})}
        config.write_text(yaml.safe_dump(settings, sort_keys=False))
        started = time.monotonic()
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as process:
            process.submit(_run, config, workspace, self).result()
        return time.monotonic() - started


def _run(config: Path, workspace: Path, days: Days) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with mock.patch.object(transforms, "SHARD_BYTES", days.shard_bytes):
        for day in days.numbers:
            done = in_process(*store.run_arguments(days.data, workspace, day, config))
            if done.returncode:
                raise RuntimeError(f"day {day} must be pushed or refused. Received: {done.stderr}")


def results(workspace: Path, days: Sequence[int]) -> dict[str, list[bytes]]:
    """Returns the contents of all files that are compared, sorted, by node and name.

    Executions have numbers, and some names have digests of the workspace's path; names are without both. The path is
    replaced in the contents, in protos too, since all workspaces' paths have one length.
    """
    place = str(workspace).encode()
    found: dict[str, list[bytes]] = {}
    for node in NODES:
        for path, content in contents(workspace / "artifacts" / node).items():
            if path.startswith(".system") or path.endswith(_GRAPH):
                continue
            name = "/".join(part for part in path.split("/") if not part.isdecimal())
            content = content.replace(place, b"*" * len(place))
            found.setdefault(f"{node}/{_DIGEST.sub('*', name)}", []).append(content)
    for path, content in contents(workspace / "serving").items():
        if "/variables/" in path:
            found[f"push/{path}"] = [content]
    for day in days:
        report = report_of(workspace, day)
        if report is not None:
            found[f"verdict of day {day}"] = [json.dumps([report[key] for key in _VERDICT]).encode()]
            for name, boundaries in transform_state_of(report).boundaries.items():
                found[f"boundaries of {name} on day {day}"] = [boundaries.tobytes()]
    return {name: sorted(each) for name, each in found.items()}


def differences(expected: Mapping[str, list[bytes]], received: Mapping[str, list[bytes]]) -> list[str]:
    """Returns one sentence for each file that is missing, unexpected, or has other contents."""
    missing = [f"{name} is missing" for name in sorted(expected.keys() - received.keys())]
    unexpected = [f"{name} is unexpected" for name in sorted(received.keys() - expected.keys())]
    common = sorted(expected.keys() & received.keys())
    return missing + unexpected + [f"{name} differs" for name in common if expected[name] != received[name]]


def fewest_files(workspace: Path) -> int:
    """Returns the smallest number of files of examples that a split of a day has."""
    folders = (workspace / "artifacts" / "example_gen" / "examples").glob("*/Split-*")
    return min(len(list(folder.iterdir())) for folder in folders)


def compare(days: Days, folder: Path, ways: Sequence[str], console: Console) -> list[str]:
    """Runs the days in one process and in the ways; returns what is wrong.

    Args:
      days: The days.
      folder: An empty folder for the workspaces.
      ways: Keys of `WAYS`.
      console: Where the table is printed.
    """
    table = Table("workers", "s", "files compared", "that differ", box=None)
    one, of_way = folder / "one".ljust(_NAME_LENGTH, "-"), {way: folder / way.ljust(_NAME_LENGTH, "-") for way in ways}
    seconds = days.run(one, {})
    expected = results(one, days.numbers)
    table.add_row("one process", f"{seconds:.0f}", f"{len(expected):,}", "")
    files = fewest_files(one)
    wrong = [f"each split must have {_MIN_FILES} files. Received: {files}"] if files < _MIN_FILES else []
    for way in ways:
        with WAYS[way]() as beam:
            seconds = days.run(of_way[way], beam)
        found = differences(expected, results(of_way[way], days.numbers))
        table.add_row(way, f"{seconds:.0f}", f"{len(expected):,}", f"{len(found):,}")
        wrong += [f"{way}: {each}" for each in found]
    console.print(table)
    return wrong


def main() -> None:
    """Prints the table, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, default=100_000, help="of each day")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--hot", action="store_true", help="a hot user and a hot app")
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "even"
        simulate(
            data,
            num_days=len(_DAYS),
            impressions_per_day=args.impressions,
            num_users=args.impressions // 20,
            num_apps=2000,
        )
        if args.hot:
            for day in _DAYS:
                rewrite_day(data, folder / "hot", day, _HOT)
            data = folder / "hot"
        config = yaml.safe_load(_SHIPPED.read_text())
        config["sources"]["installs"]["late_labels"] = True
        (folder / "store.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        wrong = compare(Days(folder / "store.yaml", data, 1_000_000, _DAYS), folder, args.ways, console)
    for each in wrong[:20]:
        console.print(each, highlight=False)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
