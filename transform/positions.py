"""The positions of a feature with `at_serving`: its buckets, their names, and what a training learned of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from transform.config.settings import FiniteFloat
from transform.documents import CONFIG


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LearnedPositions:
    """What a training learned of a feature with `at_serving`.

    Attributes:
      feature: The feature.
      values: With a tower: its values, or the names of its buckets, in their order.
      logits: What each adds to the logit, less what the fixed value adds.
      fixed: With a tower: the fixed value, or the name of its bucket.
      num_weighted: With weights: the number of examples whose weights were read.
      effective_size: (Σ w)² / Σ w², so many examples of equal weight would tell as much (Kish, 1965).
      num_clipped: How many of the weights were larger than `clip`.
    """

    feature: str
    values: tuple[str, ...] = ()
    logits: tuple[FiniteFloat, ...] = ()
    fixed: str = ""
    num_weighted: int = 0
    effective_size: FiniteFloat = 0.0
    num_clipped: int = 0


def effective_size(weights: npt.NDArray[np.float64]) -> float:
    """Returns (Σ w)² / Σ w² of some weights: 4 for 1, 1, 1 and 1, and 2 = 36 / 18 for 1, 1 and 4; 0 for none."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def buckets_of(values: npt.NDArray[np.floating], boundaries: Sequence[float]) -> npt.NDArray[np.int64]:
    """Returns the bucket of each number, int64 `[n]`; the number after the last bucket for NaN, a missing value.

    Bucket i holds the values from boundary i - 1 (included) to boundary i (excluded), as 32-bit numbers, as
    tf.Transform's do.

    Args:
      values: Floats `[n]`.
      boundaries: The lowest values of all buckets but the first, ascending.
    """
    buckets = np.searchsorted(np.asarray(boundaries, np.float32), values.astype(np.float32), side="right")
    return np.where(np.isnan(values), len(boundaries) + 1, buckets).astype(np.int64)


def bucket_names(boundaries: Sequence[float]) -> list[str]:
    """Returns the names of the buckets in their order.

    Those of the boundaries 2, 3 and 10 are `below 2`, `2`, `3 to 10` and `10 or more`: a bucket that holds one whole
    number is named by it.
    """
    inner = [
        f"{low:g}" if low == int(low) and high == low + 1 else f"{low:g} to {high:g}"
        for low, high in itertools.pairwise(boundaries)
    ]
    return [f"below {boundaries[0]:g}", *inner, f"{boundaries[-1]:g} or more"]
