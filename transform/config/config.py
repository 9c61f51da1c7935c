"""Reads a deployment's YAML file into frozen, validated dataclasses.

A mistake is reported as one sentence that names the file, the key, the value received and what is allowed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from yaml.constructor import ConstructorError

from transform.config import infra_validation as infra_settings
from transform.config import settings, tuning
from transform.config import sources as source_sections
from transform.config import validation_errors as mistakes
from transform.config.beam import Beam
from transform.config.drift import Drift
from transform.config.evaluation import OF_GROUPS, Evaluation, kind_of, split_slice
from transform.config.quality import Quality
from transform.config.schedule import Schedule
from transform.derived_times import TimeForm
from transform.errors import ConfigError
from transform.example_keys import LABEL
from transform.feature import IMPRESSIONS, STRICT, Feature, Name
from transform.feature_spec import FeatureSpec
from transform.raw_texts import null_words, trimmed

MAX_CONFIG_BYTES = 1_000_000


ColumnKind = Literal["string", "list", "float", "label", "weight", "timestamp", "one_hot", "flag"]

KIND_OF_FEATURE: dict[str, ColumnKind] = {"categorical": "string", "categorical_list": "list", "numeric": "float"}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that a source must have, or, of kind `one_hot`, several of kind `flag` that are read as one list.

    Attributes:
      name: Its name; of kind `one_hot` the feature's.
      kind: How its text is read.
      required: Whether a row needs a value.
      trim: Whether white space at the ends of its texts is removed.
      label_rule: Of a label: which values are positive; None if it is 0 or 1.
      form: Of a string from which features are derived: which texts are allowed; None allows all.
      one_hot: Of kind `one_hot`: the names of the columns, which are the list's values.
    """

    name: str
    kind: ColumnKind
    required: bool
    trim: bool = True
    label_rule: source_sections.LabelRule | None = None
    form: TimeForm | None = None
    one_hot: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the source's columns that it is read from."""
        return self.one_hot or (self.name,)

    @cached_property
    def flags(self) -> tuple[Column, ...]:
        """Of kind `one_hot`: the columns."""
        return tuple(Column(name, "flag", False, self.trim) for name in self.one_hot)


def column_of(feature: Feature) -> Column:
    """Returns the column of its source that a feature is read from."""
    if feature.one_hot is not None:
        return Column(feature.name, "one_hot", feature.required, feature.trim, one_hot=feature.one_hot)
    form = None if feature.derive is None else feature.derive.form
    return Column(feature.source_column, KIND_OF_FEATURE[feature.kind], feature.required, feature.trim, form=form)


@dataclass(frozen=True, config=STRICT)
class Config:
    """One deployment: everything that its pipeline needs to know beside where its data lies."""

    name: Name
    sources: source_sections.Sources
    spec: FeatureSpec
    evaluation: Evaluation
    ingestion: settings.Ingestion = Field(default_factory=settings.Ingestion)
    model: settings.Model = Field(default_factory=settings.default_model)
    training: settings.Training = Field(default_factory=settings.Training)
    tuning: settings.Tuning | None = None
    quality: Quality = Field(default_factory=Quality)
    infra_validation: infra_settings.InfraValidation = Field(default_factory=infra_settings.InfraValidation)
    skew: infra_settings.Skew = Field(default_factory=infra_settings.Skew)
    push: settings.Push = Field(default_factory=settings.Push)
    drift: Drift = Field(default_factory=Drift)
    schedule: Schedule = Field(default_factory=Schedule)
    beam: Beam = Field(default_factory=Beam)

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        allowed = [IMPRESSIONS, *self.sources.tables]
        for f in self.spec.features:
            if f.source not in allowed:
                raise ValueError(f"feature `{f.name}` has the source `{f.source}`, which is none of {allowed}")
            self._check_one_hot(f)
        for name, bound in map(split_slice, self.evaluation.slices):
            if name not in self.spec.by_name:
                raise ValueError(f"`evaluation.slices` names `{name}`, which is none of {sorted(self.spec.by_name)}")
            if bound is not None and not self.spec.by_name[name].is_numeric:
                raise ValueError(f"`evaluation.slices` has a bound on `{name}`, which is not numeric")
        self._check_groups()
        self._check_derived()
        for name in self.drift.max_divergence:
            if name not in (allowed := [LABEL, *sorted(self.spec.by_name)]):
                raise ValueError(f"`drift.max_divergence` names `{name}`, which is none of {allowed}")
        log = self.sources.impressions
        if log.item_id is not None and log.item_id not in (ids := {f.source_column for f in self._possible_item_ids}):
            rule = "`sources.impressions.item_id` names the column of a categorical item feature of the impressions"
            raise ValueError(f"{rule}. Received: {log.item_id!r}; allowed: {sorted(ids)}")
        keys = sorted(f.name for f in self.spec.features if f.side == "item" and f.is_one_text)
        for name, table in self.sources.tables.items():
            if table.item_key is not None and table.item_key not in keys:
                rule = f"`sources.tables.{name}.item_key` names a categorical item feature"
                raise ValueError(f"{rule}. Received: {table.item_key!r}; allowed: {keys}")
        if log.splits is None and self.ingestion.split_by != "row_hash":
            column, rule = {
                "request_hash": (log.request_id, "request_id"),
                "impression_hash": (log.impression_id, "impression_id"),
                "time": (log.timestamp, "timestamp"),
            }[self.ingestion.split_by]
            if column is None:
                raise ValueError(f"`ingestion.split_by: {self.ingestion.split_by}` needs `sources.impressions.{rule}`")
        if self.training.validation_fraction and self.spec.count_encodings:
            raise ValueError(
                "`training.validation_fraction` goes without `count_encodings`, whose tables are made of all training "
                f"examples. Received: {self.training.validation_fraction}"
            )
        if self.training.validation_fraction and self.training.num_epochs and not self.training.patience:
            raise ValueError(
                "`training.validation_fraction` with `num_epochs` needs `patience`: without it all epochs are trained, "
                f"and no example is held out. Received: {self.training.validation_fraction}"
            )
        for part in ("wide", "deep"):
            if self.model.parts in (part, "wide_and_deep"):
                crosses = self.spec.crosses if part == "wide" else ()
                if not (self.spec.of_part(part) or crosses or self.spec.counts_of_part(part)):
                    raise ValueError(f"`model.parts: {self.model.parts}`, but no feature is in the {part} part")
        if self.tuning is not None:
            tuning.check_ranges(dataclasses.replace(self, tuning=None), self.tuning.ranges)
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

    def _check_groups(self) -> None:
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

    def _check_derived(self) -> None:
        """Checks that the examples have what a derived feature's name is used for: they have its date or time."""
        for name in self.evaluation.slices:
            if (f := self.spec.by_name[split_slice(name)[0]]).derive is not None:
                raise ValueError(
                    f"`evaluation.slices` names `{f.name}`, which is derived: each time of `{f.source_column}` would "
                    "be a slice"
                )
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

    def features_of(self, source: str) -> tuple[Feature, ...]:
        return tuple(f for f in self.spec.features if f.source == source)

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
        features = self.features_of(IMPRESSIONS)
        return [f for f in features if f.side == "item" and f.is_one_text]

    @cached_property
    def columns(self) -> dict[str, tuple[Column, ...]]:
        """The columns that each source must have, by the source's name."""
        log, installs = self.sources.impressions, self.sources.installs
        result: dict[str, dict[tuple[str, ColumnKind], Column]] = {
            name: {} for name in (IMPRESSIONS, *self.sources.tables)
        }

        def add(
            source: str,
            name: str | None,
            kind: ColumnKind,
            required: bool,
            trim: bool = True,
            form: TimeForm | None = None,
        ) -> None:
            if name is not None:
                columns = result.setdefault(source, {})
                before = columns.get((name, kind), Column(name, kind, required, trim))
                required, trim = required or before.required, trim and before.trim
                columns[name, kind] = Column(name, kind, required, trim, form=form or before.form)

        if log.label is not None:
            result[IMPRESSIONS][log.label, "label"] = Column(log.label, "label", True, label_rule=log.label_rule)
        for key in log.label_columns:
            add(IMPRESSIONS, key, "string", True)
        add(IMPRESSIONS, log.weight, "weight", True)
        add(IMPRESSIONS, log.impression_id, "string", True)
        add(IMPRESSIONS, log.request_id, "string", True)
        add(IMPRESSIONS, log.timestamp, "timestamp", True)
        for name, table in self.sources.tables.items():
            add(IMPRESSIONS, table.log_column, "string", True)
            add(name, table.key, "string", True)
        if installs is not None:
            for key in installs.keys:
                add(IMPRESSIONS, key, "string", True)
                add("installs", key, "string", True)
            add("installs", installs.timestamp, "timestamp", True)
        for f in self.spec.features:
            column = column_of(f)
            if column.one_hot:
                result[f.source][column.name, column.kind] = column
            else:
                form = self._form(f.source, f.source_column) if f.derive is not None else None
                add(f.source, column.name, column.kind, column.required, column.trim, form)
        return {source: tuple(columns.values()) for source, columns in result.items()}

    def _form(self, source: str, column: str) -> TimeForm | None:
        """The form of the texts of a column: a text that one of its derived features cannot use is of no form."""
        features = [f for f in self.features_of(source) if f.source_column == column]
        forms = [f.derive.form for f in features if f.derive is not None]
        return max(forms, key=lambda form: form.needs_hour, default=None)

    def to_json(self) -> str:
        """The whole config as canonical JSON, which `from_json` reads back."""
        return json.dumps(_ADAPTER.dump_python(self, mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads the JSON that `to_json` wrote, which may lack keys that have been added since."""
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(Config)


class _UniqueKeyLoader(yaml.SafeLoader):
    """Rejects a key that occurs twice, of which YAML would keep the last, and a value that its tag does not allow."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._checked: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Checks a mapping's own keys before its merges are put in front of them, which PyYAML does in place.

        A mapping that another one merges is flattened there first, and again when it is constructed.
        """
        if node not in self._checked:
            self._checked.add(node)
            own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            keys = [self.construct_object(key, deep=True) for key in own]
            for i, key in enumerate(keys):
                if key in keys[:i]:
                    raise ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, IndexError, KeyError, TypeError) as error:  # from PyYAML, for `!!bool x` and the like
            kind = node.tag.replace("tag:yaml.org,2002:", "!!")
            received = (
                repr(node.value)
                if isinstance(node, yaml.ScalarNode)
                else ("a mapping" if isinstance(node, yaml.MappingNode) else "a sequence")
            )
            what = f"`{kind}` must have a value of that type. Received: {received}"
            raise ConstructorError(None, None, what, node.start_mark) from error


def load_config(path: str | Path) -> Config:
    """Reads and validates a YAML file.

    Args:
      path: The file.

    Returns:
      The config.

    Raises:
      ConfigError: If the file cannot be read, is not YAML, or breaks a rule.
    """
    return parse_config(parse_yaml(read_text(path), path), str(path))


def read_text(path: str | Path) -> str:
    """Reads a config file's text, with its line ends as they are; raises ConfigError if it is none."""
    path = Path(path)
    try:
        size = path.stat().st_size
        text = path.read_bytes().decode("utf-8") if size <= MAX_CONFIG_BYTES else ""
    except OSError as error:
        raise ConfigError(f"the config cannot be read: {error.strerror} ({path})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"a config must be UTF-8 text: {error.reason} at byte {error.start} ({path})") from error
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(f"a config has at most {MAX_CONFIG_BYTES} bytes. Received: {size} ({path})")
    return text


def parse_yaml(text: str, where: str | Path) -> dict[str, Any]:
    """Parses a config file's text into its mapping of keys; raises ConfigError, which names `where`, if it has none."""
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date, a number too long
        raise ConfigError(f"the config is not valid YAML: {' '.join(str(error).split())} ({where})") from error
    except RecursionError as error:
        raise ConfigError(f"the config is nested too deeply ({where})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"a config must be a mapping of keys. Received: {type(raw).__name__} ({where})")
    return raw


def parse_config(raw: Mapping[str, Any], where: str) -> Config:
    """Validates a config that is already a mapping.

    Args:
      raw: The mapping.
      where: Its origin, for errors.

    Returns:
      The config.

    Raises:
      ConfigError: If it breaks a rule.
    """
    if "spec" in raw:
        raise ConfigError(f"`spec` is not a known key; did you mean `features`? ({where})")
    sections = {key: value for key, value in raw.items() if key not in mistakes.SPEC_KEYS}
    sections["spec"] = {key: value for key, value in raw.items() if key in mistakes.SPEC_KEYS}
    try:
        return _ADAPTER.validate_python(sections)
    except ValidationError as error:
        raise ConfigError("\n".join(mistakes.sentences(error, sections, where, _ADAPTER.json_schema()))) from error
