"""Computes the analyzers of `preprocessing_fn` from files of examples: each span by itself, then all together."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf
from absl import logging
from tensorflow_transform import analyzers
from tfx_bsl import sketches

from components import storage
from components.examples.reading import example_batches
from components.transform_executor import token_counts
from components.transform_executor.batches import BATCH_SIZE, split_by_combinations
from components.transform_executor.token_counts import CountsFile, TokenCounter
from components.transform_executor.traced_graph import (
    AnalysisFunction,
    Analyzer,
    Combined,
    TracedGraph,
    Vocabulary,
    analysis_function,
    find_results,
)
from transform.errors import InputError
from transform.files.tfrecords import masked_checksum

#: Tokens that are written to a vocabulary's file at once.
_TOKENS_AT_ONCE = 100_000


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


#: The bytes of a state's checksum, before the state.
_CHECKSUM_BYTES = 4


def _read(path: str) -> bytes:
    """Reads a state; raises InputError if its checksum is wrong: a sketch can be read from a part of its bytes."""
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    checksum, state = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    if checksum != masked_checksum(state):
        raise InputError(f"the state of a sketch or of moments must have its checksum. Received: another ({path})")
    return state


def _write(path: str, state: bytes) -> None:
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(masked_checksum(state) + state)


def _check_counts(path: str) -> None:
    with CountsFile(path) as file:
        file.check()


def analyze(
    traced_graph: TracedGraph,
    feature_spec: Mapping[str, Any],
    spans: Mapping[str, Sequence[str]],
    cache: AnalysisCache,
    scratch: str,
    crossed: Sequence[Sequence[str]] = (),
) -> dict[str, tf.Tensor]:
    """Computes all analyzers.

    Args:
      traced_graph: The graph.
      feature_spec: How the examples are parsed.
      spans: The files of examples by span, in the order in which spans are merged. A span's name, such as the examples'
        folder, stands for its rows: the cache has its results under this name.
      cache: The results of earlier runs, and the place for this run's.
      scratch: A folder for the vocabulary files, and for temporary files.
      crossed: The lists of each cross of more than one list.

    Returns:
      The results by the names of the tensors that they replace.
    """
    known: dict[str, np.ndarray] = {}
    for number, phase in enumerate(traced_graph.phases):
        # What depends on results of the whole window is of this run only.
        store = cache if number == 0 else AnalysisCache(os.path.join(scratch, f"phase-{number}"), None)
        _analyze_spans(traced_graph, phase, feature_spec, spans, store, scratch, known, crossed)
        for analyzer in phase:
            known |= _result(analyzer, [store.path(span, analyzer.key) for span in spans], scratch)
    dtypes = {r.name: r.dtype for phase in traced_graph.phases for a in phase for r in find_results(a)}
    return {name: tf.constant(value, dtypes[name]) for name, value in known.items()}


def _analyze_spans(
    traced_graph: TracedGraph,
    phase: Sequence[Analyzer],
    feature_spec: Mapping[str, Any],
    spans: Mapping[str, Sequence[str]],
    store: AnalysisCache,
    scratch: str,
    known: Mapping[str, np.ndarray],
    crossed: Sequence[Sequence[str]],
) -> None:
    """Computes what the store has not: each span's counts and sketches for the analyzers of a phase."""
    functions: dict[tuple[str, ...], AnalysisFunction] = {}
    by_key = {a.key: a for a in phase}  # analyzers of the same numbers, such as a mean and a variance, have one key
    for span, files in spans.items():
        missing = [
            a
            for key, a in by_key.items()
            if not store.take_over(span, key, _check_counts if isinstance(a, Vocabulary) else _read)
        ]
        if missing:
            keys = tuple(a.key for a in missing)
            if keys not in functions:
                functions[keys] = analysis_function(traced_graph, missing, feature_spec, known)
            paths = {a.key: store.path(span, a.key) for a in missing}
            for path in paths.values():
                tf.io.gfile.makedirs(os.path.dirname(path))
            batches = split_by_combinations(example_batches(files, BATCH_SIZE), crossed)
            _analyze_span(functions[keys], missing, batches, paths, scratch)


def _analyze_span(
    function: AnalysisFunction,
    missing: Sequence[Analyzer],
    batches: Iterable[tf.Tensor],
    paths: Mapping[str, str],
    scratch: str,
) -> None:
    """Writes the tokens' counts, the sketches and the moments of a span by their keys, in one pass over its batches."""
    counters = {a.key: TokenCounter(os.path.join(scratch, a.key)) for a in missing if isinstance(a, Vocabulary)}
    combiners = {a.key: a.combiner for a in missing if isinstance(a, Combined)}
    found = {key: combiner.create_accumulator() for key, combiner in combiners.items()}
    for values in function(batches):
        for key, counter in counters.items():
            counter.add(*values[key])
        for key, combiner in combiners.items():
            found[key] = combiner.add_input(found[key], values[key])
    for key, counter in counters.items():
        counter.write(paths[key])
    for key, combiner in combiners.items():
        _write(paths[key], _STATES[type(combiner)].save(combiner, found[key]))


# tf.Transform 1.21.0 has Beam combine the batches of a dataset with a fan-out, and then those of all datasets. A sketch
# is compacted after a bundle's values, and merged into an empty one twice; both change what it approximates. A mean and
# a variance differ by rounding alone, at 1e-12 of their size, from those of another order of batches.


class _States(NamedTuple):
    """How a combiner's states are stored.

    Attributes:
      save: Returns the state of a span, given the combiner and what it accumulated of the span's values.
      merge: Returns the results, given the combiner and the states of all spans.
    """

    save: Callable[[Any, Any], bytes]
    merge: Callable[[Any, Iterable[bytes]], Sequence[np.ndarray]]


def _save_sketch(combiner: analyzers.QuantilesCombiner, of_values: sketches.QuantilesSketch) -> bytes:
    """Returns a serialized message: tfx-bsl 1.21.0 has it for `pickle`, which this does not use."""
    merged = combiner.merge_accumulators([combiner.create_accumulator(), combiner.compact(of_values)])
    state: bytes = combiner.compact(merged).__getstate__()
    return state


def _merge_sketches(combiner: analyzers.QuantilesCombiner, of_spans: Iterable[bytes]) -> Sequence[np.ndarray]:
    merged = combiner.create_accumulator()
    for state in of_spans:
        sketch = sketches.QuantilesSketch.__new__(sketches.QuantilesSketch)
        sketch.__setstate__(state)
        merged = combiner.merge_accumulators([merged, sketch])
    boundaries: Sequence[np.ndarray] = combiner.extract_output(combiner.compact(merged))
    return boundaries


#: The state of moments: how many values, their mean and their variance; 64-bit floats, little-endian.
_MOMENTS = struct.Struct("<3d")


def _save_moments(combiner: analyzers.WeightedMeanAndVarCombiner, accumulator: tuple[np.ndarray, ...]) -> bytes:
    return _MOMENTS.pack(*(value.item() for value in accumulator[:3]))


def _merge_moments(combiner: analyzers.WeightedMeanAndVarCombiner, of_spans: Iterable[bytes]) -> Sequence[np.ndarray]:
    merged = combiner.create_accumulator()
    for state in of_spans:
        # The last entry is a weight, which a combiner without weights does not read.
        of_span = combiner.accumulator_class(*map(np.array, _MOMENTS.unpack(state)), merged.weight)
        merged = combiner.merge_accumulators([merged, of_span])
    extracted: Sequence[np.ndarray] = combiner.extract_output(merged)
    return extracted


_STATES: Mapping[type, _States] = {
    analyzers.QuantilesCombiner: _States(_save_sketch, _merge_sketches),
    analyzers.WeightedMeanAndVarCombiner: _States(_save_moments, _merge_moments),
}


def _result(analyzer: Analyzer, paths: Sequence[str], scratch: str) -> dict[str, np.ndarray]:
    """Merges an analyzer's results of the spans; returns what replaces tensors, by their names."""
    if isinstance(analyzer, Combined):
        results = _STATES[type(analyzer.combiner)].merge(analyzer.combiner, map(_read, paths))
        return {result.name: value for result, value in zip(analyzer.results, results, strict=True)}
    num_tokens, frequent = 0, []
    with contextlib.ExitStack() as stack:
        for part in token_counts.merged([stack.enter_context(CountsFile(path)) for path in paths]):
            num_tokens += part.num_rows
            frequent.append(analyzer.pruning.frequent(part))
    kept = analyzer.pruning.kept(frequent)
    path = os.path.join(scratch, analyzer.file_name)
    _write_vocabulary(path, token_counts.ordered(kept, analyzer.reserved))
    sizes = [(r, num_tokens) for r in analyzer.unfiltered_size]
    sizes += [(r, len(kept)) for r in analyzer.filtered_size]
    return {analyzer.file.name: np.array(path)} | {r.name: np.array(max(size, 1), np.int64) for r, size in sizes}


def _write_vocabulary(path: str, tokens: pa.ChunkedArray) -> None:
    """Writes a vocabulary, a token a line."""
    with tf.io.gfile.GFile(path, "wb") as file:
        for begin in range(0, len(tokens), _TOKENS_AT_ONCE):
            file.write(b"".join(token + b"\n" for token in tokens.slice(begin, _TOKENS_AT_ONCE).to_pylist()))
