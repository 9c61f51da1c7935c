"""Small days one after another, each run and then cleaned up after, as a schedule would for years.

    python -m tests.soak.many_days [--days 30] [--keep-runs 3]

Says for each day how much disk the workspace takes and how long the day's run has spent in ML Metadata. Ends with exit
code 1 if a day is not pushed, builds on another than the day before, or leaves a running execution; if the disk's use
grows once runs and versions are removed as fast as they come; or if the last day spends more in ML Metadata than 1.5 ×
the third. Time is the processor's: ML Metadata's file takes it in this process, and other work does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tfx.orchestration import metadata

from pipeline.workspace import Workspace
from tests.e2e import store
from tests.e2e.bad_store import in_process
from transform.config import load_config

_MB = 2**20

#: How much more disk the last day may take than the first one at which runs were removed.
_MAX_GROWTH = 1.1

#: How much longer the last day may be in ML Metadata than the third.
_MAX_TIME_RATIO = 1.5


@dataclasses.dataclass(frozen=True)
class Day:
    """What a day's run left.

    Attributes:
      span: The day.
      version: What it pushed; None if nothing.
      is_warm: Whether it began with a model of the day before.
      disk_mb: What the workspace takes after the clean-up, but for ML Metadata's own file.
      metadata_mb: That file.
      num_calls: How often the run called ML Metadata.
      metadata_seconds: The processor's time that these took.
      metadata_wall_seconds: How long it waited for them, other work on the machine included.
      num_running: Executions left running.
    """

    span: int
    version: int | None
    is_warm: bool
    disk_mb: float
    metadata_mb: float
    num_calls: int
    metadata_seconds: float
    metadata_wall_seconds: float
    num_running: int


@contextlib.contextmanager
def timed_calls() -> Iterator[list[tuple[float, float]]]:
    """Of each call of ML Metadata from here on, the seconds of the processor, and those on the wall."""
    seconds: list[tuple[float, float]] = []
    call = mlmd.MetadataStore._call_method

    def timed(self: mlmd.MetadataStore, *arguments: object) -> None:
        started, started_wall = time.thread_time(), time.perf_counter()
        try:
            call(self, *arguments)
        finally:
            seconds.append((time.thread_time() - started, time.perf_counter() - started_wall))

    with mock.patch.object(mlmd.MetadataStore, "_call_method", timed):
        yield seconds


def run_day(folder: Path, span: int, keep_runs: int) -> Day:
    """Simulates a day, runs it, and cleans up."""
    data, workspace = folder / "data", folder / "workspace"
    store.wdr_ok(
        "simulate", "--out", data, "--first-day", str(span), "--days", "1", "--impressions-per-day", "2000",
        "--users", "200", "--apps", "100",
    )  # fmt: skip
    with timed_calls() as seconds:
        done = in_process(*store.run_arguments(data, workspace, span))
    assert done.returncode == 0, done.stderr
    report = store.last_report(workspace)
    cleaned = in_process("gc", "--workspace", workspace, "--keep-runs", str(keep_runs))
    assert cleaned.returncode == 0, cleaned.stderr
    with metadata.Metadata(Workspace.at(workspace).metadata_connection()) as handle:
        states = [execution.last_known_state for execution in handle.store.get_executions()]
    metadata_bytes = _num_bytes(workspace / "metadata")
    return Day(
        span=span,
        version=report["version"],
        is_warm=report["training"]["warm_started_from"] is not None,
        disk_mb=(_num_bytes(workspace) - metadata_bytes) / _MB,
        metadata_mb=metadata_bytes / _MB,
        num_calls=len(seconds),
        metadata_seconds=sum(processor for processor, _ in seconds),
        metadata_wall_seconds=sum(wall for _, wall in seconds),
        num_running=states.count(metadata_store_pb2.Execution.RUNNING),
    )


def _num_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def problems(days: Sequence[Day], keep_runs: int) -> list[str]:
    """What is not as it must be, a sentence each."""
    found = [f"day {d.span} must push version {d.span}. Received: {d.version}" for d in days if d.version != d.span]
    found += [f"day {day.span} must start from the day before" for day in days[1:] if not day.is_warm]
    found += [f"day {day.span} leaves {day.num_running} running executions" for day in days if day.num_running]
    num_kept = max(keep_runs, load_config(store.CONFIG).push.keep_versions)
    first, last = days[min(num_kept, len(days) - 1)], days[-1]
    if last.disk_mb > first.disk_mb * _MAX_GROWTH:
        found.append(f"the disk's use must be flat. Received: {first.disk_mb:.1f} MB, then {last.disk_mb:.1f} MB")
    third = days[min(2, len(days) - 1)]
    if last.metadata_seconds > third.metadata_seconds * _MAX_TIME_RATIO:
        waits = f"{third.metadata_seconds:.2f} s on day {third.span}, {last.metadata_seconds:.2f} s on day {last.span}"
        found.append(f"a run must be in ML Metadata at most {_MAX_TIME_RATIO} times as long. Received: {waits}")
    return found


def table_of(days: Sequence[Day]) -> Table:
    """The days as a table."""
    table = Table("day", "version", "disk MB", "metadata MB", "calls", "processor s in ML Metadata", "wall s")
    for day in days:
        table.add_row(
            str(day.span), str(day.version), f"{day.disk_mb:.1f}", f"{day.metadata_mb:.2f}", str(day.num_calls),
            f"{day.metadata_seconds:.2f}", f"{day.metadata_wall_seconds:.2f}",
        )  # fmt: skip
    return table


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--keep-runs", type=int, default=3)
    options = parser.parse_args()
    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console) as progress:
        spans = progress.track(range(1, options.days + 1), description="days")
        days = [run_day(Path(folder), span, options.keep_runs) for span in spans]
    console.print(table_of(days))
    for problem in (found := problems(days, options.keep_runs)):
        console.print(f"[red]{problem}[/red]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
