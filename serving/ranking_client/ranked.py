"""The result of a ranking request."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serving.ranking_client.explanations import Explanation


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
class Ranking:
    """The answer to a request.

    Attributes:
      items: The candidates, best first.
      model: The model that answered.
      version: Its version; the same for all parts of the request.
      signature: The signature that answered.
      warnings: Problems of a request that was ranked nevertheless, one sentence each.
      explanations: The explanation of each item, in the items' order; empty if explanations were not asked for.
    """

    items: tuple[RankedItem, ...]
    model: str
    version: int
    signature: str
    warnings: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
