"""Defines the model's weight tables and what each row of a table represents."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np

from transform.feature import MISSING_ROW, Scale


@dataclasses.dataclass(frozen=True)
class RowKeys:
    """What the rows of a table represent, so that a later model can match them.

    The warm-start files of all releases have these names; they do not follow the config's.

    Attributes:
      kind: `vocabulary`: row i is the vocabulary's token i, and the out-of-vocabulary rows follow. `hash`: row i is
        hash bucket i. `quantiles`: row i is quantile i, and the last row represents a missing value. `share` and
        `rows`: row i is bucket i of one of a count's two numbers (`trainer.counts`), and the last row represents a
        hidden count.
      vocabulary: For `vocabulary`: the name of the feature or cross that owns the vocabulary.
      oov_buckets: For `vocabulary`: the number of rows after the tokens' rows.
      features: For a cross or quantiles: the features whose values form a row's key, in the key's order.
      quantiles: The number of quantiles of each numeric feature among `features`, by name.
      has_missing_row: For `vocabulary`: whether the row `MISSING_ROW` represents a missing value.
    """

    kind: Literal["vocabulary", "hash", "quantiles", "share", "rows"]
    vocabulary: str | None = None
    oov_buckets: int = 0
    features: tuple[str, ...] = ()
    quantiles: dict[str, int] = dataclasses.field(default_factory=dict)
    has_missing_row: bool = False

    def rows_without_token(self, rows: int) -> np.ndarray:
        """The rows, int64, that represent unknown and missing values, in a table of `rows` rows."""
        if self.kind == "quantiles":
            return np.array([rows - 1], np.int64)
        missing = [MISSING_ROW] if self.has_missing_row else []
        return np.array([*missing, *range(rows - self.oov_buckets, rows)], np.int64)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Table:
    """One weight table.

    Attributes:
      name: `embedding/<feature that declares the vocabulary>`, `wide/<feature or cross>`, or either prefix with a
        count input's name.
      rows: The number of rows.
      keys: What the rows represent.
      inputs: The transformed names of the inputs whose ids are looked up in the table, in the spec's order.
      width: The number of values in a row; 1 in the wide part.
    """

    name: str
    rows: int
    keys: RowKeys
    inputs: tuple[str, ...]
    width: int = 1


@dataclasses.dataclass(frozen=True)
class InputBlock:
    """The columns of the deep part's input that belong to one feature.

    Attributes:
      feature: The feature's name.
      width: The number of columns: an embedding's width, or 2 for a numeric feature.
      vocabulary: The vocabulary, or the count, that the embeddings belong to; None for a numeric feature.
      combiner: How a list's embeddings are combined; None for a feature that is not a list.
      scale: The scale of a numeric feature; the default for the others.
    """

    feature: str
    width: int
    vocabulary: str | None
    combiner: str | None
    scale: Scale = "quantile"
