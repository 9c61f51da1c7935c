"""The scale by which the deep part reads a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from components.data_validation.columns import Floats


def choose_scale(numbers: Sequence[float]) -> Literal["standard", "log"]:
    """Returns the scale by which a number is less skewed: |E[((g(x) - mean) / deviation)³]| is smaller.

    g(x) is x with `standard`, and sign(x) ln(1 + |x|) with `log`, which wins where both are equal.

    Args:
      numbers: The finite values of a sample, at least one.
    """
    raw = np.array(numbers, np.float64)
    return "standard" if _skewness(raw) < _skewness(np.sign(raw) * np.log1p(np.abs(raw))) else "log"


def _skewness(values: Floats) -> float:
    deviation = values.std()
    return abs(float((((values - values.mean()) / deviation) ** 3).mean())) if deviation > 0 else 0.0
