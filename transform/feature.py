"""A feature and its vocabulary, as a config declares them, and the values that stand for a missing one."""

from __future__ import annotations

import itertools
import struct
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from transform.derived_times import Derive
from transform.example_keys import RESERVED_NAMES
from transform.feature_kinds import KINDS, OPTIONS, FeatureKind, KindName

STRICT = ConfigDict(extra="forbid", str_strip_whitespace=False)

#: The source whose rows are the impressions.
IMPRESSIONS = "impressions"

#: The token for a missing categorical value; counted like any other token.
MISSING_TOKEN = "<missing>"

#: The row of that token, in each vocabulary that is used by a feature that is not a list.
MISSING_ROW = 0

#: The value for a missing number, among the normalized quantiles, which are in [0, 1].
MISSING_QUANTILE = -1.0

#: How a number enters the deep part: as its normalized quantile, or standardized, itself or its logarithm.
Scale = Literal["quantile", "standard", "log"]

#: A standardized number is in [-10, 10], so that no outlier, of a request say, can move a score without limit.
MAX_STANDARDIZED = 10.0

#: The value for a missing number among the standardized ones.
MISSING_STANDARDIZED = -11.0

#: The default number of spans for which a token that a window lacks keeps its row: longer than a week of days.
MEMORY_SPANS = 14

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Side = Literal["context", "item"]

#: The largest number that a config may give of a feature, just below the largest float32.
MAX_NUMBER = 3.4e38

#: A bucket's lowest value: a number that a float32 holds.
Boundary = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER)]
Part = Literal["wide", "deep"]
ColumnName = Annotated[str, Field(min_length=1, max_length=1000)]


@dataclass(frozen=True, config=STRICT)
class Vocabulary:
    """Which tokens get an id of their own (paper, section 4.1).

    Attributes:
      min_count: A token gets an id only if it occurs at least this often in the training split.
      max_size: Keep at most this many of the most frequent tokens; None keeps all. As many again may be kept by
        `memory_spans`.
      num_oov_buckets: The other tokens are hashed into this many ids behind the vocabulary's.
      memory_spans: A token that had an id keeps it, and a warm start its row, for this many spans after the last one
        that had it: a weekday, which a short window lacks, comes back after 7 days. 0 forgets at once.
    """

    min_count: Annotated[int, Field(ge=1)] = 1
    max_size: Annotated[int, Field(ge=1)] | None = None
    num_oov_buckets: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    memory_spans: Annotated[int, Field(ge=0, le=10_000)] = MEMORY_SPANS


@dataclass(frozen=True, config=STRICT)
class AtServing:
    """How a model learns what the position of an impression does, so that its scores do not depend on a position.

    A request has no position yet. The feature therefore enters neither the wide nor the deep part, and no request needs
    to have it. What a log can tell of it comes from impressions that were placed by chance, which
    `sources.impressions.randomized` or `propensity` says.

    Attributes:
      method: `tower`: the feature enters by a part of its own, a shallow tower whose output is added to the logit;
        `weights`: the model does not read it, and each training example of a chance p to be placed where it was counts
        1 / p times.
      fixed: With `tower`: the value that all candidates have in each signature: a number, or a text for `categorical`.
      dropout: With `tower`: the share of the training examples in which its output is left out.
      clip: With `weights`: the largest weight; a lower one gives less variance, and more of the policy's bias.
    """

    method: Literal["tower", "weights"] = "tower"
    fixed: float | str | None = None
    # Zhao et al., "Recommending What Video to Watch Next" (RecSys 2019), section 4.3: 10 % keep a model from relying on
    # the position too much.
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    clip: Annotated[float, Field(ge=1, le=1_000_000)] = 100.0

    @model_validator(mode="after")
    def _keys_fit_method(self) -> AtServing:
        if (self.fixed is None) == (self.method == "tower"):
            must = "needs" if self.fixed is None else "goes without"
            raise ValueError(f"`at_serving` with `method: {self.method}` {must} `fixed`. Received: {self.fixed!r}")
        if isinstance(self.fixed, float) and not abs(self.fixed) <= MAX_NUMBER:
            raise ValueError(f"`at_serving.fixed` must be a finite 32-bit number. Received: {self.fixed}")
        return self


@dataclass(frozen=True, config=STRICT)
class Feature:
    """One raw feature.

    Attributes:
      name: Its key in the raw tf.Example and in a request.
      side: `context` if all candidates of a request share its value, `item` if each candidate has its own.
      kind: `categorical` (one string), `categorical_list` (any number of strings) or `numeric` (one float).
      source: The source it is read from: `impressions` or the name of a table.
      column: The source's column; the feature's name if left out. In `jsonl` and `parquet` sources a member of a nested
        object is a column, named by its path, as `user.country`.
      one_hot: For `categorical_list`, in place of `column`: columns of 0 and 1. The names of those with a 1 are the
        list's values, in this order. A request sends the list.
      vocabulary: For the categorical kinds: a rule, or the name of the feature whose vocabulary it shares.
      num_quantiles: For `numeric`: the number n_q of quantiles.
      boundaries: For `numeric`, in place of `num_quantiles`: the lowest values of all buckets but the first, ascending.
        A bucket takes the place of a quantile.
      scale: For `numeric`: how the deep part reads it. `quantile`: its normalized quantile; `standard`: (x - mean) /
        standard deviation; `log`: the same of sign(x) · log(1 + |x|). Mean and deviation are those of the training
        rows; the result is cut to [-10, 10]. With `standard` and `log`, `num_quantiles` or `boundaries` is required
        only if the wide part, a cross or a count encoding reads the feature.
      derive: For `categorical`: its value is a part of a date or a time, such as the year. Logs, tables and requests
        have the date or time, and the model computes the part. Null takes the column's texts as they are.
      parts: Which parts of the model read it. In the wide part a numeric feature enters as its quantile. With `[]`
        none does, and it is in the examples alone: for slices of the evaluation, or to compare a model that does
        without it with one that serves and reads it.
      at_serving: For a feature that only the log has, such as the position at which an item was shown: it is read in
        training and evaluation, and has a fixed value in each signature. It goes with `side: item`, the source
        `impressions`, and without `parts`, and with `boundaries` if it is numeric.
      renamed_from: The feature's name before. The examples have its values under both names, so that a model that
        serves and reads the old one can be compared. It may go once a model of the new name serves.
      trim: Remove the white space at both ends of its texts, in logs, tables and requests. Set it to false where a
        column's spaces tell values apart.
      required: Reject a row that has no value for it.
      min_present_fraction: Fewer rows than this with a value are an anomaly, which stops the run.
    """

    name: Name
    side: Side
    kind: KindName
    source: Name = IMPRESSIONS
    column: str | None = None
    one_hot: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=1000)] | None = None
    vocabulary: Vocabulary | Name | None = None
    num_quantiles: Annotated[int, Field(ge=2, le=10_000)] | None = None
    boundaries: Annotated[tuple[Boundary, ...], Field(min_length=1, max_length=9_999)] | None = None
    scale: Scale = "quantile"
    derive: Derive | None = None
    parts: tuple[Part, ...] = ("wide", "deep")
    at_serving: AtServing | None = None
    renamed_from: Name | None = None
    trim: bool = True
    required: bool = False
    min_present_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0

    @field_validator("name", "renamed_from")
    @classmethod
    def _name_is_free(cls, name: str | None) -> str | None:
        if name in RESERVED_NAMES:
            raise ValueError(f"must not be one of {sorted(RESERVED_NAMES)}, which are reserved")
        return name

    @model_validator(mode="after")
    def _options_fit_kind(self) -> Feature:
        for option, kinds in OPTIONS.items():
            if option not in self.of_kind.options and getattr(self, option) != getattr(Feature, option):
                raise ValueError(f"`{option}` goes with {kinds.format(kind=self.kind)}")
        if self.has_ids and self.vocabulary is None:
            raise ValueError("`vocabulary` is required for a categorical feature: a rule, or a feature's name")
        if not self.has_ids and self.num_buckets is None and self.scale == "quantile":
            raise ValueError("`num_quantiles` is required for a numeric feature; allowed: 2 to 10000")
        if self.boundaries is not None:
            self._check_boundaries(self.boundaries)
        if self.at_serving is not None:
            self._check_at_serving(self.at_serving)
        if self.one_hot is not None:
            if self.column is not None:
                raise ValueError("a list is read from one of `column` and `one_hot`")
            if len(set(self.one_hot)) != len(self.one_hot):
                raise ValueError(f"`one_hot` names each column once. Received: {list(self.one_hot)[:20]}")
        return self

    def _check_at_serving(self, at_serving: AtServing) -> None:
        if self.side != "item" or self.source != IMPRESSIONS:
            raise ValueError(
                "`at_serving` goes with `side: item` and the source `impressions`, where each candidate has its own. "
                f"Received: side {self.side}, source {self.source}"
            )
        if self.parts not in ((), Feature.parts) or self.derive is not None:
            raise ValueError("`at_serving` goes without `parts` and `derive`: the feature enters by a part of its own")
        if not self.has_ids and self.boundaries is None:
            raise ValueError("`at_serving` of a numeric feature needs `boundaries`: each bucket has its own effect")
        if at_serving.fixed is not None and isinstance(at_serving.fixed, str) != self.has_ids:
            holds = "a text, in quotes," if self.has_ids else "a number"
            raise ValueError(
                f"`at_serving.fixed` must be {holds} for a {self.kind} feature. Received: {at_serving.fixed!r}"
            )

    def _check_boundaries(self, boundaries: tuple[float, ...]) -> None:
        if self.num_quantiles is not None:
            raise ValueError("a numeric feature has one of `num_quantiles` and `boundaries`")
        as_stored = [struct.unpack("f", struct.pack("f", value))[0] for value in boundaries]
        if any(second <= first for first, second in itertools.pairwise(as_stored)):
            raise ValueError(f"`boundaries` must ascend, as 32-bit numbers. Received: {list(boundaries)[:20]}")

    @property
    def num_buckets(self) -> int | None:
        """The number of quantiles, or of the buckets between `boundaries`; None if it has neither."""
        return self.num_quantiles if self.boundaries is None else len(self.boundaries) + 1

    @property
    def has_tower(self) -> bool:
        """Whether it enters by a part of its own, whose output is added to the logit."""
        return self.at_serving is not None and self.at_serving.method == "tower"

    @property
    def largest_weight(self) -> float | None:
        """The largest weight that the chance of an example's place gives; None if it gives none."""
        return None if self.at_serving is None or self.has_tower else self.at_serving.clip

    @property
    def of_kind(self) -> FeatureKind:
        """What its kind declares."""
        return KINDS[self.kind]

    @property
    def is_list(self) -> bool:
        """Whether a row can have several values."""
        return self.of_kind.is_list

    @property
    def has_ids(self) -> bool:
        """Whether it becomes ids of a vocabulary's tokens; otherwise it becomes a number."""
        return self.of_kind.becomes == "ids"

    @property
    def is_one_text(self) -> bool:
        """Whether its value is a text as it is: then the text can be an id."""
        return self.of_kind.column == "string" and self.derive is None

    @property
    def source_column(self) -> str:
        """The column of `source` that holds the value."""
        return self.column or self.name

    @property
    def bucket_name(self) -> str:
        """The untransformed name under which a numeric feature's quantile enters the wide part.

        The quantile is 0 to n_q - 1, or n_q for a missing value.
        """
        return f"{self.name}_bucket"


def missing_number(scale: Scale) -> float:
    """The value for a missing number in the transformed examples."""
    return MISSING_QUANTILE if scale == "quantile" else MISSING_STANDARDIZED


def middle_number(scale: Scale) -> float:
    """What the deep part reads in place of a missing number: the middle quantile, or the mean."""
    return 0.5 if scale == "quantile" else 0.0
