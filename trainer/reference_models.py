"""Reference models: what a simple model makes of the same rows, to tell what the Wide & Deep model adds.

They are fitted on the first rows of each training file, which ingestion has shuffled, so on a random sample of the
window. None of them is exported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from trainer.data import EVAL_BATCH_SIZE, Withheld, read_records
from trainer.training_setup import TrainingSetup
from transform.feature_spec import LABEL, WEIGHT, Feature, FeatureSpec, missing_number, transformed_name
from transform.reference_scores import CONSTANT, ITEM_MEAN, LOGISTIC_REGRESSION, ReferenceScores

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


def reference_scores(setup: TrainingSetup) -> ReferenceScores:
    """Fits the reference models on the training rows, and scores the evaluation rows.

    * `constant`: the weighted share of positives p.
    * `item_mean`: (positives of the item + 10 p) / (rows of the item + 10), by weight; only with an item id.
    * `logistic_regression`: scikit-learn's, with its default L2 penalty, on the features that the model reads, without
      crosses and counts; only if it reads one, and the training rows have both labels.

    Args:
      setup: The training.
    """
    reader = _Reader(setup)
    train = reader.read(setup.window.train_files, setup.window.withheld, MAX_ROWS)
    held_out = reader.read(setup.window.eval_files)
    share = np.average(train.label, weights=train.weight) if train.weight.any() else 0.5
    scores = {CONSTANT: np.full(len(held_out.label), share)}
    if train.items is not None and held_out.items is not None:
        scores[ITEM_MEAN] = _item_means(train, share, held_out.items)
    if 0 < share < 1 and train.inputs.shape[1]:
        model = LogisticRegression(max_iter=_MAX_ITERATIONS)
        # A column without a value in the training rows keeps the weight 0, but the solver holds some 25 vectors with an
        # entry for each column. Column 0 always stays, since scikit-learn refuses inputs without columns.
        columns = np.union1d([0], train.inputs.indices)
        model.fit(train.inputs[:, columns], train.label, sample_weight=train.weight)
        scores[LOGISTIC_REGRESSION] = _probabilities(model, held_out.inputs[:, columns])
    return ReferenceScores(
        len(train.label), held_out.label, {name: of_model.astype(np.float32) for name, of_model in scores.items()}
    )


def _probabilities(model: LogisticRegression, inputs: sparse.csr_matrix) -> np.ndarray:
    """Returns the probabilities of label 1, float64 `[rows]`; scikit-learn refuses inputs without a row."""
    found: np.ndarray = model.predict_proba(inputs)[:, 1] if inputs.shape[0] else np.empty(0)
    return found


def _item_means(train: _Rows, share: float, items: np.ndarray) -> np.ndarray:
    """Returns the smoothed mean of each of `items`, int64 `[rows]`: float64 `[rows]`."""
    assert train.items is not None
    size = int(max(train.items.max(initial=0), items.max(initial=0))) + 1
    rows = np.bincount(train.items, train.weight, size)
    positives = np.bincount(train.items, train.weight * train.label, size)
    means: np.ndarray = ((positives + _PRIOR_ROWS * share) / (rows + _PRIOR_ROWS))[items]
    return means


class _Reader:
    """Reads transformed examples.

    Args:
      setup: The training.
    """

    def __init__(self, setup: TrainingSetup):
        spec, item = setup.config.spec, setup.config.item_id
        sizes = setup.transform_state.vocabulary_sizes
        # The number of ids by transformed name; None for a number, which a wide part alone reads as a quantile's id.
        self._num_ids: dict[str, int | None] = {}
        self._missing = {transformed_name(f.name): missing_number(f.scale) for f in spec.features if f.is_numeric}
        for feature in spec.features:
            name, bucket_name = transformed_name(feature.name), transformed_name(feature.bucket_name)
            if name in setup.parsing:
                self._num_ids[name] = None if feature.is_numeric else _num_ids(spec, feature, sizes)
            elif feature.num_buckets is not None and bucket_name in setup.parsing:
                self._num_ids[bucket_name] = feature.num_buckets + 1
        names = (*self._num_ids, LABEL, WEIGHT)
        self._parsing = {name: setup.parsing[name] for name in names if name in setup.parsing}
        self._item = transformed_name(item.name) if item and transformed_name(item.name) in setup.parsing else None

    def read(self, files: Sequence[str], withheld: Withheld | None = None, max_rows: int | None = None) -> _Rows:
        """Reads the files one after the other.

        Args:
          files: TFRecord files of transformed examples.
          withheld: Selects the examples to leave out; None to leave out none.
          max_rows: At most this many rows, the same number from each file; None reads all.
        """
        per_file = None if max_rows is None else max(1, max_rows // max(1, len(files)))
        columns: dict[str, list[np.ndarray]] = {"items": [], LABEL: [], WEIGHT: []}
        inputs = []
        for parsed in self._batches(sorted(files), withheld, per_file):
            label = parsed[LABEL].reshape(-1).astype(np.float32)
            blocks = [_block(num_ids, parsed[n], self._missing.get(n)) for n, num_ids in self._num_ids.items()]
            none = sparse.csr_matrix((len(label), 0), dtype=np.float32)  # for a model that reads crosses alone
            inputs.append(sparse.hstack([none, *blocks], "csr", np.float32))
            columns[LABEL].append(label)
            columns[WEIGHT].append(parsed[WEIGHT].reshape(-1) if WEIGHT in parsed else np.ones_like(label))
            if self._item is not None:
                columns["items"].append(parsed[self._item].reshape(-1))
        width = sum(2 if num_ids is None else num_ids for num_ids in self._num_ids.values())
        return _Rows(
            sparse.vstack(inputs, "csr") if inputs else sparse.csr_matrix((0, width), dtype=np.float32),
            None if self._item is None else np.concatenate([np.empty(0, np.int64), *columns["items"]]),
            np.concatenate([np.empty(0, np.float32), *columns[LABEL]]),
            np.concatenate([np.empty(0, np.float32), *columns[WEIGHT]]),
        )

    def _batches(
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
