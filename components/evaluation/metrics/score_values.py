"""A model's scores as numbers: how many coincide, and how many are certain, and wrong."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import LEAST_SCORE

_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ScoreValues:
    """What the scores of a model are as numbers.

    Attributes:
      tied: The share of all pairs of rows that have the same score; 0 with fewer than two rows.
      certain: The number of rows with a score of 0 or 1, to `LEAST_SCORE`.
      wrong: The number of these whose label is the other one.
    """

    tied: Annotated[float, Field(ge=0, le=1)]
    certain: _Count
    wrong: _Count


def score_values(label: Array, score: Array) -> ScoreValues:
    """Counts the values of scores.

    Args:
      label: float64 `[rows]`, 0 or 1.
      score: float64 `[rows]`, in [0, 1].
    """
    _, numbers = np.unique(score, return_counts=True)
    pairs = len(score) * (len(score) - 1)
    is_zero, is_one = score <= LEAST_SCORE, score >= 1 - LEAST_SCORE
    wrong = (is_zero & (label == 1)) | (is_one & (label == 0))
    tied = float((numbers * (numbers - 1)).sum() / pairs) if pairs else 0.0
    return ScoreValues(tied, int((is_zero | is_one).sum()), int(wrong.sum()))
