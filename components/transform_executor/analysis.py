"""Computes the analyzers of `preprocessing_fn` from files of examples: each file, each span, then all together."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from components import storage
from components.transform_executor import states
from components.transform_executor.file_analysis import AnalysisTask, FileAnalysis
from components.transform_executor.traced_graph import Analyzer, TracedGraph, find_results
from transform.errors import InputError


class AnalysisCache:
    """What analysis found in single spans: files in a folder per span, named by what they hold.

    Args:
      folder: The folder of this run's results.
      earlier: The folder of an earlier run's; None if there is none.
      code: The fingerprint of the code and the libraries, of which results are taken over only from the same.
    """

    def __init__(self, folder: str, earlier: str | None, code: str = "") -> None:
        self._folder = folder
        self._earlier = earlier
        self._code = code

    def take_over(self, span: str, key: str, check: Callable[[str], object]) -> bool:
        """Takes over a result of the earlier run, as a hard link if possible.

        Args:
          span: The span.
          key: The result's key.
          check: Called with the result's path; raises InputError if it is damaged.

        Returns:
          Whether there is a result that is not damaged.
        """
        if self._earlier is None:
            return False
        path = self._path_in(self._earlier, span, key)
        if not storage.exists(path):
            return False
        try:
            check(path)
        except InputError as error:
            logging.warning("a span is analyzed again, since a result of an earlier run is damaged: %s", error)
            return False
        storage.copy_file(path, self.path(span, key), link=True)
        return True

    def path(self, span: str, key: str) -> str:
        """Returns the path of a result of this run."""
        return self._path_in(self._folder, span, key)

    def _path_in(self, folder: str, span: str, key: str) -> str:
        of_span = hashlib.sha256(f"{self._code}\0{span}".encode()).hexdigest()
        return os.path.join(folder, "spans", of_span, key)


#: Analyzes files for a phase, given its number and the results of earlier phases, if there are workers for them.
#: Returns whether it did.
OnWorkers = Callable[[int, Mapping[str, np.ndarray], Sequence[AnalysisTask]], bool]


def analyze(
    traced_graph: TracedGraph,
    feature_spec: Mapping[str, Any],
    spans: Mapping[str, Sequence[str]],
    cache: AnalysisCache,
    scratch: str,
    crossed: Sequence[Sequence[str]] = (),
    on_workers: OnWorkers = lambda phase, known, tasks: False,
) -> dict[str, tf.Tensor]:
    """Computes all analyzers: the states of single files, merged into one of each span, and these into the results.

    So the results depend on the files and their order only, not on who analyzes which file.

    Args:
      traced_graph: The graph.
      feature_spec: How the examples are parsed.
      spans: The files of examples by span, both in the order in which they are merged. A span's name, such as the
        examples' folder, stands for its rows: the cache has its results under this name.
      cache: The results of earlier runs, and the place for this run's.
      scratch: A folder for the vocabulary files, and for temporary files.
      crossed: The lists of each cross of more than one list.
      on_workers: Analyzes files if there are workers for them; else this process does.

    Returns:
      The results by the names of the tensors that they replace.
    """
    known: dict[str, np.ndarray] = {}
    for number, phase in enumerate(traced_graph.phases):
        folder = os.path.join(scratch, f"phase-{number}")
        # What depends on results of the whole window is of this run only.
        store = cache if number == 0 else AnalysisCache(folder, None)
        missing = _missing(phase, spans, store, os.path.join(folder, "files"))
        tasks = [task for of_span in missing for task in of_span.tasks]
        if not on_workers(number, known, tasks):
            analysis = FileAnalysis(traced_graph, phase, feature_spec, known, crossed)
            for task in tasks:
                analysis(task)
        for of_span in missing:
            of_span.merge(phase)
        for analyzer in phase:
            known |= states.results(analyzer, [store.path(span, analyzer.key) for span in spans], scratch)
    dtypes = {r.name: r.dtype for phase in traced_graph.phases for a in phase for r in find_results(a)}
    return {name: tf.constant(value, dtypes[name]) for name, value in known.items()}


@dataclasses.dataclass(frozen=True)
class _MissingSpan:
    """What a store has not of a span.

    Attributes:
      paths: Where the span's states belong, by the analyzers' places in their phase.
      tasks: Its files, in their order; a single file's states are the span's.
    """

    paths: Mapping[int, str]
    tasks: Sequence[AnalysisTask]

    def merge(self, phase: Sequence[Analyzer]) -> None:
        """Merges the states of several files."""
        if len(self.tasks) > 1:
            for place, path in self.paths.items():
                states.merge(phase[place], [task.paths[place] for task in self.tasks], path)


def _missing(
    phase: Sequence[Analyzer], spans: Mapping[str, Sequence[str]], store: AnalysisCache, folder: str
) -> list[_MissingSpan]:
    """Returns what the store has not, and cannot take over; makes the folders that the states' files need."""
    # Analyzers of the same numbers, such as a mean and a variance, have one key.
    places = {analyzer.key: place for place, analyzer in enumerate(phase)}
    tf.io.gfile.makedirs(folder)
    found = []
    for number, (span, files) in enumerate(spans.items()):
        paths = {
            place: store.path(span, key)
            for key, place in places.items()
            if not store.take_over(span, key, functools.partial(states.check, phase[place]))
        }
        if not paths:
            continue
        for path in paths.values():
            tf.io.gfile.makedirs(os.path.dirname(path))
        tasks = []
        for at, file in enumerate(files):
            begin = os.path.join(folder, f"{number}-{at}")
            tasks.append(AnalysisTask(file, {p: f"{begin}-{p}" for p in paths} if len(files) > 1 else paths, begin))
        found.append(_MissingSpan(paths, tasks))
    return found
