"""Reference models: what a simple model makes of the same rows, to tell what the Wide & Deep model adds.

They are fitted on the first rows of each training file, which ingestion has shuffled, so on a random sample of the
window, by one thread beside the training. None of them is exported.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from trainer.reference_rows import Columns, RowReader, Rows
from trainer.training.setup import TrainingSetup
from transform.files.reference_scores import (
    CONSTANT,
    GRADIENT_BOOSTING,
    ITEM_MEAN,
    LOGISTIC_REGRESSION,
    USER_ITEM_BIAS,
    ReferenceScores,
)

_logger = logging.getLogger(__name__)

#: The most training rows that the reference models are fitted on: some 25 s of one processor with the features of
#: `configs/app_store.yaml`, and 5 s for the 48,000 rows of its two days.
MAX_ROWS = 300_000

#: The weight of the share of all rows in a value's mean label, in rows.
_PRIOR_ROWS = 10.0

#: More iterations of L-BFGS change no metric's third digit.
_MAX_ITERATIONS = 100

#: The most trees; they stop earlier where a tenth of the training rows shows no gain.
_MAX_TREES = 200

#: With fewer training rows of a label, the trees have nothing to stop by.
_MIN_OF_LABEL = 20

#: The most ids that scikit-learn's trees split as categories; with more, an id is its mean label.
_MAX_CATEGORIES = 254

#: The most numbers that the trees are fitted on, of 8 bytes each.
MAX_NUMBERS = 50_000_000

#: A training row's mean labels are those of the rows of the other folds, so without its own label.
_NUM_FOLDS = 5

#: Returns the scores of rows, float64 `[rows]`.
_ReferenceModel = Callable[[Rows], np.ndarray]


class References(NamedTuple):
    """The fitted reference models.

    Attributes:
      scored: Their scores of the evaluation rows.
      left_out: By name, why a reference model was not fitted, as a clause.
      seconds: The time that reading, fitting and scoring took, in seconds.
    """

    scored: ReferenceScores
    left_out: Mapping[str, str]
    seconds: float


class _CannotFitError(Exception):
    """Why a reference model cannot be fitted on these rows, as a clause."""


def fit_references(setup: TrainingSetup, user: str | None) -> References:
    """Fits the reference models on the training rows, and scores the evaluation rows.

    * `constant`: the weighted share of positives p.
    * `item_mean`: (positives of the item + 10 p) / (rows of the item + 10), by weight.
    * `user_item_bias`: scikit-learn's logistic regression, with its default L2 penalty, on the ids of user and item.
    * `logistic_regression`: the same on all features that the model reads, without crosses and counts.
    * `gradient_boosting`: scikit-learn's histogram-based trees on the same features. Ids are categories up to 254 of
      them, else their mean labels as in `item_mean`, out of fold in the training rows; a list is the mean over its ids.

    Args:
      setup: The training.
      user: The feature that is the user's id; None if it is unknown.
    """
    start = time.monotonic()
    reader = RowReader(setup)
    item = None if setup.config.item_id is None else setup.config.item_id.name
    with threadpool_limits(1, "openmp"):  # the training needs the other cores
        train = reader.read(setup.window.train_files, setup.window.withheld, MAX_ROWS)
        fits: dict[str, Callable[[], _ReferenceModel]] = {
            CONSTANT: lambda: _constant(train),
            ITEM_MEAN: lambda: _item_mean(train, _of_id(reader, item, "item")),
            USER_ITEM_BIAS: lambda: _logistic_regression(
                train, _of_id(reader, user, "user"), _of_id(reader, item, "item")
            ),
            LOGISTIC_REGRESSION: lambda: _logistic_regression(train, *reader.columns.values()),
            GRADIENT_BOOSTING: lambda: _gradient_boosting(train, list(reader.columns.values())),
        }
        models, left_out = dict[str, _ReferenceModel](), dict[str, str]()
        for name, fit in fits.items():
            try:
                models[name] = fit()
            except _CannotFitError as error:
                left_out[name] = str(error)
        none = np.empty(0, np.float32)
        labels, scores = [none], {name: [none] for name in models}
        for rows in reader.batches(setup.window.eval_files):  # many more than the training rows: only scores are kept
            labels.append(rows.label)
            for name, model in models.items():
                scores[name].append(model(rows).astype(np.float32))
    scored = {name: np.concatenate(parts) for name, parts in scores.items()}
    seconds = time.monotonic() - start
    _logger.info("reference models: %d on %d training rows in %.1f s", len(models), len(train.label), seconds)
    return References(ReferenceScores(len(train.label), np.concatenate(labels), scored), left_out, seconds)


def _of_id(reader: RowReader, feature: str | None, of: str) -> Columns:
    if feature is None:
        raise _CannotFitError(f"the config names no id of the {of}")
    if feature not in reader.columns:
        raise _CannotFitError(f"the model does not read the {of}'s id, `{feature}`")
    return reader.columns[feature]


def _share(rows: Rows) -> float:
    """Returns the weighted share of positives; 1/2 without a row."""
    return float(np.average(rows.label, weights=rows.weight)) if rows.weight.any() else 0.5


def _constant(train: Rows) -> _ReferenceModel:
    share = _share(train)
    return lambda rows: np.full(len(rows.label), share)


def _item_mean(train: Rows, item: Columns) -> _ReferenceModel:
    means = _mean_labels(train.inputs[:, item.places], train, _share(train))
    return lambda rows: rows.inputs[:, item.places] @ means


def _mean_labels(block: sparse.csr_matrix, train: Rows, share: float) -> np.ndarray:
    """Returns the mean label of each id, drawn to the share of all rows, float64 `[width]`.

    Args:
      block: The ids' columns, `[rows, width]`.
      train: The rows' labels and weights.
      share: The share of positives among all rows.
    """
    rows, positives = (block.T @ by.astype(np.float64) for by in (train.weight, train.weight * train.label))
    means: np.ndarray = (positives + _PRIOR_ROWS * share) / (rows + _PRIOR_ROWS)
    return means


def _logistic_regression(train: Rows, *given: Columns) -> _ReferenceModel:
    """Fits a logistic regression on some features."""
    if not given:
        raise _CannotFitError("the model reads no feature but in crosses or counts")
    if not 0 < _share(train) < 1:
        raise _CannotFitError("the training rows have one label")
    regression = LogisticRegression(max_iter=_MAX_ITERATIONS)
    # A column without a value in the training rows keeps the weight 0, but the solver holds some 25 vectors with an
    # entry for each column. One column always stays, since scikit-learn refuses inputs without columns.
    allowed = np.concatenate([np.arange(columns.places.start, columns.places.stop) for columns in given])
    places = np.union1d(allowed[:1], np.intersect1d(allowed, train.inputs.indices))
    regression.fit(train.inputs[:, places], train.label, sample_weight=train.weight)

    def model(rows: Rows) -> np.ndarray:
        found: np.ndarray = regression.predict_proba(rows.inputs[:, places])[:, 1]
        return found

    return model


def _gradient_boosting(train: Rows, given: list[Columns]) -> _ReferenceModel:
    """Fits boosted trees on all features."""
    if not given:
        raise _CannotFitError("the model reads no feature but in crosses or counts")
    fewest = np.bincount(train.label[train.weight > 0].astype(int), minlength=2).min()
    if fewest < _MIN_OF_LABEL:
        raise _CannotFitError(f"the training rows have {fewest} of one label, fewer than {_MIN_OF_LABEL}")
    if (size := len(train.label) * len(given)) > MAX_NUMBERS:
        raise _CannotFitError(f"the training rows have {size:,} values, more than {MAX_NUMBERS:,}")
    share = _share(train)
    means = {number: _mean_labels(train.inputs[:, c.places], train, share) for number, c in _encoded(given)}
    inputs = _tree_inputs(train, given, means)
    fold = np.arange(len(train.label)) % _NUM_FOLDS  # the rows are in a random order
    for number, columns in _encoded(given):
        block = train.inputs[:, columns.places]
        for own in range(_NUM_FOLDS):
            seen = Rows(block[fold != own], train.label[fold != own], train.weight[fold != own])
            inputs[fold == own, number] = _mean_over_ids(block[fold == own], _mean_labels(seen.inputs, seen, share))
    categories = [number for number, columns in enumerate(given) if _is_category(columns)]
    trees = HistGradientBoostingClassifier(
        max_iter=_MAX_TREES, early_stopping=True, categorical_features=categories, random_state=1
    )
    trees.fit(inputs, train.label, sample_weight=train.weight)

    def model(rows: Rows) -> np.ndarray:
        found: np.ndarray = trees.predict_proba(_tree_inputs(rows, given, means))[:, 1]
        return found

    return model


def _is_category(columns: Columns) -> bool:
    return columns.holds == "id" and columns.width <= _MAX_CATEGORIES


def _encoded(given: list[Columns]) -> Iterator[tuple[int, Columns]]:
    """Yields the features that the trees read as mean labels, with their places among all."""
    return ((n, c) for n, c in enumerate(given) if c.holds != "number" and not _is_category(c))


def _tree_inputs(rows: Rows, given: list[Columns], means: Mapping[int, np.ndarray]) -> np.ndarray:
    """Returns a column for each feature, float64 `[rows, features]`; a missing number, or an empty list, is NaN."""
    inputs = np.empty((len(rows.label), len(given)))
    for number, columns in enumerate(given):
        block = rows.inputs[:, columns.places]
        if columns.holds == "number":
            value, is_missing = block.toarray().T
            inputs[:, number] = np.where(is_missing, np.nan, value)
        elif number in means:
            inputs[:, number] = _mean_over_ids(block, means[number])
        else:
            inputs[:, number] = block @ np.arange(columns.width)
    return inputs


def _mean_over_ids(block: sparse.csr_matrix, means: np.ndarray) -> np.ndarray:
    """Returns the mean of the ids' numbers for each row, float64 `[rows]`; NaN for a row without ids."""
    counts = np.asarray(block.sum(axis=1), np.float64).reshape(-1)
    found: np.ndarray = np.divide(block @ means, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found
