"""Does work on files one by one: on Beam's workers, or in the process itself where there are none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam as beam
import tensorflow as tf

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from transform.config.beam import has_workers


class FileWork(Protocol):
    """Work on single files; a worker gets it pickled."""

    def begin(self) -> Callable[[Any], None]:
        """Loads what the work on all files needs; returns the function of a file's task."""


@contextlib.contextmanager
def scratch_folder(output: str) -> Iterator[str]:
    """Yields a new folder below an artifact's, for what tasks leave to the node; it is removed at the end.

    After an error it stays: TFX removes the outputs of a node that fails.
    """
    folder = os.path.join(output, ".scratch")
    tf.io.gfile.makedirs(folder)
    yield folder
    tf.io.gfile.rmtree(folder)


class _Do(beam.DoFn):  # type: ignore[misc]
    def __init__(self, work: FileWork) -> None:
        self._work = work

    def setup(self) -> None:
        self._do = self._work.begin()

    def process(self, task: Any) -> None:
        self._do(task)


def shares_work(executor: BaseBeamExecutor, tasks: Sequence[Any]) -> bool:
    """Returns whether an executor's tasks go to workers: it has some, and there are several tasks."""
    # As TFX 1.21.0's own executors read their options; there is no public name for it, nor for the pipeline.
    return len(tasks) > 1 and has_workers(executor._beam_pipeline_args)


def on_workers(executor: BaseBeamExecutor, work: FileWork, tasks: Sequence[Any]) -> None:
    """Does work on the workers of an executor.

    Args:
      executor: The node's executor.
      work: The work.
      tasks: A task for each file. Results are files too: what a task writes must not depend on who does it.
    """
    with executor._make_beam_pipeline() as pipeline:
        # `Create` reshuffles, so that each worker has some of the tasks.
        _ = pipeline | "Files" >> beam.Create(tasks) | beam.ParDo(_Do(work))


def do_on_files(executor: BaseBeamExecutor, work: FileWork, tasks: Sequence[Any]) -> None:
    """Does work on an executor's workers, or here if `shares_work` says so; arguments are those of `on_workers`."""
    if shares_work(executor, tasks):
        on_workers(executor, work, tasks)
        return
    do = work.begin()
    for task in tasks:
        do(task)
