"""The positions of a numeric feature with `at_serving`: the buckets between its `boundaries`, and their names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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
