"""The result of a ranking request: the ranked items, and what their logits consist of."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from serving.serving_log.exploration import Arrangement


class RankedItem(NamedTuple):
    """A candidate with its score.

    Attributes:
      item_id: The item id.
      score: sigmoid(wide logit + deep logit).
      wide_logit: The wide part's logit, if logits were asked for.
      deep_logit: The deep part's logit, if logits were asked for.
      in_catalog: Whether the model's catalog has the item; None if the model has no such output.
    """

    item_id: str
    score: float
    wide_logit: float | None = None
    deep_logit: float | None = None
    in_catalog: bool | None = None


@dataclasses.dataclass(frozen=True)
class Summand:
    """What one value adds to a logit.

    Attributes:
      feature: The feature, the count, or the cross as its features' names.
      value: The value, or the combination of values, as text.
      logit: For the wide part a weight, for the deep part an attribution.
    """

    feature: str
    value: str
    logit: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What an item's logit consists of: bias + Σ wide + deep_logit.

    Attributes:
      bias: The model's bias.
      wide: The wide part's weights that apply to the item and are not zero, the strongest first.
      deep_logit: The deep part's logit: deep_baseline_logit + Σ deep + gap.
      deep_baseline_logit: The deep part's logit for zero embeddings and median numbers.
      deep: Each feature's attribution, by integrated gradients, in the model's order.
      gap: What the attributions do not account for, as the quadrature left it.
    """

    bias: float
    wide: tuple[Summand, ...]
    deep_logit: float
    deep_baseline_logit: float
    deep: tuple[Summand, ...]
    gap: float

    @property
    def logit(self) -> float:
        """The logit of the item's score."""
        return self.bias + math.fsum(term.logit for term in self.wide) + self.deep_logit

    @property
    def base_rate(self) -> float:
        """The score without any weight or attribution, sigmoid(bias + deep_baseline_logit)."""
        return (1 + math.tanh((self.bias + self.deep_baseline_logit) / 2)) / 2


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The answer to a request.

    Attributes:
      items: The candidates, best first; with exploration in the order in which they are to be shown.
      model: The model that answered.
      version: Its version; the same for all parts of the request.
      signature: The signature that answered.
      warnings: Problems of a request that was ranked nevertheless, one sentence each.
      explanations: The explanation of each item, in the items' order; empty if explanations were not asked for.
      unknown_value_warnings: Those of the warnings, the last ones, that are about values of the context that the model
        does not know. A value may be rare but right, so each is named once, by the first ranking.
      request_id: The request's id in the serving log, which events about its items name; None without a log.
      arrangement: How exploration has ordered all candidates; None without it.
    """

    items: tuple[RankedItem, ...]
    model: str
    version: int
    signature: str
    warnings: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    unknown_value_warnings: tuple[str, ...] = ()
    request_id: str | None = None
    arrangement: Arrangement | None = None
