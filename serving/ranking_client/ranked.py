"""The result of a ranking request."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


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
    """

    items: tuple[RankedItem, ...]
    model: str
    version: int
    signature: str
    warnings: tuple[str, ...] = ()
