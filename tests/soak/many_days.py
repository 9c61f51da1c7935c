"""Small days one after another, each run and then cleaned up, as a schedule would do for years.

    python -m tests.soak.many_days [--days 30] [--keep-runs 3]

Reports for each day how much disk the workspace takes and how long the day's run has spent in ML Metadata. Then the
third day and the last one are run again, alternately, a few times, each from a copy of the workspace before that day.
Exits with code 1 if a day is not pushed, does not build on the day before, or leaves a running execution; if disk use
grows once runs and versions are removed as fast as they come; or if the last day spends more than 1.5 × the third day's
time in ML Metadata, by the medians of those runs. Time is processor time, which ML Metadata on a file takes in this
process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
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
from transform.config.config_file import load_config

_MB = 2**20

#: The maximum disk use of the last day, relative to the first day on which runs were removed.
_MAX_GROWTH = 1.1

#: The maximum time of the last day in ML Metadata, relative to the compared day's, and how often both days are rerun.
_MAX_TIME_RATIO = 1.5
_COMPARED_DAY = 3
_NUM_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Day:
    """The result of a day's run.

    Attributes:
      span: The day.
      version: The pushed version; None if nothing was pushed.
      is_warm: Whether it was warm-started from a model of the day before.
      disk_mb: The workspace's size after the clean-up, without ML Metadata's own file.
      metadata_mb: The size of that file.
      num_calls: The number of calls of ML Metadata in the run.
      metadata_seconds: The processor time of these calls.
      metadata_wall_seconds: Their wall time, including waits for other work on the machine.
      num_running: The number of executions left running.
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
    """Records the processor seconds and the wall seconds of each call of ML Metadata in this context."""
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


def timed_run(folder: Path, span: int) -> list[tuple[float, float]]:
    """Runs a day; returns its calls of ML Metadata, as `timed_calls` records them."""
    with timed_calls() as seconds:
        done = in_process(*store.run_arguments(folder / "data", folder / "workspace", span))
    assert done.returncode == 0, done.stderr
    return seconds


def run_day(folder: Path, span: int, keep_runs: int) -> Day:
    """Simulates a day, runs it, and cleans up."""
    workspace = folder / "workspace"
    store.wdr_ok(
        "simulate", "--out", folder / "data", "--first-day", str(span), "--days", "1", "--impressions-per-day", "2000",
        "--users", "200", "--apps", "100",
    )  # fmt: skip
    return cleaned_up(workspace, span, timed_run(folder, span), keep_runs)


def cleaned_up(workspace: Path, span: int, seconds: Sequence[tuple[float, float]], keep_runs: int) -> Day:
    """Cleans up after a day's run, whose calls of ML Metadata took these seconds."""
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
    """The violated requirements, one sentence each."""
    found = [f"day {d.span} must push version {d.span}. Received: {d.version}" for d in days if d.version != d.span]
    found += [f"day {day.span} must start from the day before" for day in days[1:] if not day.is_warm]
    found += [f"day {day.span} leaves {day.num_running} running executions" for day in days if day.num_running]
    num_transferred = max(keep_runs, load_config(store.CONFIG).push.num_kept_versions)
    first, last = days[min(num_transferred, len(days) - 1)], days[-1]
    if last.disk_mb > first.disk_mb * _MAX_GROWTH:
        found.append(f"the disk's use must be flat. Received: {first.disk_mb:.1f} MB, then {last.disk_mb:.1f} MB")
    return found


def run_days(folder: Path, spans: Iterable[int], compared: Sequence[int], keep_runs: int) -> list[Day]:
    """Runs days, and keeps a copy of the workspace before each day to be compared."""
    days = []
    for span in spans:
        if span in compared:
            shutil.copytree(folder / "workspace", folder / f"before-{span}")
        days.append(run_day(folder, span, keep_runs))
    return days


def run_again(folder: Path, compared: Sequence[int], num_rounds: int) -> dict[int, list[float]]:
    """Runs days alternately, each from its copied workspace; returns each run's seconds in ML Metadata, by day."""
    found: dict[int, list[float]] = {span: [] for span in compared}
    for span in list(compared) * num_rounds:
        shutil.rmtree(folder / "workspace")  # in the same place, because ML Metadata stores absolute paths
        shutil.copytree(folder / f"before-{span}", folder / "workspace")
        found[span].append(sum(processor for processor, _ in timed_run(folder, span)))
    return found


def ratio_of(seconds: dict[int, list[float]]) -> float:
    """The last compared day's time in ML Metadata relative to the first one's, by their medians."""
    first, last = min(seconds), max(seconds)
    return statistics.median(seconds[last]) / statistics.median(seconds[first])


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
    parser.add_argument("--days", type=int, default=30, help=f"More than {_COMPARED_DAY}.")
    parser.add_argument("--keep-runs", type=int, default=3)
    options = parser.parse_args()
    if options.days <= _COMPARED_DAY:
        parser.error(f"--days must be more than {_COMPARED_DAY}. Received: {options.days}")
    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console) as progress:
        spans = progress.track(range(1, options.days + 1), description="days")
        compared = [_COMPARED_DAY, options.days]
        days = run_days(Path(folder), spans, compared, options.keep_runs)
        seconds = run_again(Path(folder), compared, _NUM_ROUNDS)
    console.print(table_of(days))
    for span, times in seconds.items():
        console.print(f"day {span} again: {', '.join(f'{t:.2f}' for t in times)} s of the processor in ML Metadata")
    console.print(f"ratio of the medians: {(ratio := ratio_of(seconds)):.2f}")
    found = problems(days, options.keep_runs)
    if ratio > _MAX_TIME_RATIO:
        found.append(f"a run must be in ML Metadata at most {_MAX_TIME_RATIO} times as long. Received: {ratio:.2f}")
    for problem in found:
        console.print(f"[red]{problem}[/red]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
