"""The config's section `evaluation`: the metrics that the Evaluator measures, and the thresholds of a model."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.config.settings import FiniteFloat, NonNegativeFloat, PositiveInt
from transform.feature import STRICT, Name

#: Whether a higher value of a metric is better; None if neither a higher nor a lower value is better in itself.
HIGHER_IS_BETTER: dict[str, bool | None] = {
    "auc": True,
    "auc_pr": True,
    "logloss": False,
    "accuracy": True,
    "calibration": None,
    "calibration_error": False,
    "mean_prediction": None,
    "gauc": True,
    "ndcg": True,
    "map": True,
    "recall": True,
}

#: The metrics of the first k positions of a request, such as `ndcg@10`.
AT_K = ("ndcg", "map", "recall")

#: The ranking metrics: means over groups, such as the requests.
OF_GROUPS = ("gauc", *AT_K)

#: What a metric's name is: one of all positions, or one of the first k, such as `ndcg@10`.
METRIC_PATTERN = (
    f"^({'|'.join(name for name in HIGHER_IS_BETTER if name not in AT_K)}|({'|'.join(AT_K)})@[1-9][0-9]{{0,3}})$"
)

MetricName = Annotated[str, Field(pattern=METRIC_PATTERN)]

#: A feature, each value of which is a slice, or a bound such as `age_days < 7`, which splits a numeric one in two.
SliceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*( < -?[0-9]+(\.[0-9]+)?)?$")]


def split_slice(name: str) -> tuple[str, float | None]:
    """Splits a slice's name into feature and bound: `age_days` and 7 for `age_days < 7`; None without a bound."""
    feature, _, bound = name.partition(" < ")
    return feature, float(bound) if bound else None


def kind_of(metric: str) -> str:
    """A metric without its k: `ndcg` for `ndcg@10`."""
    return metric.partition("@")[0]


def largest_value(metric: str) -> float:
    """The largest value that a metric can have, as `HIGHER_IS_BETTER` names it, or with its k; no metric is below 0."""
    return math.inf if kind_of(metric) in ("logloss", "calibration") else 1.0


def k_of(metric: str) -> int | None:
    """The number of positions that a metric covers: 10 for `ndcg@10`; None for a metric of all positions."""
    k = metric.partition("@")[2]
    return int(k) if k else None


@dataclass(frozen=True, config=STRICT)
class SliceThreshold:
    """What a metric must reach in each slice for the model to be pushed.

    Attributes:
      min: The lowest value allowed. In a slice, and on fewer than `min_positives`, a model is refused only if the
        metric's whole 95 % interval is lower.
      max: The highest value allowed, in the same way.
      max_worsening: By how much it may be worse than the baseline's, beyond what may be chance. With m this number
        and h half the width of the change's 95 % interval, a model is refused if the metric is worse by more than m + h
        and by more than 2 h. Not used on a first run.
    """

    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    max_worsening: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> SliceThreshold:
        if self.min is None and self.max is None and self.max_worsening is None:
            raise ValueError("a slice's threshold has `min`, `max` or `max_worsening`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` must not be above `max`. Received: {self.min} and {self.max}")
        return self


@dataclass(frozen=True, config=STRICT)
class Threshold(SliceThreshold):
    """What a metric must reach over all examples for the model to be pushed."""

    @model_validator(mode="after")
    def _holds_a_first_model(self) -> Threshold:
        if self.min is None and self.max is None:
            raise ValueError("a threshold has `min`, `max` or both: `max_worsening` alone would pass any first model")
        return self


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """The gates on quality.

    Attributes:
      thresholds: By metric: `auc`, `auc_pr` (the area under the precision-recall curve), `logloss`, `accuracy` (the
        share of examples whose label is predicted), `calibration` (mean prediction ÷ mean label), `calibration_error`
        (the mean of |mean prediction - mean label| over 20 bins of the examples by score, by their weight),
        `mean_prediction`; and those of a ranking: `gauc` (the mean AUC of the groups, weighted by their impressions),
        `ndcg@K`, `map@K` and `recall@K` (means over the requests), such as `ndcg@10`.
      max_miscalibration: By how much `calibration` may differ from 1. A model is refused if the whole 95 % interval
        does, unless it is nearer to 1 than the baseline, beyond chance. Null switches the bound off, and the
        warning of logits that are too large or too small by a factor.
      slices: Features by whose values the metrics are also measured, such as `country`; and bounds of numeric features,
        such as `age_days < 7`, by which the examples below and the others are.
      slice_thresholds: By metric, what holds in each slice of at least `min_slice_positives`. Smaller ones are named.
      min_positives: How many evaluation examples of either label a first model is judged by. With fewer it is pushed
        only if its AUC is above 0.5 beyond chance; later models are then refused by `min` and `max` only where the
        metric's whole 95 % interval is out of bounds.
      min_slice_positives: In a slice with fewer examples of either label nothing must be reached, as the interval of a
        change would be too wide to decide; but from 15 on, a model is refused if it is worse by more than
        `max_worsening` and by more than 3.9 standard errors.
      min_slice_examples: The same for all examples of a slice.
      user: The feature that is the user's id. Examples of one user are alike, so the bootstrap draws them together;
        intervals by request are too narrow. Left out, it is `gauc_by`, else the context's feature by which installs
        are joined; an example without a user is drawn by its request, and one without a request by itself.
      accuracy_threshold: With `accuracy`: a score from this one on predicts label 1.
      top_ks: The K for which `ndcg@K`, `map@K` and `recall@K` are measured, beside those of the thresholds.
      gauc_by: The feature whose values are the groups of `gauc`, such as the user's id; it must be `required`. Left
        out, the groups are the requests.
    """

    thresholds: Annotated[dict[MetricName, Threshold], Field(min_length=1)]
    max_miscalibration: Annotated[float, Field(gt=0, lt=1)] | None = 0.15
    slices: tuple[SliceName, ...] = ()
    slice_thresholds: dict[MetricName, SliceThreshold] = Field(default_factory=dict)
    min_positives: PositiveInt = 200
    min_slice_positives: PositiveInt = 50
    min_slice_examples: PositiveInt = 1
    user: Name | None = None
    accuracy_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    top_ks: tuple[PositiveInt, ...] = (10,)
    gauc_by: Name | None = None

    @model_validator(mode="after")
    def _thresholds_fit(self) -> Evaluation:
        for name, rule in self.all_thresholds:
            if rule.max_worsening is not None and HIGHER_IS_BETTER[kind_of(name)] is None:
                raise ValueError(f"{name} has `min` and `max` only: neither more nor less of it is worse as such")
        if self.slice_thresholds and not self.slices:
            raise ValueError("`slice_thresholds` needs `slices`: the features by which the examples are sliced")
        return self

    @property
    def all_thresholds(self) -> tuple[tuple[str, SliceThreshold], ...]:
        """The thresholds on all examples, then those on the slices, each with its metric."""
        return (*self.thresholds.items(), *self.slice_thresholds.items())

    @property
    def ks(self) -> tuple[int, ...]:
        """All K that are measured, ascending."""
        named = (k_of(name) for name, _ in self.all_thresholds)
        return tuple(sorted({*self.top_ks, *(k for k in named if k is not None)}))
