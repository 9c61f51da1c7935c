"""Rows for the reference models, from the transformed examples: a column for each value of each feature."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from scipy import sparse

from trainer.training.data import EVAL_BATCH_SIZE, Withheld, read_records
from trainer.training.setup import TrainingSetup
from transform.example_keys import LABEL, WEIGHT
from transform.feature import Feature, missing_number
from transform.feature_spec import FeatureSpec, transformed_name

#: What the columns of a feature hold (`Columns`).
Holds = Literal["number", "id", "ids"]


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a feature among all columns.

    Attributes:
      places: Their places.
      holds: `number`: the normalized quantile or the standardized value, 0 if it is missing, and whether it is missing;
        `id`: one column for each id, of which each row has one, such as that of a quantile that the wide part alone
        reads; `ids`: the same for a list, of which each row may have any number.
    """

    places: slice
    holds: Holds

    @property
    def width(self) -> int:
        """The number of columns."""
        return int(self.places.stop - self.places.start)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows as the reference models read them.

    Attributes:
      inputs: The features' columns (`Columns`), CSR, float32 `[rows, columns]`.
      label: float32 `[rows]`, 0 or 1.
      weight: float32 `[rows]`.
    """

    inputs: sparse.csr_matrix
    label: np.ndarray
    weight: np.ndarray


class RowReader:
    """Reads a training's transformed examples.

    Attributes:
      columns: By feature that the model reads, as its number, its ids or its quantile, its columns.
    """

    def __init__(self, setup: TrainingSetup):
        spec, sizes = setup.config.spec, setup.transform_state.vocabulary_sizes
        self.columns: dict[str, Columns] = {}
        self._names: dict[str, str] = {}  # of the transformed features
        self._missing = {f.name: missing_number(f.scale) for f in spec.features if not f.has_ids}
        start = 0
        for f in spec.features:
            name, bucket_name = transformed_name(f.name), transformed_name(f.bucket_name)
            if name in setup.parsing:
                holds: Holds = ("ids" if f.is_list else "id") if f.has_ids else "number"
                width = _num_ids(spec, f, sizes) if f.has_ids else 2
            elif f.num_buckets is not None and bucket_name in setup.parsing:
                name, holds, width = bucket_name, "id", f.num_buckets + 1
            else:
                continue
            self.columns[f.name], self._names[f.name] = Columns(slice(start, start + width), holds), name
            start += width
        names = (*self._names.values(), LABEL, WEIGHT)
        self._parsing = {name: setup.parsing[name] for name in names if name in setup.parsing}
        self._width = start

    def read(self, files: Sequence[str], withheld: Withheld | None, max_rows: int) -> Rows:
        """Reads the same number of rows from each file, one file after the other.

        Args:
          files: TFRecord files of transformed examples.
          withheld: Selects the examples to leave out; None to leave out none.
          max_rows: At most this many rows are read.
        """
        none = np.empty(0, np.float32)
        no_rows = Rows(sparse.csr_matrix((0, self._width), dtype=np.float32), none, none)
        parts = [no_rows, *self.batches(files, withheld, max(1, max_rows // max(1, len(files))))]
        return Rows(
            sparse.vstack([part.inputs for part in parts], "csr"),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.weight for part in parts]),
        )

    def batches(
        self, files: Sequence[str], withheld: Withheld | None = None, per_file: int | None = None
    ) -> Iterator[Rows]:
        """Yields the rows of files in batches.

        Args:
          files: TFRecord files of transformed examples.
          withheld: Selects the examples to leave out; None to leave out none.
          per_file: The examples that are read from each file; None reads all.
        """
        for parsed in self._parsed(sorted(files), withheld, per_file):
            label = parsed[LABEL].reshape(-1).astype(np.float32)
            blocks = [_block(c, parsed[self._names[name]], self._missing.get(name)) for name, c in self.columns.items()]
            none = sparse.csr_matrix((len(label), 0), dtype=np.float32)  # for a model that reads crosses alone
            yield Rows(
                sparse.hstack([none, *blocks], "csr", np.float32),
                label,
                parsed[WEIGHT].reshape(-1) if WEIGHT in parsed else np.ones_like(label),
            )

    def _parsed(
        self, files: Sequence[str], withheld: Withheld | None, per_file: int | None
    ) -> Iterator[Mapping[str, Any]]:
        for file in files:
            records = read_records([file])
            for batch in (records if per_file is None else records.take(per_file)).batch(EVAL_BATCH_SIZE):
                kept = batch if withheld is None else tf.boolean_mask(batch, ~withheld.among(batch))
                parsed = tf.io.parse_example(kept, self._parsing)
                yield {n: v if isinstance(v, tf.SparseTensor) else v.numpy() for n, v in parsed.items()}


def _block(columns: Columns, values: Any, marker: float | None) -> sparse.csr_matrix:
    """Returns a feature's columns, CSR float32 `[rows, width]`; a token that a list has twice counts twice.

    Args:
      columns: What they hold.
      values: The feature's values: a SparseTensor of a list, else an array `[rows]`.
      marker: The value of a missing number.
    """
    if columns.holds == "ids":
        rows, ids, num_rows = values.indices[:, 0].numpy(), values.values.numpy(), int(values.dense_shape[0])
        return sparse.csr_matrix((np.ones(len(ids), np.float32), (rows, ids)), (num_rows, columns.width))
    flat = values.reshape(-1)
    if columns.holds == "number":
        missing = flat == marker
        return sparse.csr_matrix(np.stack([np.where(missing, 0, flat), missing], axis=1), dtype=np.float32)
    return sparse.csr_matrix((np.ones(len(flat), np.float32), (np.arange(len(flat)), flat)), (len(flat), columns.width))


def _num_ids(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> int:
    """Returns the number of ids of a categorical feature: its vocabulary's tokens and its buckets for other tokens."""
    owner = spec.vocabulary_owner(feature).name
    return vocabulary_sizes[owner] + spec.vocabularies[owner].num_oov_buckets
