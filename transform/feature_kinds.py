"""The kinds of features, as data: what a feature of each kind holds, what it becomes, and which options it has.

What TensorFlow's graph and the model make of a kind is a row of a table: in `transform.graph.feature_kinds` and in
`trainer.wide_deep.feature_kinds`. All else asks what a kind declares, and nothing compares its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

KindName = Literal["categorical", "categorical_list", "numeric"]


@dataclasses.dataclass(frozen=True)
class FeatureKind:
    """One kind of features.

    Attributes:
      column: The kind of the column that it is read from (`transform.config.columns.ColumnKind`).
      holds: What its values are in the examples and in requests: texts, or numbers as float32.
      is_list: Whether a row can have several values.
      becomes: What tf.Transform makes of it: the `ids` of a vocabulary's tokens, or a `number` and its quantile.
      options: Its options, of `OPTIONS`.
    """

    column: Literal["string", "list", "float"]
    holds: Literal["text", "number"]
    is_list: bool
    becomes: Literal["ids", "number"]
    options: frozenset[str]


KINDS: Mapping[KindName, FeatureKind] = {
    "categorical": FeatureKind("string", "text", False, "ids", frozenset({"vocabulary", "derive", "at_serving"})),
    "categorical_list": FeatureKind("list", "text", True, "ids", frozenset({"vocabulary", "one_hot"})),
    "numeric": FeatureKind(
        "float", "number", False, "number", frozenset({"num_quantiles", "boundaries", "scale", "at_serving"})
    ),
}

#: The options of `transform.feature.Feature` that only some kinds have, and what the error says after "goes with".
OPTIONS: Mapping[str, str] = {
    "derive": "kind categorical only. Received: {kind}",
    "vocabulary": "the categorical kinds only; a numeric feature has `num_quantiles`",
    "scale": "kind numeric only; a categorical feature has `vocabulary`",
    "boundaries": "kind numeric only; a categorical feature has `vocabulary`",
    "num_quantiles": "kind numeric only; a categorical feature has `vocabulary`",
    "one_hot": "kind categorical_list only, whose values are names of columns",
    "at_serving": "the kinds categorical and numeric only, with one value a row. Received: {kind}",
}
