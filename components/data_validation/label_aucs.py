"""How well each feature alone predicts the label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from components.data_validation.columns import Columns, Ints, Tokens
from transform.auc import auc

#: A value's label share is smoothed toward the overall share by this many pseudo-examples.
_PRIOR_EXAMPLES = 5.0

#: The number of quantile bins of a numeric feature's values.
_NUM_PARTS = 20


def label_aucs(columns: Columns) -> dict[str, float]:
    """Returns, by feature, the AUC of its value's label share as a score, learned from the other half of the requests.

    An uninformative feature has 0.5; a feature equal to the label has 1. An example of a list scores the mean over its
    values. The result is empty without examples of both labels.
    """
    if not 0 < columns.label.sum() < len(columns.label):
        return {}
    fold = halves(columns.request)
    return {name: _auc_of(tokens, columns.label, fold) for name, tokens in _as_tokens(columns)}


def halves(request: Ints) -> Ints:
    """Returns 0 or 1 for each example, int64 `[n]`: its half, by request, whose rows are correlated."""
    return (request * 2_654_435_761 >> 7) & 1


def _as_tokens(columns: Columns) -> Iterator[tuple[str, Tokens]]:
    yield from columns.tokens.items()
    for name, values in columns.numbers.items():
        rows = np.flatnonzero(~np.isnan(values))
        present = values[rows]
        if len(present):
            cuts = np.unique(np.quantile(present, np.linspace(0, 1, _NUM_PARTS + 1), method="lower"))
            codes = np.searchsorted(cuts, present, "right").astype(np.int64)
            yield name, Tokens([str(i) for i in range(len(cuts) + 1)], codes, rows, len(values))


def _auc_of(tokens: Tokens, label: Ints, fold: Ints) -> float:
    share = label.mean()
    # A missing value counts as a value too, with the last code.
    missing = np.setdiff1d(np.arange(tokens.num_rows), tokens.rows)
    codes = np.concatenate([tokens.codes, np.full(len(missing), len(tokens.values))])
    rows = np.concatenate([tokens.rows, missing])
    size = len(tokens.values) + 1
    learned = []
    for of_fold in (0, 1):
        of = fold[rows] == of_fold
        examples = np.bincount(codes[of], minlength=size)
        positives = np.bincount(codes[of], weights=label[rows[of]], minlength=size)
        learned.append((positives + _PRIOR_EXAMPLES * share) / (examples + _PRIOR_EXAMPLES))
    scores = np.where(fold[rows] == 0, learned[1][codes], learned[0][codes])
    total = np.bincount(rows, weights=scores, minlength=tokens.num_rows)
    mean = total / np.bincount(rows, minlength=tokens.num_rows)
    # The halves' scores come from different overall shares, so scores are compared within a half only.
    halves = (fold == 0, fold == 1)
    found = [auc(mean[half], label[half] == 1, np.ones(half.sum())) for half in halves]
    known = [a for a in found if a is not None]
    return float(np.mean(known)) if known else 0.5
