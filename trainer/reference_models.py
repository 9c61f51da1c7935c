"""Reference models: what a simple model makes of the same rows, to tell what the Wide & Deep model adds.

They are fitted on the first rows of each training file, which ingestion has shuffled, so on a random sample of the
window. None of them is exported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from trainer.training.data import EVAL_BATCH_SIZE, Withheld, read_records
from trainer.training.setup import TrainingSetup
from transform.example_keys import LABEL, WEIGHT
from transform.feature import Feature, missing_number
from transform.feature_spec import FeatureSpec, transformed_name
from transform.files.reference_scores import CONSTANT, ITEM_MEAN, LOGISTIC_REGRESSION, ReferenceScores

#: The most training rows that the reference models are fitted on: some 5 s for a logistic regression.
MAX_ROWS = 100_000

#: The weight of the share of all rows in an item's mean, in rows.
_PRIOR_ROWS = 10.0

#: More iterations of L-BFGS change no metric's third digit.
_MAX_ITERATIONS = 100


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Rows as the reference models read them.

    Attributes:
      inputs: One column per value of a categorical feature, and two per number: the normalized quantile or the
        standardized value, 0 if it is missing, and whether it is missing; of a number that the wide part alone reads,
        one per quantile; CSR, float32 `[rows, columns]`.
      items: The id of each row's item in its vocabulary, int64 `[rows]`; None without an item id.
      label: float32 `[rows]`, 0 or 1.
      weight: float32 `[rows]`.
    """

    inputs: sparse.csr_matrix
    items: np.ndarray | None
    label: np.ndarray
    weight: np.ndarray


#: Returns the scores of rows, float64 `[rows]`.
_ReferenceModel = Callable[[_Rows], np.ndarray]


def reference_scores(setup: TrainingSetup) -> ReferenceScores:
    """Fits the reference models on the training rows, and scores the evaluation rows.

    * `constant`: the weighted share of positives p.
    * `item_mean`: (positives of the item + 10 p) / (rows of the item + 10), by weight; only with an item id.
    * `logistic_regression`: scikit-learn's, with its default L2 penalty, on the features that the model reads, without
      crosses and counts; only if it reads one, and the training rows have both labels.
    """
    reader = _Reader(setup)
    train = reader.read(setup.window.train_files, setup.window.withheld, MAX_ROWS)
    share = np.average(train.label, weights=train.weight) if train.weight.any() else 0.5
    models: dict[str, _ReferenceModel] = {CONSTANT: lambda rows: np.full(len(rows.label), share)}
    if train.items is not None:
        models[ITEM_MEAN] = _item_means(train, share)
    if 0 < share < 1 and train.inputs.shape[1]:
        models[LOGISTIC_REGRESSION] = _logistic_regression(train)
    none = np.empty(0, np.float32)
    labels, scores = [none], {name: [none] for name in models}
    for rows in reader.batches(setup.window.eval_files):  # many more than the training rows: only scores are kept
        labels.append(rows.label)
        for name, model in models.items():
            scores[name].append(model(rows).astype(np.float32))
    return ReferenceScores(
        len(train.label), np.concatenate(labels), {name: np.concatenate(parts) for name, parts in scores.items()}
    )


def _item_means(train: _Rows, share: float) -> _ReferenceModel:
    """Returns the model `item_mean`."""
    assert train.items is not None
    rows = np.bincount(train.items, train.weight)
    positives = np.bincount(train.items, train.weight * train.label)
    means = np.append((positives + _PRIOR_ROWS * share) / (rows + _PRIOR_ROWS), share)  # the last: of further items

    def model(given: _Rows) -> np.ndarray:
        assert given.items is not None
        found: np.ndarray = means[np.minimum(given.items, len(means) - 1)]
        return found

    return model


def _logistic_regression(train: _Rows) -> _ReferenceModel:
    """Fits the model `logistic_regression`."""
    regression = LogisticRegression(max_iter=_MAX_ITERATIONS)
    # A column without a value in the training rows keeps the weight 0, but the solver holds some 25 vectors with an
    # entry for each column. Column 0 always stays, since scikit-learn refuses inputs without columns.
    columns = np.union1d([0], train.inputs.indices)
    regression.fit(train.inputs[:, columns], train.label, sample_weight=train.weight)

    def model(given: _Rows) -> np.ndarray:
        found: np.ndarray = regression.predict_proba(given.inputs[:, columns])[:, 1]
        return found

    return model


class _Reader:
    """Reads a training's transformed examples."""

    def __init__(self, setup: TrainingSetup):
        spec, item = setup.config.spec, setup.config.item_id
        sizes = setup.transform_state.vocabulary_sizes
        # The number of ids by transformed name; None for a number, which a wide part alone reads as a quantile's id.
        self._num_ids: dict[str, int | None] = {}
        self._missing = {transformed_name(f.name): missing_number(f.scale) for f in spec.features if not f.has_ids}
        for feature in spec.features:
            name, bucket_name = transformed_name(feature.name), transformed_name(feature.bucket_name)
            if name in setup.parsing:
                self._num_ids[name] = _num_ids(spec, feature, sizes) if feature.has_ids else None
            elif feature.num_buckets is not None and bucket_name in setup.parsing:
                self._num_ids[bucket_name] = feature.num_buckets + 1
        names = (*self._num_ids, LABEL, WEIGHT)
        self._parsing = {name: setup.parsing[name] for name in names if name in setup.parsing}
        self._item = transformed_name(item.name) if item and transformed_name(item.name) in setup.parsing else None

    def read(self, files: Sequence[str], withheld: Withheld | None, max_rows: int) -> _Rows:
        """Reads the same number of rows from each file, one file after the other.

        Args:
          files: TFRecord files of transformed examples.
          withheld: Selects the examples to leave out; None to leave out none.
          max_rows: At most this many rows are read.
        """
        parts = [self._no_rows(), *self.batches(files, withheld, max(1, max_rows // max(1, len(files))))]
        return _Rows(
            sparse.vstack([part.inputs for part in parts], "csr"),
            None if self._item is None else np.concatenate([part.items for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.weight for part in parts]),
        )

    def _no_rows(self) -> _Rows:
        width = sum(2 if num_ids is None else num_ids for num_ids in self._num_ids.values())
        none = np.empty(0, np.float32)
        return _Rows(sparse.csr_matrix((0, width), dtype=np.float32), np.empty(0, np.int64), none, none)

    def batches(
        self, files: Sequence[str], withheld: Withheld | None = None, per_file: int | None = None
    ) -> Iterator[_Rows]:
        """Yields the rows of files in batches.

        Args:
          files: TFRecord files of transformed examples.
          withheld: Selects the examples to leave out; None to leave out none.
          per_file: The examples that are read from each file; None reads all.
        """
        for parsed in self._parsed(sorted(files), withheld, per_file):
            label = parsed[LABEL].reshape(-1).astype(np.float32)
            blocks = [_block(num_ids, parsed[n], self._missing.get(n)) for n, num_ids in self._num_ids.items()]
            none = sparse.csr_matrix((len(label), 0), dtype=np.float32)  # for a model that reads crosses alone
            yield _Rows(
                sparse.hstack([none, *blocks], "csr", np.float32),
                None if self._item is None else parsed[self._item].reshape(-1),
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


def _block(num_ids: int | None, values: Any, marker: float | None) -> sparse.csr_matrix:
    """Returns a feature's columns, CSR float32 `[rows, width]`; a token that a list has twice counts twice.

    Args:
      num_ids: The width; None for a number, which has two columns: its value, and whether it is missing.
      values: The feature's values: a SparseTensor of a list, else an array `[rows]`.
      marker: The value of a missing number; None for a categorical feature.
    """
    if isinstance(values, tf.SparseTensor):
        rows, ids, num_rows = values.indices[:, 0].numpy(), values.values.numpy(), int(values.dense_shape[0])
        return sparse.csr_matrix((np.ones(len(ids), np.float32), (rows, ids)), (num_rows, num_ids))
    flat = values.reshape(-1)
    if num_ids is None:
        missing = flat == marker
        return sparse.csr_matrix(np.stack([np.where(missing, 0, flat), missing], axis=1), dtype=np.float32)
    return sparse.csr_matrix((np.ones(len(flat), np.float32), (np.arange(len(flat)), flat)), (len(flat), num_ids))


def _num_ids(spec: FeatureSpec, feature: Feature, vocabulary_sizes: Mapping[str, int]) -> int:
    """Returns the number of ids of a categorical feature: its vocabulary's tokens and its buckets for other tokens."""
    owner = spec.vocabulary_owner(feature).name
    return vocabulary_sizes[owner] + spec.vocabularies[owner].num_oov_buckets
