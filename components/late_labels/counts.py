"""What became of a span's tail, in numbers; an artifact of completed examples has them as custom properties."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic.dataclasses import dataclass

from transform.documents import CONFIG


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class LateCounts:
    """What became of a span's tail.

    Attributes:
      span: The span.
      waiting: The impressions of its tail.
      completed: Those whose labels are known by the end of the next span; they are its late examples.
      positives: Completed ones with the label 1.
      found_late: Positives that no install of the span's own log follows.
      still_open: Impressions whose windows are open at the next span's end too; they are left out for good.
      shared: Completed ones that can share their label with an evaluation impression of the next span.
      not_ingested: 1 if the pipeline has no Examples of the span, by this config and code; else 0.
      lost: The impressions that ingestion wrote to the tail, but that are there no longer.
      rows_read: The rows of the next span's installs and evaluation impressions that were read for it.
    """

    span: int
    waiting: int = 0
    completed: int = 0
    positives: int = 0
    found_late: int = 0
    still_open: int = 0
    shared: int = 0
    not_ingested: int = 0
    lost: int = 0
    rows_read: int = 0

    def __add__(self, other: LateCounts) -> LateCounts:
        """Returns the sums of the counts of two parts of one tail."""
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return LateCounts(**{name: ours[name] + theirs[name] for name in ours} | {"span": self.span})


def read_label_counts(properties: Mapping[str, Any]) -> LateCounts:
    """Returns the counts that an artifact in ML Metadata has as custom properties."""
    return LateCounts(**{field.name: properties[field.name].int_value for field in dataclasses.fields(LateCounts)})
