"""Transform's work on files, as a worker begins it (`components.examples.file_work`)."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow_transform as tft

from components.transform_executor.file_analysis import AnalysisTask, FileAnalysis
from components.transform_executor.given import Given
from components.transform_executor.materialization import FileTransform, Materialization
from components.transform_executor.traced_graph import traced, type_specs


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
