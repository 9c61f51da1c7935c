"""Counts the tokens of vocabularies in transformed examples: each file by itself, then added up for each span."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from transform.feature_spec import FeatureSpec, transformed_name
from transform.files.tokens import Tokens, read_vocabulary

_SCHEMA = pa.schema([("row", pa.int64()), ("count", pa.int64())])

#: Tokens that are read from a vocabulary at once.
_TOKENS_AT_ONCE = 100_000


class TokenTally:
    """Counts the tokens of some vocabularies in the transformed examples of a file; 16 bytes a token at most.

    Args:
      spec: The features.
      names: The vocabularies.
    """

    def __init__(self, spec: FeatureSpec, names: Sequence[str]) -> None:
        inputs = {
            **{name: [transformed_name(f.name) for f in spec.sharers(name)] for name in spec.vocabularies},
            **{cross.name: [transformed_name(cross.name)] for cross in spec.crosses},
        }
        self._inputs = {name: inputs[name] for name in names}
        self._counts = {name: np.zeros(0, np.int64) for name in names}

    def add(self, transformed: Mapping[str, Any]) -> None:
        """Adds a batch of transformed features."""
        for name, inputs in self._inputs.items():
            for of_input in inputs:
                values = transformed[of_input]
                ids = (values.values if isinstance(values, tf.SparseTensor) else values).numpy()
                counts = self._counts[name]
                missing = int(ids.max(initial=-1)) + 1 - counts.size
                if missing > 0:
                    counts = np.concatenate([counts, np.zeros(max(missing, counts.size), np.int64)])
                    self._counts[name] = counts
                np.add.at(counts, ids, 1)

    def write(self, path: str) -> None:
        """Writes the counts of the tokens that occur, a batch for each vocabulary."""
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
            for counts in self._counts.values():
                rows = np.flatnonzero(counts)
                writer.write_batch(pa.record_batch([rows, counts[rows]], schema=_SCHEMA))


@dataclasses.dataclass(frozen=True)
class WrittenTally:
    """The counts of a file of examples.

    Attributes:
      span: The span of the examples.
      names: The vocabularies, as `TokenTally` gets them.
      path: What it writes.
    """

    span: int
    names: tuple[str, ...]
    path: str


def counts_of_spans(
    tallies: Iterable[WrittenTally], output: tft.TFTransformOutput
) -> dict[int, dict[str, Iterable[tuple[bytes, int]]]]:
    """Adds up the files' counts, in their order.

    Each vocabulary's tokens are in memory once, and 8 bytes a token for each span.

    Args:
      tallies: The counts of the files. Several may be of one span: a tail is of the same span as the Examples that
        completed it.
      output: The transform graph.

    Returns:
      By span and vocabulary, each token that occurs and how often; the pairs can be read once.
    """
    tokens: dict[str, Tokens] = {}
    totals: dict[int, dict[str, npt.NDArray[np.int64]]] = {}
    for tally in tallies:
        of_span = totals.setdefault(tally.span, {})
        for name, (rows, counts) in zip(tally.names, _read(tally.path), strict=True):
            if name not in tokens:
                tokens[name] = read_vocabulary(output, name)
            total = of_span.setdefault(name, np.zeros(len(tokens[name]), np.int64))
            known = rows < total.size  # ids behind a vocabulary are of tokens that it lacks
            total[rows[known]] += counts[known]
    return {
        span: {name: _pairs(tokens[name], total) for name, total in of_span.items()} for span, of_span in totals.items()
    }


def _read(path: str) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    with pa.memory_map(path) as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            rows, counts = reader.get_batch(number).columns
            yield rows.to_numpy(), counts.to_numpy()


def _pairs(tokens: Tokens, total: npt.NDArray[np.int64]) -> Iterator[tuple[bytes, int]]:
    rows = np.flatnonzero(total)
    for begin in range(0, rows.size, _TOKENS_AT_ONCE):
        some = rows[begin : begin + _TOKENS_AT_ONCE]
        yield from zip(tokens.array.take(pa.array(some)).to_pylist(), total[some].tolist(), strict=True)
