"""The settings of the components: each is a dataclass of exactly the sections that its component reads.

What a section means is said by its own class. A `Config` has all sections, so it may stand where some of them are
asked for. What a component is given is made by `transform.config.component_configs`, and travels as JSON.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from transform.config import infra_validation as infra_settings
from transform.config import settings
from transform.config.columns import Column, column_of, columns_of, logged_column_of
from transform.config.evaluation import OF_GROUPS, Evaluation, kind_of, split_slice
from transform.config.quality import Quality
from transform.config.serving_log import check_log_columns
from transform.config.sources import Sources
from transform.errors import InputError
from transform.feature import IMPRESSIONS, STRICT, Feature
from transform.feature_spec import FeatureSpec
from transform.raw_texts import null_words, trimmed

#: In the JSON of settings of a training: which release's defaults its nulls have. Without it, those of 0.2.0.
VERSION_KEY = "schema_version"


@dataclass(frozen=True, config=STRICT)
class DataSettings:
    """The settings of Transform and of the gate on data."""

    sources: Sources
    spec: FeatureSpec

    @model_validator(mode="after")
    def _features_are_of_sources(self) -> Self:
        allowed = [IMPRESSIONS, *self.sources.tables]
        for f in self.spec.features:
            if f.source not in allowed:
                raise ValueError(f"feature `{f.name}` has the source `{f.source}`, which is none of {allowed}")
            self._check_one_hot(f)
        if self.sources.are_served:
            check_log_columns(self.spec.features)
        return self

    def _check_one_hot(self, feature: Feature) -> None:
        """Checks that each column's name is a value that the list keeps, in the examples and in requests."""
        source = self.sources.of(feature.source)
        nulls = null_words(source.null_values, trim=feature.trim)
        for name in feature.one_hot or ():
            if source.list_separator in name:  # in the rows of `wdr score` the list may be one text
                rule = f"`one_hot` of feature `{feature.name}` names no column whose name has the source's"
                raise ValueError(f"{rule} `list_separator`, {source.list_separator!r}, in it. Received: {name!r}")
            if name in nulls:
                rule = f"`one_hot` of feature `{feature.name}` names no column whose name means a missing value"
                raise ValueError(f"{rule}. Received: {name!r}, one of the source's `null_values`")
            if feature.trim and name != trimmed(name):
                rule = f"`one_hot` of feature `{feature.name}` names columns with spaces at an end"
                raise ValueError(f"{rule}, which needs `trim: false`. Received: {name!r}")

    @model_validator(mode="after")
    def _items_have_ids(self) -> Self:
        column = self.sources.impressions.item_id
        if column is not None and column not in (ids := {f.source_column for f in self._possible_item_ids}):
            rule = "`sources.impressions.item_id` names the column of a categorical item feature of the impressions"
            raise ValueError(f"{rule}. Received: {column!r}; allowed: {sorted(ids)}")
        keys = sorted(f.name for f in self.spec.features if f.side == "item" and f.is_one_text)
        for name, table in self.sources.tables.items():
            if table.item_key is not None and table.item_key not in keys:
                rule = f"`sources.tables.{name}.item_key` names a categorical item feature"
                raise ValueError(f"{rule}. Received: {table.item_key!r}; allowed: {keys}")
        return self

    @model_validator(mode="after")
    def _positions_are_told_apart(self) -> Self:
        """Checks that a log from which a position's effect is learned says what was placed by chance, and no other."""
        feature, log = self.spec.at_serving, self.sources.impressions
        if feature is not None and feature.at_serving is not None:
            if not log.says_placement:
                raise ValueError(
                    f"feature `{feature.name}` has `at_serving`, which needs `sources.impressions.randomized` or "
                    "`propensity`: only impressions that were placed by chance tell a position's effect from the "
                    "items' relevance"
                )
            if feature.at_serving.method == "weights" and log.propensity is None:
                raise ValueError(
                    f"feature `{feature.name}` has `at_serving.method: weights`, which needs "
                    "`sources.impressions.propensity`"
                )
        return self

    @model_validator(mode="after")
    def _derived_features_agree(self) -> Self:
        """Checks that the features that are derived from one column read it in one format."""
        by_column: dict[tuple[str, str], Feature] = {}
        for f in self.spec.features:
            if f.derive is not None:
                first = by_column.setdefault((f.source, f.source_column), f)
                assert first.derive is not None
                if first.derive.format != f.derive.format:
                    raise ValueError(
                        "the features that are derived from one column have one `format`. Received: "
                        f"{f.derive.format} for `{f.name}` and {first.derive.format} for `{first.name}`, of the column "
                        f"`{f.source_column}`"
                    )
        return self

    def source_of(self, feature: Feature) -> str:
        """The source that ingestion reads a feature from: a log of served rankings has all of them."""
        return IMPRESSIONS if self.sources.are_served else feature.source

    def column_of(self, feature: Feature) -> Column:
        """The column of `source_of` that holds a feature."""
        return logged_column_of(feature, self.item_id) if self.sources.are_served else column_of(feature)

    def features_of(self, source: str) -> tuple[Feature, ...]:
        """The features that a source's rows have; those of a table also where they are read from a served log."""
        is_log = source == IMPRESSIONS
        return tuple(f for f in self.spec.features if (self.source_of(f) if is_log else f.source) == source)

    @property
    def item_id(self) -> Feature | None:
        """The feature that identifies items: `sources.impressions.item_id`.

        Without that key it is the impressions' column by which a table of items is joined; without such a table, the
        only categorical item feature of the impressions. None if there are several, or none.
        """
        ids = self._possible_item_ids
        if (column := self.sources.impressions.item_id) is not None:
            return next(f for f in ids if f.source_column == column)
        items = [f for f in self.spec.features if f.side == "item"]
        tables = [self.sources.tables[f.source] for f in items if f.source != IMPRESSIONS]
        if joined := {table.log_column for table in tables if table.item_key is None}:
            ids = [f for f in ids if f.source_column in joined]
        return ids[0] if len(ids) == 1 else None

    @property
    def _possible_item_ids(self) -> list[Feature]:
        features = (f for f in self.spec.features if f.source == IMPRESSIONS)
        return [f for f in features if f.side == "item" and f.is_one_text]

    @cached_property
    def columns(self) -> dict[str, tuple[Column, ...]]:
        """The columns that each source must have, by the source's name."""
        return columns_of(self.sources, self.spec.features, self.item_id)

    def to_json(self) -> str:
        """Returns all sections as canonical JSON, which `from_json` reads back."""
        return json.dumps(TypeAdapter(type(self)).dump_python(self, mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads the JSON that `to_json` wrote, which may lack keys that have been added since."""
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True, config=STRICT)
class IngestionSettings(DataSettings):
    """The settings of ingestion, and of the completion of late labels."""

    ingestion: settings.Ingestion

    @model_validator(mode="after")
    def _split_has_its_column(self) -> Self:
        log = self.sources.impressions
        if log.splits is None and self.ingestion.split_by != "row_hash":
            column, rule = {
                "request_hash": (log.request_id, "request_id"),
                "impression_hash": (log.impression_id, "impression_id"),
                "time": (log.timestamp, "timestamp"),
                "time_fraction": (log.timestamp, "timestamp"),
            }[self.ingestion.split_by]
            if column is None:
                raise ValueError(f"`ingestion.split_by: {self.ingestion.split_by}` needs `sources.impressions.{rule}`")
        return self


@dataclass(frozen=True, config=STRICT)
class EvaluationSettings(DataSettings):
    """The settings of the evaluation, of which the gate on data reads which features are ids of users."""

    evaluation: Evaluation

    @model_validator(mode="after")
    def _slices_are_of_features(self) -> Self:
        for name, bound in map(split_slice, self.evaluation.slices):
            if (f := self.spec.by_name.get(name)) is None:
                raise ValueError(f"`evaluation.slices` names `{name}`, which is none of {sorted(self.spec.by_name)}")
            if bound is not None and f.of_kind.holds != "number":
                raise ValueError(f"`evaluation.slices` has a bound on `{name}`, which is not numeric")
            if f.derive is not None:  # the examples have the date or the time
                raise ValueError(
                    f"`evaluation.slices` names `{name}`, which is derived: each time of `{f.source_column}` would "
                    "be a slice"
                )
        return self

    @model_validator(mode="after")
    def _metrics_have_groups(self) -> Self:
        """Checks that ranking metrics, and the bootstrap, have a column or feature to group by."""
        if (user := self.evaluation.user) is not None:
            allowed = sorted(f.name for f in self.spec.features if f.is_one_text)
            if user not in allowed:
                raise ValueError(
                    f"`evaluation.user` names a categorical feature. Received: {user!r}; allowed: {allowed}"
                )
        by = self.evaluation.gauc_by
        feature = None if by is None else self.spec.by_name.get(by)
        if by is not None and (feature is None or not feature.is_one_text or not feature.required):
            allowed = sorted(f.name for f in self.spec.features if f.is_one_text and f.required)
            rule = "`evaluation.gauc_by` names a categorical feature that is `required`"
            raise ValueError(f"{rule}. Received: {by!r}; allowed: {allowed}")
        if self.sources.impressions.request_id is None:
            for name, _ in self.evaluation.all_thresholds:
                if kind_of(name) in OF_GROUPS and (name != "gauc" or by is None):
                    instead = ", or `evaluation.gauc_by`" if name == "gauc" else ""
                    raise ValueError(f"a threshold on {name} needs `sources.impressions.request_id`{instead}")
        return self

    @property
    def user(self) -> str | None:
        """The feature that is the user's id, by which evaluation draws its bootstrap; None if it is unknown.

        It is `evaluation.user`, else `evaluation.gauc_by`, else the only categorical context feature of the impressions
        that installs are joined by.
        """
        installs, log = self.sources.installs, self.features_of(IMPRESSIONS)
        keys = [] if installs is None else installs.keys
        joined = [f.name for f in log if f.side == "context" and f.is_one_text and f.source_column in keys]
        return self.evaluation.user or self.evaluation.gauc_by or (joined[0] if len(joined) == 1 else None)


@dataclass(frozen=True, config=STRICT)
class QualitySettings(EvaluationSettings):
    """The settings of the gate on quality: the metrics with their thresholds, and how several spans are pooled."""

    quality: Quality


@dataclass(frozen=True, config=STRICT)
class InfraSettings(DataSettings):
    """The settings of the dry run; the sources and features determine the model's signatures."""

    infra_validation: infra_settings.InfraValidation


@dataclass(frozen=True, config=STRICT)
class TrainingSettings(DataSettings):
    """The settings of one training."""

    model: settings.Model
    training: settings.Training

    def to_json(self) -> str:
        """Returns all sections as canonical JSON, with the version of what they mean, which `from_json` reads back."""
        return json.dumps(json.loads(super().to_json()) | {VERSION_KEY: 2}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads the JSON that `to_json` wrote, of any release since 0.2.0, as it was meant.

        Before `schema_version` 2, a number of epochs that was written switched early stopping off, unless `patience`
        was written too, and always had it validate on the evaluation examples, unless `validation_fraction` was.
        """
        plain = json.loads(text)
        version = plain.pop(VERSION_KEY, 1)
        if version not in (1, 2):
            raise InputError(f"a config's `{VERSION_KEY}` must be 1 or 2. Received: {version}")
        if version == 1:
            training = plain.get("training", {})
            if training.get("num_epochs") is not None:
                off = {"patience": 0, "validation_fraction": 0.0}
                plain["training"] = training | {key: off[key] for key in off if training.get(key) is None}
        return super().from_json(json.dumps(plain))

    @model_validator(mode="after")
    def _held_out_examples_are_used(self) -> Self:
        training = self.training
        if training.validation_fraction and self.spec.count_encodings:
            raise ValueError(
                "`training.validation_fraction` goes without `count_encodings`, whose tables are made of all training "
                f"examples. Received: {training.validation_fraction}"
            )
        if training.validation_fraction and training.patience == 0:
            raise ValueError(
                "`training.validation_fraction` goes without `patience: 0`, with which all epochs are trained and no "
                f"example is held out. Received: {training.validation_fraction}"
            )
        return self

    @model_validator(mode="after")
    def _parts_have_features(self) -> Self:
        for part in ("wide", "deep"):
            if self.model.parts in (part, "wide_and_deep"):
                crosses = self.spec.crosses if part == "wide" else ()
                if not (self.spec.of_part(part) or crosses or self.spec.counts_of_part(part)):
                    raise ValueError(f"`model.parts: {self.model.parts}`, but no feature is in the {part} part")
        return self


@dataclass(frozen=True, config=STRICT)
class TrainerSettings(TrainingSettings):
    """The settings of the Trainer, whose training may have tuned values."""

    skew: infra_settings.Skew


@dataclass(frozen=True, config=STRICT)
class TunerSettings(TrainingSettings):
    """The settings of the Tuner."""

    tuning: settings.Tuning
