"""The batches of examples that the graph of `preprocessing_fn` reads at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

#: Rows that the graph reads at once. A larger batch has fewer distinct tokens per row, and needs more memory.
BATCH_SIZE = 4096

#: The combinations of values that crosses of lists have in a batch, some 100 bytes each. One row may have more.
_MAX_COMBINATIONS = 1 << 21


def split_by_combinations(batches: Iterable[tf.Tensor], crossed: Sequence[Sequence[str]]) -> Iterator[tf.Tensor]:
    """Splits batches in which crosses of lists have too many combinations: a row has the product of its lists' lengths.

    Args:
      batches: Serialized tf.Examples, string `[rows]` each.
      crossed: The lists of each cross of more than one list; they are lists of texts.

    Yields:
      The same rows in their order, string `[rows]` each.
    """
    if not crossed:
        yield from batches
        return
    lists = {name: tf.io.VarLenFeature(tf.string) for names in crossed for name in names}
    for batch in batches:
        parsed = tf.io.parse_example(batch, lists)
        lengths = {name: np.bincount(parsed[name].indices[:, 0], minlength=len(batch)) for name in lists}
        # As floats, since five lists of 10,000 values have more combinations than an int64 holds.
        of_crosses = [np.prod([lengths[name] for name in names], axis=0, dtype=np.float64) for names in crossed]
        yield from _pieces(batch, np.sum(of_crosses, axis=0).tolist())


def _pieces(batch: tf.Tensor, combinations: Sequence[float]) -> Iterator[tf.Tensor]:
    begin, total = 0, 0.0
    for row, of_row in enumerate(combinations):
        if row > begin and total + of_row > _MAX_COMBINATIONS:
            yield batch[begin:row]
            begin, total = row, 0.0
        total += of_row
    yield batch[begin:]
