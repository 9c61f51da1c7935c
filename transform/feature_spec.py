"""The feature spec: every feature, cross and count encoding, declared once in the config.

The reading columns, the TFDV schema, ``preprocessing_fn``, the model's inputs and the request
format are all derived from the objects of this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from transform.combinations import COUNT_INPUTS, CountEncoding, Cross
from transform.feature import STRICT, Feature, Part, Vocabulary
from transform.signature_names import TRANSFORMED_SUFFIX


def transformed_name(name: str) -> str:
    """Returns the key of a feature or a cross after tf.Transform."""
    return f"{name}{TRANSFORMED_SUFFIX}"


@dataclass(frozen=True, config=STRICT)
class FeatureSpec:
    """All features, crosses and count encodings of a config, and what follows from them together."""

    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=1000)]
    crosses: Annotated[tuple[Cross, ...], Field(max_length=1000)] = ()
    count_encodings: Annotated[tuple[CountEncoding, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _check(self) -> FeatureSpec:
        self._check_names()
        self._check_features()
        self._check_combinations()
        return self

    def _check_names(self) -> None:
        """Checks that no two of the examples' keys are the same."""
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
            if not f.has_ids and f.bucket_name in taken:
                raise ValueError(f"`{f.bucket_name}` is the name of {f.name}'s quantile and cannot be a feature's")
        transformed = {f.name for f in self.features} | {c.name for c in self.crosses}
        for count in self.count_encodings:
            for name in (count.key_name, *map(count.input_name, COUNT_INPUTS)):
                if name in transformed:
                    raise ValueError(f"`{name}` is a name of {count.name}'s and cannot be a feature's or a cross's")

    def _check_features(self) -> None:
        """Checks that a shared vocabulary is one, and that a number has buckets where its quantile is read."""
        if len(placed := [f.name for f in self.features if f.at_serving is not None]) > 1:
            raise ValueError(f"at most one feature has `at_serving`. Received: {placed}")
        for f in self.features:
            if isinstance(f.vocabulary, str) and f.vocabulary not in self.vocabularies:
                raise ValueError(
                    f"feature `{f.name}` shares the vocabulary of `{f.vocabulary}`, which has no vocabulary "
                    f"rule of its own; allowed: {sorted(self.vocabularies)}"
                )
            if self.needs_bucket(f) and f.num_buckets is None:
                raise ValueError(
                    f"feature `{f.name}` has no `num_quantiles` and no `boundaries`, and one of them is required where "
                    "the wide part, a cross or a count encoding reads a number; `parts: [deep]` takes it out of the "
                    "wide part"
                )

    def _check_combinations(self) -> None:
        """Checks that crosses and count encodings are of declared features, and no count is of a list."""
        for what, combinations in (("cross", self.crosses), ("count encoding", self.count_encodings)):
            for combination in combinations:
                for name in combination.features:
                    if name not in self.by_name:
                        raise ValueError(
                            f"{what} `{combination.name}` names the feature `{name}`, which is not declared; "
                            f"allowed: {sorted(self.by_name)}"
                        )
                    if self.by_name[name].at_serving is not None:
                        raise ValueError(
                            f"{what} `{combination.name}` names the feature `{name}`, which has `at_serving`: no "
                            "request has it"
                        )
                    if what == "count encoding" and self.by_name[name].is_list:
                        raise ValueError(
                            f"count encoding `{combination.name}` names the list `{name}`; a list cannot be counted"
                        )

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {f.name: f for f in self.features}

    @property
    def example_names(self) -> frozenset[str]:
        """The names under which the examples have features: the current names and `renamed_from`."""
        return frozenset({name for f in self.features for name in (f.name, f.renamed_from) if name is not None})

    @cached_property
    def at_serving(self) -> Feature | None:
        """The feature that only the log has, such as the position; None without one."""
        return next((f for f in self.features if f.at_serving is not None), None)

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

    @property
    def learned_vocabularies(self) -> tuple[str, ...]:
        """The names of all vocabularies that tf.Transform learns: of features that declare one, of counted crosses."""
        return (*self.vocabularies, *(cross.name for cross in self.crosses if cross.num_hash_buckets is None))

    def sharers(self, owner: str) -> tuple[Feature, ...]:
        """The features that use the vocabulary that `owner` declares, including `owner`."""
        return tuple(f for f in self.features if f.has_ids and self.vocabulary_owner(f).name == owner)

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
        return tuple(f for f in self.features if part in f.parts and f.at_serving is None)

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
        """Whether a numeric feature's quantile is needed as an id: for a cross, a count encoding, or a part by rows."""
        return not feature.has_ids and (
            feature.has_tower
            or feature in self.of_part("wide")
            or any(feature.name in c.features for c in self.combinations)
        )


def vocabulary_file_name(name: str) -> str:
    """The name under which tf.Transform stores the vocabulary of a feature or of a counted cross."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a vocabulary's name has small letters, digits and underscores only. Received: {name!r}")
    return f"{name}_vocabulary"
