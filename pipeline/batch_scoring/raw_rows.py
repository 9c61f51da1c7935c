"""Converts raw rows into tf.Examples, using the config and the catalog stored with a pushed model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from components.ingestion.columns.parser import Parser
from components.ingestion.columns.rejections import RowError
from components.ingestion.formats.readers import read_rows
from components.ingestion.layout import put_value
from transform.config.columns import Column, column_of
from transform.config.config import Config
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError
from transform.feature import IMPRESSIONS, Feature
from transform.files.catalog import table_rows
from transform.files.version_layout import CATALOG_FOLDER, CONFIG_FILE, EXTRA_ASSETS


def model_config(model_path: str) -> Config:
    """Reads the config of a pushed model; raises InputError if the folder is not a pushed version."""
    path = os.path.join(model_path, EXTRA_ASSETS, CONFIG_FILE)
    try:
        with tf.io.gfile.GFile(path, "r") as file:
            return Config.from_json(file.read())
    except tf.errors.NotFoundError as error:
        raise InputError(
            f"a model must be a pushed version, as W/serving/store/3 is. Received: {model_path}"
        ) from error


def read_catalog(model_path: str, table: str) -> dict[str, tf.train.Features]:
    """Reads the snapshot of a table stored with a model: features of each row, by key. Empty if there is none."""
    folder = os.path.join(model_path, EXTRA_ASSETS, CATALOG_FOLDER, table)
    return {key.decode(): example.features for key, example in table_rows(folder)}


class ExampleMaker:
    """Converts raw rows into tf.Examples, as ingestion does, but without a label.

    A feature of the impressions is read from the row's column that has its name in the log, which may be a member of a
    nested object. The features of a table are read from the row too, if the row has all of them; each one's column is
    called by the feature's own name, or by its name in the table if no other source has a column of that name; of a
    derived feature the latter goes first. Otherwise, the table's row is looked up by its key. A list of one-hot columns
    can also be in a column of its own, which has the feature's name.

    Attributes:
      columns: The columns that it reads.
      absent: Those of them that the rows may lack, and that are not among their columns.
    """

    def __init__(
        self,
        config: Config,
        tables: Mapping[str, Mapping[str, tf.train.Features]],
        columns: Sequence[str],
        *,
        may_lack: bool = False,
    ):
        """Decides where each feature's value is read.

        Args:
          config: The model's config.
          tables: For each table, its rows by key.
          columns: The raw rows' columns.
          may_lack: Whether a row may lack a column of the log, as in jsonl; its value is then missing.

        Raises:
          InputError: If a feature's column is not in the rows and no table can supply it.
        """
        self._parsers: list[tuple[Parser, list[Feature]]] = []
        self._lookups: list[tuple[Parser, Mapping[str, tf.train.Features]]] = []
        for source in (IMPRESSIONS, *config.sources.tables):
            features = config.features_of(source)
            found = {f.name: _column_in_rows(config, f, columns, may_lack) for f in features}
            read_from = [column for column in found.values() if column is not None]
            if len(read_from) == len(features):
                self._parsers.append((_parser(config, source, read_from), list(features)))
                continue
            missing = [name for f in features if found[f.name] is None for name in column_of(f).names]
            table = config.sources.tables.get(source)
            if table is None or table.log_column not in columns or not tables.get(source):
                hint = (
                    ""
                    if table is None
                    else f"; they can be had by `{table.log_column}` from the table `{source}`, with --data"
                )
                raise InputError(f"the columns {missing} are missing{hint}. Received: {list(columns)}")
            key = dataclasses.replace(_key(config, IMPRESSIONS, table.log_column), required=False)
            limits = config.ingestion
            nulls = config.sources.impressions.null_values
            self._lookups.append((Parser([key], nulls, DEFAULT_LIST_SEPARATOR, limits), tables[source]))
        parsers = [parser for parser, _ in (*self._parsers, *self._lookups)]
        self.columns = tuple(dict.fromkeys(name for parser in parsers for c in parser.columns for name in c.names))
        self.absent = tuple(name for name in self.columns if name not in columns)

    def example(self, row: Mapping[str, Any]) -> bytes:
        """Returns the row as a serialized tf.Example; raises RowError if a value breaks its column's rule."""
        example = tf.train.Example()
        for parser, features in self._parsers:
            for feature, value in zip(features, parser.parse_row(row), strict=True):
                put_value(example.features.feature, feature, value)
        for parser, rows in self._lookups:
            (key,) = parser.parse_row(row)
            if key in rows:
                example.features.MergeFrom(rows[key])
        serialized: bytes = example.SerializeToString(deterministic=True)
        return serialized


def _column_in_rows(config: Config, feature: Feature, columns: Sequence[str], may_lack: bool) -> Column | None:
    """Returns the column of the raw rows that holds a feature; None if there is none.

    A feature of the log whose column no row may have (`may_lack`) is read from it all the same.
    """
    own, by_name = column_of(feature), None
    if feature.name in columns and (feature.source != IMPRESSIONS or own.one_hot):
        kind = feature.of_kind.column
        by_name = Column(feature.name, kind, feature.required, feature.trim, form=own.form)
    if feature.source == IMPRESSIONS:
        if may_lack and by_name is None:
            return own
        return own if all(name in columns for name in own.names) else by_name
    others = {name for f in config.spec.features if f.source != feature.source for name in column_of(f).names}
    is_own = all(name in columns and name not in others for name in own.names)
    if is_own and feature.derive is not None:  # a column with the feature's name may have the part, not the time
        return own
    return by_name or (own if is_own else None)


def _parser(config: Config, source: str, columns: Sequence[Column]) -> Parser:
    """Returns a parser of the columns of a source's features."""
    where = config.sources.of(source)
    return Parser(columns, where.null_values, where.list_separator, config.ingestion)


def _key(config: Config, source: str, name: str) -> Column:
    """Returns a key's column with the rules by which ingestion reads it."""
    return next(c for c in config.columns[source] if (c.name, c.kind) == (name, "string"))


def read_table(config: Config, name: str, paths: Sequence[str]) -> dict[str, tf.train.Features]:
    """Reads a table's rows from its files, by key; if a key occurs more than once, its first row is kept.

    Rows that ingestion would reject are skipped. They are not reported here; `wdr run` reports them.
    """
    table, features = config.sources.tables[name], config.features_of(name)
    of_features = [column_of(f) for f in features]
    parser = _parser(config, name, of_features)
    key = _key(config, name, table.key)
    key_parser = Parser([key], table.null_values, DEFAULT_LIST_SEPARATOR, config.ingestion)
    columns = list(dict.fromkeys([table.key, *(column_name for c in of_features for column_name in c.names)]))
    rows: dict[str, tf.train.Features] = {}
    for path in paths:
        for raw in read_rows(path, table.format, columns, config.ingestion, text=table.text):
            if raw.values is None:
                continue
            try:
                (key,), values = key_parser.parse_row(raw.values), parser.parse_row(raw.values)
            except RowError:
                continue
            entry = tf.train.Features()
            for feature, value in zip(features, values, strict=True):
                put_value(entry.feature, feature, value)
            rows.setdefault(key, entry)
    return rows
