"""Runs Transform's work on files on Beam's workers; without workers, the executor does the same work in a loop."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import tensorflow_transform as tft

from components.transform_executor.file_analysis import AnalysisTask, FileAnalysis
from components.transform_executor.given import Given
from components.transform_executor.materialization import FileTransform, Materialization
from components.transform_executor.traced_graph import traced, type_specs


class Work(Protocol):
    """Work on single files; a worker gets it pickled."""

    def begin(self) -> Callable[[Any], None]:
        """Loads what the work on all files needs; returns the function of a file's task."""


@dataclasses.dataclass(frozen=True)
class AnalyzeFiles:
    """Analyzes files for the analyzers of a phase.

    Attributes:
      given: What defines the transformation.
      phase: The phase's number.
      known: The results of earlier phases, by the names of the tensors that they replace.
    """

    given: Given
    phase: int
    known: Mapping[str, np.ndarray]

    def begin(self) -> Callable[[AnalysisTask], None]:
        parsing, function = self.given.parsing(), self.given.function(self.given.memory())
        with tempfile.TemporaryDirectory() as scratch:
            graph = traced(function, type_specs(parsing), scratch)
        crossed = self.given.spec().crossed_lists()
        return FileAnalysis(graph, graph.phases[self.phase], parsing, self.known, crossed)


@dataclasses.dataclass(frozen=True)
class TransformFiles:
    """Transforms files.

    Attributes:
      given: What defines the transformation.
      graph: The folder of the transform graph.
    """

    given: Given
    graph: str

    def begin(self) -> FileTransform:
        spec = self.given.spec()
        output = tft.TFTransformOutput(self.graph)
        return FileTransform(Materialization(output, self.given.parsing(), spec.crossed_lists()), spec)


class _Do(beam.DoFn):  # type: ignore[misc]
    def __init__(self, work: Work) -> None:
        self._work = work

    def setup(self) -> None:
        self._do = self._work.begin()

    def process(self, task: Any) -> None:
        self._do(task)


def on_workers(pipeline: beam.Pipeline, work: Work, tasks: Sequence[Any]) -> None:
    """Runs a pipeline that does some work on files.

    Args:
      pipeline: The pipeline.
      work: The work.
      tasks: A task for each file.
    """
    with pipeline:
        _ = (
            pipeline | "Files" >> beam.Create(tasks) | beam.ParDo(_Do(work))
        )  # it reshuffles, so that each worker has some
