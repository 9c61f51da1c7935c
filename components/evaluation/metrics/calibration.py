"""The calibration plot in TFMA's form: how many labels there are where how many were predicted."""

from __future__ import annotations

import numpy as np

# What its packages do not export, as of TFMA 0.52.0: docs/reference/private_uses.md
from tensorflow_model_analysis.proto import metrics_for_slice_pb2

from components.evaluation.metrics.bootstrap import Array

#: TFMA 0.52.0 puts scores into 10,000 buckets first, and merges them to the plot's.
_FINE_BUCKETS, _BUCKETS = 10_000, 1_000

#: The lower ends of the plot's buckets: one below 0, those of [0, 1), and one of 1 and above.
_LOWER = np.concatenate([[-np.inf], np.arange(_BUCKETS + 1) * 1.0 / _BUCKETS])


def calibration_sums(labels: Array, weights: Array, scores: Array) -> Array:
    """Returns the sums of the plot's buckets; those of parts of the rows add up.

    Args:
      labels: 0 or 1, float64 `[num_rows]`.
      weights: float64 `[num_rows]`.
      scores: A model's scores, float64 `[num_rows]`; a row whose score is NaN is in no bucket.

    Returns:
      float64 `[3, num_buckets]`: of the weighted labels, of the weighted scores, and of the weights.
    """
    fine = np.arange(_FINE_BUCKETS + 2)
    lower = np.where(fine == 0, -np.inf, np.where(fine > _FINE_BUCKETS, np.inf, (fine - 1) / _FINE_BUCKETS))
    coarse = np.searchsorted(_LOWER, lower, side="right") - 1
    is_number = ~np.isnan(scores)
    labels, weights, scores = labels[is_number], weights[is_number], scores[is_number]
    # TFMA cuts a negative number below 1 off to 0, too.
    bucket = coarse[np.clip(scores * _FINE_BUCKETS + 1, 0, _FINE_BUCKETS + 1).astype(np.int64)]
    return np.stack([np.bincount(bucket, weights * x, len(_LOWER)) for x in (labels, scores, 1.0)])


def calibration_buckets(sums: Array) -> metrics_for_slice_pb2.CalibrationHistogramBuckets:
    """Returns what TFMA's `CalibrationPlot` does, of `calibration_sums` of all rows."""
    found = metrics_for_slice_pb2.CalibrationHistogramBuckets()
    ends = [*_LOWER[1:].tolist(), np.inf]
    for low, high, positive, predicted, weight in zip(_LOWER.tolist(), ends, *sums.tolist(), strict=True):
        found.buckets.add(
            lower_threshold_inclusive=low,
            upper_threshold_exclusive=high,
            total_weighted_label={"value": positive},
            total_weighted_refined_prediction={"value": predicted},
            num_weighted_examples={"value": weight},
        )
    return found
