"""Standardizes numbers in tf.Transform's graph: (x - mean) / standard deviation of a number, or of its logarithm."""

from __future__ import annotations

from typing import Literal

import tensorflow as tf
import tensorflow_transform as tft

from transform.feature import MAX_STANDARDIZED, MISSING_STANDARDIZED

#: Numbers whose deviation is below this share of their mean are all the same: what is left is rounding, since 32-bit
#: numbers that differ do so by 6e-8 of themselves or more, and a mean of 64-bit numbers is exact to 1e-12.
_NO_DEVIATION = 1e-9


def standardized(number: tf.Tensor, name: str, scale: Literal["standard", "log"]) -> tf.Tensor:
    """Standardizes a number by the mean and the deviation of the rows that tf.Transform analyzes.

    It computes with 64-bit numbers, in which no square of a 32-bit number overflows.

    Args:
      number: float32 `[batch]`; NaN is a missing number.
      name: The feature's name.
      scale: `standard`: of x itself; `log`: of sign(x) · log(1 + |x|).

    Returns:
      float32 `[batch]` in [-`MAX_STANDARDIZED`, `MAX_STANDARDIZED`], 0 for the mean, and 0 for all numbers if the
      analyzed ones are all the same; `MISSING_STANDARDIZED` for a missing number. Missing and infinite numbers count
      neither for the mean nor for the deviation.
    """
    x = tf.cast(number, tf.float64)
    if scale == "log":
        x = tf.sign(x) * tf.math.log1p(tf.abs(x))
    mean = tft.mean(x, name=f"{name}_mean")
    deviation = tf.sqrt(tft.var(x, name=f"{name}_variance"))
    differs = deviation > _NO_DEVIATION * tf.abs(mean)
    z = tf.where(differs, (x - mean) / tf.where(differs, deviation, tf.ones_like(deviation)), tf.zeros_like(x))
    cut = tf.cast(tf.clip_by_value(z, -MAX_STANDARDIZED, MAX_STANDARDIZED), tf.float32)
    return tf.where(tf.math.is_nan(number), tf.fill(tf.shape(cut), MISSING_STANDARDIZED), cut)
