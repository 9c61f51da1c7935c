"""The config's section `drift`: how far a span may be from the last one that the gate on drift let through."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from transform.feature_spec import STRICT, Name

#: A Jensen-Shannon divergence, to the base 2: 0 for equal distributions, 1 for those that share no value.
Divergence = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, config=STRICT)
class Drift:
    """How far a span's examples may be from those of the last span before it that this gate let through.

    Attributes:
      max_divergence: By feature, or `label`: the largest Jensen-Shannon divergence (base 2) allowed, from 0, equal, to
        1, no value in common. A numeric feature is compared by its histogram.
      action: `stop` the run, before anything is learned, or `warn` in the summary.
      min_rows_ratio: If a span has fewer examples than this share of that one's, as where most of its logs are missing,
        the run stops, whatever the action. 0 asks for none.
    """

    max_divergence: dict[Name, Divergence] = Field(default_factory=dict)
    action: Literal["stop", "warn"] = "stop"
    min_rows_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.1
