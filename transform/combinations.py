"""Crosses and count encodings, as a config declares them: what combines the values of several features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.feature import STRICT, Name, Part

#: Joins the tokens of a cross; a control character, so that it does not occur in tokens.
CROSS_SEPARATOR = "\x1f"

#: The `min_count` of the crosses that `wdr init` writes and `wdr try --suggest` tries.
USUAL_MIN_COUNT = 10

#: The model's two inputs from a count encoding: the share of positives, and the number of rows.
CountInput = Literal["share", "rows"]
COUNT_INPUTS: tuple[CountInput, ...] = ("share", "rows")

#: The number of buckets of each of these inputs (`trainer.counts`).
NUM_COUNT_BUCKETS = 32

#: Maximum number of characters of the name of a cross or a count encoding. It is in files' names, of at most 255
#: characters; the longest have 21 besides: `table.wide.NAME_share.npz` among the files for a warm start.
MAX_COMBINATION_NAME = 234


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
