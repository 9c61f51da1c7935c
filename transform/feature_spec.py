"""The feature spec: every feature, cross and count encoding, declared once in the config.

The reading columns, the TFDV schema, ``preprocessing_fn``, the model's inputs and the request
format are all derived from the objects of this module.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from transform.derived_times import Derive

STRICT = ConfigDict(extra="forbid", str_strip_whitespace=False)

#: Keys of a raw tf.Example that are not features.
LABEL = "label"
WEIGHT = "weight"
REQUEST_ID = "request_id"
IMPRESSION_ID = "impression_id"
TIMESTAMP = "timestamp"
TABLE_KEY = "table_key"
SPAN = "span"
FOLD = "fold"
SHARES_LABEL = "shares_label"

#: The number of spans, 0 if the key is missing, after the end of its own span by whose end an example's label was known
#: (`components.late_labels`).
LATE_LABEL = "late_label"

#: The keys that a logged example has but a request does not, and that the model does not read.
KNOWN_AFTERWARDS = (LABEL, WEIGHT, SPAN, FOLD, SHARES_LABEL, LATE_LABEL)
RESERVED_NAMES = frozenset({*KNOWN_AFTERWARDS, REQUEST_ID, IMPRESSION_ID, TIMESTAMP, TABLE_KEY})

#: The number of folds; rows that can share an install are in the same fold.
NUM_FOLDS = 8

#: The value for "no span" or "no fold".
NO_SPAN = NO_FOLD = -1

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

#: Joins the tokens of a cross; a control character, so that it does not occur in tokens.
CROSS_SEPARATOR = "\x1f"

#: The model's two inputs from a count encoding: the share of positives, and the number of rows.
CountInput = Literal["share", "rows"]
COUNT_INPUTS: tuple[CountInput, ...] = ("share", "rows")

#: The number of buckets of each of these inputs (`trainer.counts`).
NUM_COUNT_BUCKETS = 32

#: Maximum number of characters of the name of a cross or a count encoding. It is in files' names, of at most 255
#: characters; the longest have 21 besides: `table.wide.NAME_share.npz` among the files for a warm start.
MAX_COMBINATION_NAME = 234

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
Side = Literal["context", "item"]

#: A bucket's lowest value: a number that a float32 holds.
Boundary = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]
Part = Literal["wide", "deep"]
ColumnName = Annotated[str, Field(min_length=1, max_length=1000)]


def transformed_name(name: str) -> str:
    """Returns the key of a feature or a cross after tf.Transform."""
    return f"{name}_xf"


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
      renamed_from: The feature's name before. The examples have its values under both names, so that a model that
        serves and reads the old one can be compared. It may go once a model of the new name serves.
      trim: Remove the white space at both ends of its texts, in logs, tables and requests. Set it to false where a
        column's spaces tell values apart.
      required: Reject a row that has no value for it.
      min_present_fraction: Fewer rows than this with a value are an anomaly, which stops the run.
    """

    name: Name
    side: Side
    kind: Literal["categorical", "categorical_list", "numeric"]
    source: Name = IMPRESSIONS
    column: str | None = None
    one_hot: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=1000)] | None = None
    vocabulary: Vocabulary | Name | None = None
    num_quantiles: Annotated[int, Field(ge=2, le=10_000)] | None = None
    boundaries: Annotated[tuple[Boundary, ...], Field(min_length=1, max_length=9_999)] | None = None
    scale: Scale = "quantile"
    derive: Derive | None = None
    parts: tuple[Part, ...] = ("wide", "deep")
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
    def _rule_fits_kind(self) -> Feature:
        if self.derive is not None and self.kind != "categorical":
            raise ValueError(f"`derive` goes with kind categorical only. Received: {self.kind}")
        if self.kind == "numeric":
            if self.vocabulary is not None:
                raise ValueError(
                    "`vocabulary` goes with the categorical kinds only; a numeric feature has `num_quantiles`"
                )
            if self.num_buckets is None and self.scale == "quantile":
                raise ValueError("`num_quantiles` is required for a numeric feature; allowed: 2 to 10000")
            if self.boundaries is not None:
                self._check_boundaries(self.boundaries)
        else:
            if self.scale != "quantile":
                raise ValueError("`scale` goes with kind numeric only; a categorical feature has `vocabulary`")
            if self.boundaries is not None:
                raise ValueError("`boundaries` goes with kind numeric only; a categorical feature has `vocabulary`")
            if self.num_quantiles is not None:
                raise ValueError("`num_quantiles` goes with kind numeric only; a categorical feature has `vocabulary`")
            if self.vocabulary is None:
                raise ValueError("`vocabulary` is required for a categorical feature: a rule, or a feature's name")
        return self

    @model_validator(mode="after")
    def _one_hot_columns(self) -> Feature:
        if self.one_hot is not None:
            if self.kind != "categorical_list":
                raise ValueError("`one_hot` goes with kind categorical_list only, whose values are names of columns")
            if self.column is not None:
                raise ValueError("a list is read from one of `column` and `one_hot`")
            if len(set(self.one_hot)) != len(self.one_hot):
                raise ValueError(f"`one_hot` names each column once. Received: {list(self.one_hot)[:20]}")
        return self

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
    def is_numeric(self) -> bool:
        return self.kind == "numeric"

    @property
    def is_list(self) -> bool:
        return self.kind == "categorical_list"

    @property
    def is_one_text(self) -> bool:
        """Whether its value is a text as it is: then the text can be an id."""
        return self.kind == "categorical" and self.derive is None

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


@dataclass(frozen=True, config=STRICT)
class Cross:
    """A cross-product feature (paper, section 3.1): one weight per combination of values.

    Attributes:
      features: The names of at least two features; a numeric one enters as its quantile.
      num_hash_buckets: Hash every combination into this many weights, or
      min_count: give a weight to each combination that occurs at least this often in training.
      max_size: With `min_count`: keep at most this many of the most frequent combinations. As many again may be kept by
        `memory_spans`.
      memory_spans: With `min_count`, and without a numeric feature, whose quantiles move: as a vocabulary's; 14 if
        left out. Without `max_size`, at most 1,000,000 combinations are kept by it.
    """

    features: Annotated[tuple[Name, ...], Field(min_length=2, max_length=5)]
    num_hash_buckets: Annotated[int, Field(ge=2, le=100_000_000)] | None = None
    min_count: Annotated[int, Field(ge=1)] | None = None
    max_size: Annotated[int, Field(ge=1)] | None = None
    memory_spans: Annotated[int, Field(ge=0, le=10_000)] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Cross:
        if (self.num_hash_buckets is None) == (self.min_count is None):
            raise ValueError("a cross has exactly one of `num_hash_buckets` and `min_count`")
        for name in ("max_size", "memory_spans"):
            if getattr(self, name) is not None and self.min_count is None:
                raise ValueError(f"`{name}` goes with `min_count` only")
        _check_combination("a cross", self.features, self.name)
        return self

    @property
    def name(self) -> str:
        return "_x_".join(self.features)


@dataclass(frozen=True, config=STRICT)
class CountEncoding:
    """A count encoding: how many rows with a combination of values were known before a row, and their positive share.

    A cross memorizes a combination only once it has learned a weight for it; a count says in one look what is known of
    it, and what that is worth is learned from all combinations. A row of training or evaluation sees the labels of
    earlier spans alone, a request those of the whole window (`trainer.counts`).

    Attributes:
      features: The names of its features, none of them a list; a numeric one enters as its quantile.
      max_size: Keep at most this many of the most frequent combinations; of the rest nothing is known.
      parts: Which parts of the model read it.
    """

    features: Annotated[tuple[Name, ...], Field(min_length=1, max_length=5)]
    max_size: Annotated[int, Field(ge=1)] | None = None
    parts: tuple[Part, ...] = ("wide", "deep")

    @model_validator(mode="after")
    def _features_differ(self) -> CountEncoding:
        _check_combination("a count encoding", self.features, self.name)
        return self

    @property
    def name(self) -> str:
        return f"count_of_{'_x_'.join(self.features)}"

    @property
    def key_name(self) -> str:
        """The untransformed name of the key by which its numbers are looked up: a fingerprint of the combination."""
        return f"{self.name}_key"

    def input_name(self, which: CountInput) -> str:
        """The untransformed name of one of the model's two inputs from this count."""
        return f"{self.name}_{which}"


def _check_combination(what: str, features: tuple[str, ...], name: str) -> None:
    if len(set(features)) != len(features):
        raise ValueError(f"{what} names each feature once. Received: {list(features)}")
    if len(name) > MAX_COMBINATION_NAME:
        raise ValueError(
            f"the name of {what}, made of its features' names, has at most {MAX_COMBINATION_NAME} characters, as files "
            f"are named by it. Received: {len(name)}, {name}"
        )


@dataclass(frozen=True, config=STRICT)
class FeatureSpec:
    """All features, crosses and count encodings of a config, and what follows from them together."""

    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=1000)]
    crosses: Annotated[tuple[Cross, ...], Field(max_length=1000)] = ()
    count_encodings: Annotated[tuple[CountEncoding, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _names_resolve(self) -> FeatureSpec:
        taken: set[str] = set()
        for name in [f.name for f in self.features] + [c.name for c in self.combinations]:
            if name in taken:
                raise ValueError(
                    f"`{name}` is declared twice in features, crosses and count_encodings; each name must be unique"
                )
            taken.add(name)
        for f in self.features:
            if f.renamed_from is not None:
                if f.renamed_from in taken:
                    raise ValueError(
                        f"feature `{f.name}` has `renamed_from: {f.renamed_from}`, a name that something else has; it "
                        "must be one that is free"
                    )
                taken.add(f.renamed_from)
            if f.is_numeric and f.bucket_name in taken:
                raise ValueError(f"`{f.bucket_name}` is the name of {f.name}'s quantile and cannot be a feature's")
        transformed = {f.name for f in self.features} | {c.name for c in self.crosses}
        for count in self.count_encodings:
            for name in (count.key_name, *map(count.input_name, COUNT_INPUTS)):
                if name in transformed:
                    raise ValueError(f"`{name}` is a name of {count.name}'s and cannot be a feature's or a cross's")
        by_name = self.by_name
        for f in self.features:
            if isinstance(f.vocabulary, str):
                owner = by_name.get(f.vocabulary)
                if owner is None or not isinstance(owner.vocabulary, Vocabulary):
                    owners = sorted(o.name for o in self.features if isinstance(o.vocabulary, Vocabulary))
                    raise ValueError(
                        f"feature `{f.name}` shares the vocabulary of `{f.vocabulary}`, which has no vocabulary "
                        f"rule of its own; allowed: {owners}"
                    )
            if self.needs_bucket(f) and f.num_buckets is None:
                raise ValueError(
                    f"feature `{f.name}` has no `num_quantiles` and no `boundaries`, and one of them is required where "
                    "the wide part, a cross or a count encoding reads a number; `parts: [deep]` takes it out of the "
                    "wide part"
                )
        for what, combinations in (("cross", self.crosses), ("count encoding", self.count_encodings)):
            for combination in combinations:
                for name in combination.features:
                    if name not in by_name:
                        raise ValueError(
                            f"{what} `{combination.name}` names the feature `{name}`, which is not declared; "
                            f"allowed: {sorted(by_name)}"
                        )
                    if what == "count encoding" and by_name[name].is_list:
                        raise ValueError(
                            f"count encoding `{combination.name}` names the list `{name}`; a list cannot be counted"
                        )
        return self

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {f.name: f for f in self.features}

    @property
    def example_names(self) -> frozenset[str]:
        """The names under which the examples have features: the current names and `renamed_from`."""
        return frozenset({name for f in self.features for name in (f.name, f.renamed_from) if name is not None})

    @property
    def combinations(self) -> tuple[Cross | CountEncoding, ...]:
        """The crosses and the count encodings."""
        return (*self.crosses, *self.count_encodings)

    def vocabulary_owner(self, feature: Feature) -> Feature:
        """The feature whose vocabulary, and so whose embedding table, `feature` uses; often `feature` itself."""
        return self.by_name[feature.vocabulary] if isinstance(feature.vocabulary, str) else feature

    @cached_property
    def vocabularies(self) -> dict[str, Vocabulary]:
        """The vocabulary rules, by the name of the feature that declares each."""
        return {f.name: f.vocabulary for f in self.features if isinstance(f.vocabulary, Vocabulary)}

    def sharers(self, owner: str) -> tuple[Feature, ...]:
        """The features that use the vocabulary that `owner` declares, including `owner`."""
        return tuple(f for f in self.features if not f.is_numeric and self.vocabulary_owner(f).name == owner)

    def crossed_lists(self) -> list[list[str]]:
        """The names of the lists of each cross that has more than one."""
        lists = [[name for name in cross.features if self.by_name[name].is_list] for cross in self.crosses]
        return [names for names in lists if len(names) > 1]

    def derived_among(self, vocabulary: str) -> dict[str, str]:
        """The `Derive.meaning` of each derived feature of a vocabulary: its sharers, or the features of its cross.

        Args:
          vocabulary: The name of the feature that declares it, or of the counted cross.
        """
        crosses = {cross.name: cross.features for cross in self.crosses}
        of_cross = [self.by_name[name] for name in crosses.get(vocabulary, ())]
        return {f.name: f.derive.meaning for f in of_cross or self.sharers(vocabulary) if f.derive is not None}

    def has_missing_row(self, owner: str) -> bool:
        """Whether the vocabulary that `owner` declares has a row for a missing value; a missing list is empty."""
        return any(not f.is_list for f in self.sharers(owner))

    def of_part(self, part: Part) -> tuple[Feature, ...]:
        return tuple(f for f in self.features if part in f.parts)

    def counts_of_part(self, part: Part) -> tuple[str, ...]:
        """The untransformed names of the count inputs that a part of the model reads."""
        return tuple(c.input_name(which) for c in self.count_encodings if part in c.parts for which in COUNT_INPUTS)

    def stored_names(self, inputs: Iterable[str]) -> tuple[str, ...]:
        """The outputs of tf.Transform that some of the model's inputs come from: for a count's inputs, its key.

        Args:
          inputs: Transformed names.

        Returns:
          Transformed names, each once.
        """
        keys = {
            transformed_name(c.input_name(which)): transformed_name(c.key_name)
            for c in self.count_encodings
            for which in COUNT_INPUTS
        }
        return tuple(dict.fromkeys(keys.get(name, name) for name in inputs))

    def needs_bucket(self, feature: Feature) -> bool:
        """Whether a numeric feature's quantile is needed as an id: for the wide part, a cross or a count encoding."""
        return feature.is_numeric and (
            "wide" in feature.parts or any(feature.name in c.features for c in self.combinations)
        )


def missing_number(scale: Scale) -> float:
    """The value for a missing number in the transformed examples."""
    return MISSING_QUANTILE if scale == "quantile" else MISSING_STANDARDIZED


def middle_number(scale: Scale) -> float:
    """What the deep part reads in place of a missing number: the middle quantile, or the mean."""
    return 0.5 if scale == "quantile" else 0.0


def vocabulary_file_name(name: str) -> str:
    """The name under which tf.Transform stores the vocabulary of a feature or of a counted cross."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a vocabulary's name has small letters, digits and underscores only. Received: {name!r}")
    return f"{name}_vocabulary"
