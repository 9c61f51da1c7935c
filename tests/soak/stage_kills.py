"""Kills single tasks with SIGKILL inside the stages that write scratch files, and starts each again.

    python -m tests.soak.stage_kills [--impressions 20000]

Of two stores, one with late labels, a day's tasks are run one after another, as by a scheduler. Before a task with
moments, the workspace is copied once per moment; in the copy the task is killed at the moment, and the same command is
given again. It must complete and leave the files that the task leaves when nobody kills it: no scratch, neither in the
workspace nor in the folder of temporary files, and no process. `tests.soak.kills` kills whole runs, at random moments.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import psutil
from rich.console import Console
from rich.table import Table

from pipeline.cli.options import quiet_imports
from tests.contents import unpacked
from tests.e2e import store
from tests.e2e.own_copy import made_here

with quiet_imports():
    from pipeline.compile.compiled import write_compiled
    from tests.soak.remains import remains
    from transform.config.config_file import load_config


class Moment(NamedTuple):
    """A moment to kill.

    Attributes:
      node: The node.
      at: The name of a file (a glob) that it writes, whose appearance is the moment; or a share of the executor's time.
    """

    node: str
    at: str | float


#: On the first day of a store without late labels.
PLAIN = (
    Moment("example_gen", "rows-impressions-*"),
    Moment("example_gen", "shuffled-*"),
    Moment("example_gen", "Split-train/*"),
    Moment("statistics_gen", 0.3),
    Moment("statistics_gen", "Split-train/*"),
    Moment("transform", 0.5),
)

#: On the second day of a store with late labels; `late_labels` completes the first day's tail.
LATE = (
    Moment("example_gen", "joined-*"),
    Moment("example_gen", "open-*"),
    Moment("example_gen", "Split-eval/*"),
    Moment("late_labels", "Split-train/*"),
    Moment("transform", 0.2),
    Moment("transform", "spans/*/*"),
    Moment("transform", "transform_fn/*"),
    Moment("transform", "transformed_examples-*"),
    Moment("infra_validation", 0.3),
    Moment("infra_validation", "scores.npy"),
    Moment("progressive_validation", "scores-*"),
    Moment("evaluator", 0.4),
    Moment("evaluator", "scores-*"),
    Moment("evaluator", "metrics*"),
)

#: The nodes whose files are the same, byte by byte, if they run again, but for a graph's, whose functions TensorFlow
#: numbers anew. The dry run measures times, and an evaluation's files name the folder that they are in.
_SAME_BYTES = ("example_gen", "late_labels", "statistics_gen", "transform")
_OTHER_BYTES = "transform_fn/*.pb"

_SECONDS_BETWEEN_POLLS = 0.002

Files: TypeAlias = Mapping[Path, Sequence[str]]


class Kill(NamedTuple):
    """A kill, and what came after it.

    Attributes:
      store: The store's name.
      moment: The moment.
      seconds: Seconds since the executor's start.
      usual: The executor's usual time in seconds.
      left: The number of files that the killed task had left.
      left_in: The folders that they were in.
      problems: The violated requirements, one sentence each.
    """

    store: str
    moment: Moment
    seconds: float
    usual: float
    left: int
    left_in: tuple[str, ...]
    problems: tuple[str, ...]


class Place(NamedTuple):
    """A task in a workspace.

    Attributes:
      command: The arguments of `wdr run-node`.
      workspace: The workspace.
      temporary: The folder of temporary files.
    """

    command: tuple[str | Path, ...]
    workspace: Path
    temporary: Path

    @property
    def arguments(self) -> list[str | Path]:
        return ["run-node", *self.command, "--workspace", self.workspace]

    @property
    def environment(self) -> dict[str, str]:
        self.temporary.mkdir(exist_ok=True)
        return {"TMPDIR": str(self.temporary)}

    def files(self) -> Files:
        """The digests of the files, by their path without the numbers of executions; not those of ML Metadata."""
        found: dict[Path, list[str]] = {}
        for path in _all_below(self.workspace, "*"):
            relative = path.relative_to(self.workspace)
            if path.is_file() and relative.parts[0] not in ("metadata", ".lock", ".locks", ".claim"):
                plain = Path(*("N" if part.isdecimal() else part for part in relative.parts))
                found.setdefault(plain, []).append(hashlib.sha256(unpacked(path)).hexdigest())
        return {path: sorted(digests) for path, digests in found.items()}


def _all_below(folder: Path, pattern: str) -> set[Path]:
    """What a folder has; that of folders that are removed meanwhile may be left out."""
    found: set[Path] = set()
    with contextlib.suppress(FileNotFoundError):
        for path in folder.rglob(pattern):
            found.add(path)
    return found


def _executors(workspace: Path, node: str) -> set[Path]:
    """What a node's running executors have for themselves; TFX removes it at each executor's end."""
    return set(workspace.glob(f"artifacts/{node}/.system/executor_execution/*/*"))


class _Ready:
    """Whether a moment has come."""

    def __init__(self, place: Place, moment: Moment, usual: float) -> None:
        self._workspace, self._moment, self._usual = place.workspace, moment, usual
        self._before = self._matching()
        self.started: float | None = None

    def _matching(self) -> set[Path]:
        if not isinstance(self._moment.at, str):
            return set()
        folders = [self._workspace / name / self._moment.node for name in ("artifacts", "tmp")]
        return {path for folder in folders for path in _all_below(folder, self._moment.at)}

    @property
    def seconds(self) -> float:
        """Seconds since the executor's start."""
        return time.monotonic() - self.started if self.started else 0.0

    def __call__(self) -> bool:
        if self.started is None and _executors(self._workspace, self._moment.node):
            self.started = time.monotonic()
        if self.started is None:
            return False
        if isinstance(self._moment.at, str):
            return bool(self._matching() - self._before)
        return self.seconds >= self._moment.at * self._usual


def run_undisturbed(place: Place, nodes: Iterable[str]) -> dict[str, float]:
    """Runs a task; returns the seconds of each node's executor."""
    first, last = dict[str, float](), dict[str, float]()
    with (place.temporary.parent / "log").open("w") as log:
        process = subprocess.Popen(
            store.command(*place.arguments), cwd=store.ROOT, stdout=log, stderr=log,
            env={**os.environ, **place.environment},
        )  # fmt: skip
        while process.poll() is None:
            for node in nodes:
                if _executors(place.workspace, node):
                    last[node] = time.monotonic()
                    first.setdefault(node, last[node])
            time.sleep(_SECONDS_BETWEEN_POLLS)
    assert process.returncode == 0, Path(log.name).read_text()
    return {node: last[node] - first[node] for node in first}


def kill_and_run_again(name: str, place: Place, moment: Moment, usual: float, expected: Files) -> Kill:
    """Kills a task at a moment, and gives the same command again.

    Args:
      name: The store's name.
      place: The task, in a workspace in which it is next.
      moment: The moment.
      usual: The executor's usual time in seconds.
      expected: The workspace's files after the task, if nobody kills it.
    """
    before, ready = _written(place.workspace), _Ready(place, moment, usual)
    store.kill_when(place.arguments, place.temporary.parent / "log", ready, environment=place.environment)
    seconds = ready.seconds
    problems = [f"{process} still runs after the kill" for process in _left_alive(place)]
    if not _executors(place.workspace, moment.node):
        problems.append(f"{moment.node} must be killed before its end; it had ended")
    left = _written(place.workspace) - before
    if isinstance(moment.at, str) and not left:
        problems.append(f"the kill must come while {moment.at} is there; no file was left")
    again = store.wdr(*place.arguments, environment=place.environment)
    if again.returncode:
        problems.append(f"the same command must complete: {(again.stdout + again.stderr)[-1000:]}")
    problems += remains(place.workspace)
    problems += [f"{path} is left of a temporary folder" for path in place.temporary.iterdir()]
    problems += differences(place.files(), expected)
    folders = tuple(sorted({_folder(path.relative_to(place.workspace)) for path in left}))
    return Kill(name, moment, seconds, usual, len(left), folders, tuple(problems))


def _written(workspace: Path) -> set[Path]:
    """The files that nodes have written."""
    return {path for name in ("artifacts", "tmp") for path in _all_below(workspace / name, "*") if path.is_file()}


def _folder(path: Path) -> str:
    """What a file is of: an output, scratch, or `tmp`."""
    if path.parts[0] != "artifacts":
        return path.parts[0]
    return "scratch" if {".system", ".scratch"} & set(path.parts) else path.parts[2]


def _left_alive(place: Place) -> Sequence[psutil.Process]:
    """The processes of a killed task that do not end; each has a folder for temporary files below the task's."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(str(place.temporary.parent)):
                found.append(process)
    _, alive = psutil.wait_procs(found, timeout=30)
    return list(alive)


def differences(files: Files, expected: Files) -> list[str]:
    """The differences between a workspace's files after a killed task and after one that nobody kills."""
    found = [f"{path} is left" for path in sorted(files.keys() - expected.keys())]
    found += [f"{path} is missing" for path in sorted(expected.keys() - files.keys())]
    for path in sorted(files.keys() & expected.keys()):
        if len(files[path]) != len(expected[path]):
            found.append(f"{path} must be there {len(expected[path])} times. Received: {len(files[path])}")
        elif files[path] != expected[path] and _has_the_same_bytes(path):
            found.append(f"{path} has other bytes than after a task that nobody kills")
    return found


def _has_the_same_bytes(path: Path) -> bool:
    is_of_node = path.parts[0] == "artifacts" and path.parts[1] in _SAME_BYTES
    return is_of_node and not path.match(_OTHER_BYTES)


class Day:
    """The day of a store whose tasks are killed.

    Args:
      name: The store's name.
      folder: A folder for everything.
      config: The config's file.
      data: The logs.
      span: The day.
    """

    def __init__(self, name: str, folder: Path, config: Path, data: Path, span: int) -> None:
        self._name, self._folder = name, folder
        compiled = folder / "compiled"
        folder.mkdir()
        self._tasks = write_compiled(load_config(config), compiled, group=True).tasks
        self._command = ("--compiled", compiled, "--data", data, "--span", str(span), "--run-id", f"day-{span}")
        self.workspace = folder / "workspace"

    def _place(self, nodes: Sequence[str], folder: Path) -> Place:
        folder.mkdir(exist_ok=True)
        words = [word for node in nodes for word in ("--node", node)]
        return Place((*words, *self._command), folder / "workspace", folder / "temporary")

    def kills(self, moments: Sequence[Moment]) -> Iterator[Kill]:
        """Runs the day's tasks up to the last one with moments; kills it at each, in a copy of the workspace.

        Raises:
          ValueError: If a moment's node is in none of the day's tasks.
        """
        nodes_of_day = {node for nodes in self._tasks for node in nodes}
        if unknown := sorted({moment.node for moment in moments} - nodes_of_day):
            raise ValueError(f"a moment's node must be one of {sorted(nodes_of_day)}. Received: {unknown}")
        left = list(moments)
        for nodes in self._tasks:
            mine = [moment for moment in left if moment.node in nodes]
            before = self._folder / "before"
            if mine:
                self.workspace.mkdir(exist_ok=True)
                shutil.copytree(self.workspace, before)
            undisturbed = self._place(nodes, self._folder)
            usual = run_undisturbed(undisturbed, {moment.node for moment in mine})
            expected = undisturbed.files()
            for moment in mine:
                place = self._place(nodes, self._folder / "killed")
                shutil.copytree(before, place.workspace)
                if (place.workspace / "metadata").exists():
                    made_here(place.workspace)
                yield kill_and_run_again(self._name, place, moment, usual[moment.node], expected)
                shutil.rmtree(self._folder / "killed")
                left.remove(moment)
            if mine:
                shutil.rmtree(before)
            if not left:
                return


def table_of(kills: Sequence[Kill]) -> Table:
    """The kills as a table."""
    table = Table("", "store", "stage", "moment", "s of the executor's", "left at the kill", "left after the rerun")
    for number, kill in enumerate(kills, 1):
        at = kill.moment.at if isinstance(kill.moment.at, str) else f"at {kill.moment.at:.0%}"
        left = f"{kill.left} files: {', '.join(kill.left_in)}" if kill.left else "nothing"
        after = "; ".join(kill.problems) or "nothing"
        seconds = f"{kill.seconds:.2f} of {kill.usual:.2f}"
        table.add_row(str(number), kill.store, kill.moment.node, at, seconds, left, after)
    return table


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--impressions", type=int, default=20_000)
    arguments = parser.parse_args()
    folder, console = Path(tempfile.mkdtemp(prefix="stage-kills-")), _console()
    data = store.simulate(folder / "data", days=2, impressions=arguments.impressions)
    plain = Day("plain", folder / "plain", store.CONFIG, data, 1)
    config = store.with_late_labels(folder / "late.yaml")
    late = Day("late labels", folder / "late", config, data, 2)
    kills = []
    for day, moments in ((plain, PLAIN), (late, LATE)):
        if day is late:
            store.wdr_ok(*store.run_arguments(data, late.workspace, 1, config))
        for kill in day.kills(moments):
            kills.append(kill)
            console.print(f"{kill.store}: {kill.moment.node}, {kill.moment.at}: {'; '.join(kill.problems) or 'good'}")
    console.print(table_of(kills))
    if any(kill.problems for kill in kills):
        console.print(f"what it left: {folder}")
        return 1
    shutil.rmtree(folder)
    console.print(f"{len(kills)} kills: every task completed when it was started again, and left what it always leaves")
    return 0


if __name__ == "__main__":
    sys.exit(main())
