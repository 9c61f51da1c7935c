"""Runs the tasks of a compiled pipeline as a scheduler does, each in a process of its own, and measures each."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from pipeline.compile.compiled import write_compiled
from transform.config.config import Config

_SECONDS_BETWEEN_SAMPLES = 0.2


class Task(NamedTuple):
    """A task that ran.

    Attributes:
      nodes: Its nodes.
      seconds: Its time on a clock.
      user: The user time of its process and of that process's children, in seconds.
      system: Their system time, in seconds.
      largest: The resident memory of the largest of its processes at any time, in bytes.
      together: That of all its processes together, at most; pages that they share count for each.
    """

    nodes: tuple[str, ...]
    seconds: float
    user: float
    system: float
    largest: int
    together: int


class CompiledDays:
    """A compiled pipeline in a workspace of its own.

    Attributes:
      workspace: The workspace.
      planned: The nodes of each task of a day.
      tasks: The tasks that ran, by span.
    """

    def __init__(self, config: Config, folder: Path, data: Path, *, group: bool) -> None:
        self.workspace = folder / "workspace"
        self.tasks: dict[int, list[Task]] = {}
        self._compiled = folder / "compiled"
        self.planned: Sequence[tuple[str, ...]] = write_compiled(config, self._compiled, group=group).tasks
        self._environment = {**os.environ, "WDR_DATA": str(data), "WDR_WORKSPACE": str(self.workspace)}
        self._environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        self._log = folder / "log.txt"

    def run_next(self, span: int) -> bool:
        """Runs the next task of a span; returns whether there was one."""
        done = self.tasks.setdefault(span, [])
        if len(done) == len(self.planned):
            return False
        done.append(self._run(self.planned[len(done)], span))
        return True

    def _run(self, nodes: tuple[str, ...], span: int) -> Task:
        words = [word for node in nodes for word in ("--node", node)]
        command = [sys.executable, "-m", "pipeline.cli", "run-node", "--compiled", str(self._compiled), *words]
        environment = {**self._environment, "WDR_SPAN": str(span), "WDR_RUN_ID": f"day-{span}"}
        largest = together = 0
        started, before = time.perf_counter(), os.times()
        with self._log.open("a", encoding="utf-8") as log:
            process = psutil.Popen(command, env=environment, stdout=log, stderr=log)
            while process.poll() is None:
                sizes = list(_sizes(process))
                largest, together = max([largest, *sizes]), max(together, sum(sizes))
                time.sleep(_SECONDS_BETWEEN_SAMPLES)
        seconds, after = time.perf_counter() - started, os.times()
        if process.returncode:
            text = self._log.read_text(encoding="utf-8")
            raise SystemExit(f"{', '.join(nodes)} of span {span} ended with {process.returncode}:\n{text[-4000:]}")
        user, system = after.children_user - before.children_user, after.children_system - before.children_system
        return Task(nodes, seconds, user, system, largest, together)


def _sizes(process: psutil.Process) -> Iterator[int]:
    """Yields the resident memory of a process and of each of its descendants, in bytes."""
    with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                yield each.memory_info().rss
