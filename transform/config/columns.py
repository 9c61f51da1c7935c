"""The columns that a source must have, and which column a feature is read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

from transform.config import serving_log
from transform.config.sources import LabelRule, Sources
from transform.derived_times import TimeForm
from transform.feature import IMPRESSIONS, Feature

ColumnKind = Literal[
    "string", "list", "float", "label", "weight", "timestamp", "one_hot", "flag", "randomized", "propensity"
]


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
      time_format: Of a timestamp: the form of its texts, as `timestamp_format`; None for seconds and ISO 8601.
      one_hot: Of kind `one_hot`: the names of the columns, which are the list's values.
    """

    name: str
    kind: ColumnKind
    required: bool
    trim: bool = True
    label_rule: LabelRule | None = None
    form: TimeForm | None = None
    time_format: str | None = None
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
    return Column(feature.source_column, feature.of_kind.column, feature.required, feature.trim, form=form)


def logged_column_of(feature: Feature, item_id: Feature | None) -> Column:
    """Returns the column of a log of served rankings that holds a feature as it was scored."""
    column = column_of(feature)
    name, kind = serving_log.logged_column(feature, item_id), feature.of_kind.column
    return Column(name, kind, column.required, column.trim, form=column.form)


def columns_of(
    sources: Sources, features: Sequence[Feature], item_id: Feature | None = None
) -> dict[str, tuple[Column, ...]]:
    """Returns the columns that each source must have, by the source's name.

    A column that several parts of the config read has a value in each row if one of them needs it, and keeps its spaces
    if one of them does. `item_id` is the feature that identifies items, of a log of served rankings.
    """
    found: dict[str, dict[tuple[str, ColumnKind], Column]] = {name: {} for name in (IMPRESSIONS, *sources.tables)}
    for source, column in _all_columns(sources, features, item_id):
        columns = found.setdefault(source, {})
        before = columns.get((column.name, column.kind), column)
        columns[column.name, column.kind] = dataclasses.replace(
            column,
            required=column.required or before.required,
            trim=column.trim and before.trim,
            form=column.form or before.form,
        )
    return {source: tuple(columns.values()) for source, columns in found.items()}


def _all_columns(
    sources: Sources, features: Sequence[Feature], item_id: Feature | None
) -> Iterator[tuple[str, Column]]:
    """Yields each column with its source, once for each part of the config that reads it."""
    log, installs = sources.impressions, sources.installs
    if log.label is not None:
        yield IMPRESSIONS, Column(log.label, "label", True, label_rule=log.label_rule)
    named: list[tuple[str | None, ColumnKind]] = [
        *((key, "string") for key in log.label_columns),
        (log.weight, "weight"),
        (log.randomized, "randomized"),
        (log.propensity, "propensity"),
        (log.impression_id, "string"),
        (log.request_id, "string"),
    ]
    yield from ((IMPRESSIONS, Column(name, kind, True)) for name, kind in named if name is not None)
    if log.timestamp is not None:
        yield IMPRESSIONS, Column(log.timestamp, "timestamp", True, time_format=log.timestamp_format)
    for table in sources.joined_tables.values():
        yield IMPRESSIONS, Column(table.log_column, "string", True)
    for table_name, table in sources.tables.items():
        yield table_name, Column(table.key, "string", True)
    if installs is not None:
        for source in (IMPRESSIONS, "installs"):
            yield from ((source, Column(key, "string", True)) for key in installs.keys)
        yield "installs", Column(installs.timestamp, "timestamp", True, time_format=installs.timestamp_format)
    if sources.are_served:
        yield "installs", Column(serving_log.EVENT_TYPE, "string", True)
        yield "installs", Column(serving_log.POSITION, "float", False)
        yield "installs", Column(serving_log.FORGED, "flag", False)
        yield "installs", Column(serving_log.RECEIVED, "timestamp", False)
        yield IMPRESSIONS, Column(serving_log.SCORE, "float", False)
        yield IMPRESSIONS, Column(serving_log.VERSION, "string", False)
        yield from ((IMPRESSIONS, logged_column_of(feature, item_id)) for feature in features)
    for feature in features:
        if not sources.are_served or feature.source != IMPRESSIONS:
            yield feature.source, dataclasses.replace(column_of(feature), form=_form(feature, features))


def _form(feature: Feature, features: Sequence[Feature]) -> TimeForm | None:
    """The form of the texts of a derived feature's column: a text that one of its features cannot use is of no form."""
    if feature.derive is None:
        return None
    place = (feature.source, feature.source_column)
    forms = [f.derive.form for f in features if f.derive is not None and (f.source, f.source_column) == place]
    return max(forms, key=lambda form: form.needs_hour)
