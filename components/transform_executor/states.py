"""The states of analyzers in files: of a file's examples, of a span's, and the results of all spans together.

A state is what an analyzer found: the counts of tokens, a sketch of quantiles, or moments. States are merged in a given
order. That decides the bits of a sketch and of moments; counts have no such order.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tensorflow_transform import analyzers
from tfx_bsl import sketches

from components.transform_executor import token_counts
from components.transform_executor.token_counts import CountsFile
from components.transform_executor.traced_graph import Analyzer, Combined, Vocabulary
from transform.errors import InputError
from transform.files.tfrecords import masked_checksum

#: Tokens that are written to a vocabulary's file at once.
_TOKENS_AT_ONCE = 100_000

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


def check(analyzer: Analyzer, path: str) -> None:
    """Reads a state; raises InputError if it is damaged."""
    if isinstance(analyzer, Combined):
        _read(path)
        return
    with CountsFile(path) as file:
        file.check()


def write(analyzer: Combined, accumulated: Any, path: str) -> None:
    """Writes what the combiner accumulated as a state."""
    state = _STATES[type(analyzer.combiner)].save(analyzer.combiner, accumulated)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(masked_checksum(state) + state)


def merge(analyzer: Analyzer, paths: Sequence[str], path: str) -> None:
    """Merges several states, in their order, into one.

    Args:
      analyzer: The analyzer.
      paths: The states, which are removed.
      path: The new state.
    """
    if isinstance(analyzer, Vocabulary):
        token_counts.merge_files(paths, path)
        return
    write(analyzer, _merged(analyzer, paths), path)
    for merged in paths:
        tf.io.gfile.remove(merged)


def results(analyzer: Analyzer, paths: Sequence[str], scratch: str) -> dict[str, np.ndarray]:
    """Merges the states of all spans; returns what replaces tensors, by their names.

    Args:
      analyzer: The analyzer.
      paths: The states, in the order of the spans.
      scratch: The folder for a vocabulary's file.
    """
    if isinstance(analyzer, Combined):
        combiner = analyzer.combiner
        found = combiner.extract_output(combiner.compact(_merged(analyzer, paths)))
        return {result.name: value for result, value in zip(analyzer.results, found, strict=True)}
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


def _merged(analyzer: Combined, paths: Iterable[str]) -> Any:
    """Merges states into what the combiner would have accumulated."""
    combiner = analyzer.combiner
    merged = combiner.create_accumulator()
    for path in paths:
        merged = combiner.merge_accumulators([merged, _STATES[type(combiner)].load(combiner, _read(path))])
    return merged


# tf.Transform 1.21.0 has Beam combine the batches of a dataset with a fan-out, and then those of all datasets. A sketch
# is compacted after a bundle's values, and merged into an empty one twice; both change what it approximates. So the
# state of one file, which is its span's, is made as Beam makes that of a dataset. The state of several files has
# another division, and so other approximations. A mean and a variance differ by rounding alone, at 1e-12 of their size,
# from those of another order of batches.


class _States(NamedTuple):
    """How a combiner's states are stored.

    Attributes:
      save: Returns the state, given the combiner and what it accumulated.
      load: Returns what `merge_accumulators` takes, given the combiner and a state.
    """

    save: Callable[[Any, Any], bytes]
    load: Callable[[Any, bytes], Any]


def _save_sketch(combiner: analyzers.QuantilesCombiner, of_values: sketches.QuantilesSketch) -> bytes:
    """Returns a serialized message: tfx-bsl 1.21.0 has it for `pickle`, which this does not use."""
    merged = combiner.merge_accumulators([combiner.create_accumulator(), combiner.compact(of_values)])
    state: bytes = combiner.compact(merged).__getstate__()
    return state


def _load_sketch(combiner: analyzers.QuantilesCombiner, state: bytes) -> sketches.QuantilesSketch:
    sketch = sketches.QuantilesSketch.__new__(sketches.QuantilesSketch)
    sketch.__setstate__(state)
    return sketch


#: The state of moments: how many values, their mean and their variance; 64-bit floats, little-endian.
_MOMENTS = struct.Struct("<3d")


def _save_moments(combiner: analyzers.WeightedMeanAndVarCombiner, accumulator: tuple[np.ndarray, ...]) -> bytes:
    return _MOMENTS.pack(*(value.item() for value in accumulator[:3]))


def _load_moments(combiner: analyzers.WeightedMeanAndVarCombiner, state: bytes) -> tuple[np.ndarray, ...]:
    # The last entry is a weight, which a combiner without weights does not read.
    loaded: tuple[np.ndarray, ...] = combiner.accumulator_class(
        *map(np.array, _MOMENTS.unpack(state)), combiner.create_accumulator().weight
    )
    return loaded


_STATES: Mapping[type, _States] = {
    analyzers.QuantilesCombiner: _States(_save_sketch, _load_sketch),
    analyzers.WeightedMeanAndVarCombiner: _States(_save_moments, _load_moments),
}
