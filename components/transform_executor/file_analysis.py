"""Analyzes one file of examples: what a worker does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.examples.reading import example_batches
from components.transform_executor import states
from components.transform_executor.batches import BATCH_SIZE, split_by_combinations
from components.transform_executor.token_counts import TokenCounter
from components.transform_executor.traced_graph import (
    AnalysisFunction,
    Analyzer,
    Combined,
    TracedGraph,
    Vocabulary,
    analysis_function,
)


@dataclasses.dataclass(frozen=True)
class AnalysisTask:
    """A file to analyze.

    Attributes:
      file: The file of examples.
      paths: Where the state of each analyzer is written, by the analyzer's place in its phase.
      scratch: The path of temporary files, to which something is added; its folder exists.
    """

    file: str
    paths: Mapping[int, str]
    scratch: str


class FileAnalysis:
    """Writes the states of files for the analyzers of a phase.

    It holds, for each vocabulary, the tokens that `TokenCounter` holds, and a sketch or three numbers for each other
    analyzer.

    Args:
      traced_graph: The graph.
      phase: The analyzers.
      feature_spec: How the examples are parsed.
      known: The results of earlier phases, by the names of the tensors that they replace.
      crossed: The lists of each cross of more than one list.
    """

    def __init__(
        self,
        traced_graph: TracedGraph,
        phase: Sequence[Analyzer],
        feature_spec: Mapping[str, Any],
        known: Mapping[str, np.ndarray],
        crossed: Sequence[Sequence[str]],
    ) -> None:
        self._graph, self._phase, self._feature_spec = traced_graph, phase, feature_spec
        self._known, self._crossed = known, crossed
        self._functions: dict[tuple[int, ...], AnalysisFunction] = {}

    def __call__(self, task: AnalysisTask) -> None:
        """Writes the tokens' counts, the sketches and the moments of a file, in one pass over its batches."""
        places = tuple(task.paths)
        analyzers = [self._phase[place] for place in places]
        if places not in self._functions:
            self._functions[places] = analysis_function(self._graph, analyzers, self._feature_spec, self._known)
        path_of = {a.key: task.paths[place] for place, a in zip(places, analyzers, strict=True)}
        counters = {a.key: TokenCounter(f"{task.scratch}-{a.key}") for a in analyzers if isinstance(a, Vocabulary)}
        combined = {a.key: a for a in analyzers if isinstance(a, Combined)}
        found = {key: a.combiner.create_accumulator() for key, a in combined.items()}
        batches = split_by_combinations(example_batches([task.file], BATCH_SIZE), self._crossed)
        for values in self._functions[places](batches):
            for key, counter in counters.items():
                counter.add(*values[key])
            for key, analyzer in combined.items():
                found[key] = analyzer.combiner.add_input(found[key], values[key])
        for key, counter in counters.items():
            counter.write(path_of[key])
        for key, analyzer in combined.items():
            states.write(analyzer, found[key], path_of[key])
