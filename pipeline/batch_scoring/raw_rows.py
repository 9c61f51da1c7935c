"""Converts raw rows into tf.Examples, using the config and the catalog stored with a pushed model."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.examples import encoding
from components.ingestion.columns.parser import Parser
from components.ingestion.example_rows import ENTRIES
from components.ingestion.formats.blocks import RawBlock
from components.ingestion.formats.lines import LineTally
from components.ingestion.formats.raw_rows import RawRow, RowError
from components.ingestion.typed_reader import TypedReader
from pipeline.batch_scoring.input_rows import InputRows
from transform.config.columns import Column, column_of
from transform.config.config import Config
from transform.config.sources import DEFAULT_LIST_SEPARATOR
from transform.errors import InputError
from transform.feature import IMPRESSIONS, Feature
from transform.files.records import table_rows
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


def read_catalog(model_path: str, table: str) -> dict[str, bytes]:
    """Reads a model's snapshot of a table: each row's encoded features, by key; empty without a snapshot."""
    folder = os.path.join(model_path, EXTRA_ASSETS, CATALOG_FOLDER, table)
    return {key.decode(): example.features.SerializeToString() for key, example in table_rows(folder)}


#: Parses some columns of raw rows, and encodes their values as entries of examples.
_Reader = tuple[Parser, Callable[[Sequence[pa.Array]], list[pa.Array]]]


class ExampleMaker:
    """Converts raw rows into tf.Examples, as ingestion does, but without a label, and what only the log has.

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
        tables: Mapping[str, Mapping[str, bytes]],
        columns: Sequence[str],
        *,
        may_lack: bool = False,
    ):
        """Decides where each feature's value is read.

        Args:
          config: The model's config.
          tables: For each table, the encoded features of its rows by key.
          columns: The raw rows' columns.
          may_lack: Whether a row may lack a column of the log, as in jsonl; its value is then missing.

        Raises:
          InputError: If a feature's column is not in the rows and no table can supply it.
        """
        self._config = config
        readers: list[_Reader] = []
        lookups: list[_Reader] = []
        limits = config.ingestion
        for name in (IMPRESSIONS, *config.sources.tables):
            features = tuple(f for f in config.features_of(name) if f.at_serving is None)
            source = config.sources.of(name)
            found = {f.name: _column_in_rows(config, f, columns, may_lack) for f in features}
            read_from = [column for column in found.values() if column is not None]
            if len(read_from) == len(features):
                parser = Parser(read_from, source.null_values, source.list_separator, limits)
                readers.append((parser, functools.partial(_encode, features)))
                continue
            missing = [name for f in features if found[f.name] is None for name in column_of(f).names]
            table = config.sources.tables.get(name)
            if table is None or table.log_column not in columns or not tables.get(name):
                hint = (
                    ""
                    if table is None
                    else f"; they can be had by `{table.log_column}` from the table `{name}`, with --data"
                )
                raise InputError(f"the columns {missing} are missing{hint}. Received: {list(columns)}")
            key = dataclasses.replace(_key(config, IMPRESSIONS, table.log_column), required=False)
            nulls = config.sources.impressions.null_values
            parser = Parser([key], nulls, DEFAULT_LIST_SEPARATOR, limits)
            lookups.append((parser, functools.partial(_look_up, tables[name])))
        self._readers = [*readers, *lookups]
        self.columns = tuple(
            dict.fromkeys(name for parser, _ in self._readers for c in parser.columns for name in c.names)
        )
        self.absent = tuple(name for name in self.columns if name not in columns)

    def read(self, rows: InputRows) -> Iterator[tuple[RawRow, bytes | RowError]]:
        """Yields the rows of a file, each with what `examples` returns."""
        for block in rows.read(self._config):
            yield from zip(block.all_rows(), self.examples(rows.flatten(block, self.columns)), strict=True)

    def examples(self, block: RawBlock) -> list[bytes | RowError]:
        """Returns each row of a block as a serialized tf.Example; the error, of a row that breaks a rule."""
        parsed = [parser.parse(block) for parser, _ in self._readers]
        found: dict[int, bytes | RowError] = {}
        for of_source in parsed:
            for row, error in of_source.errors:
                found.setdefault(row.number, error)  # of the first rule that the row breaks
        is_good = np.isin(parsed[0].numbers, list(found), invert=True)
        numbers = parsed[0].numbers[is_good].tolist()
        entries: list[pa.Array] = []
        for (_, encode), (values, of_rows, _) in zip(self._readers, parsed, strict=True):
            is_good = pa.array(np.isin(of_rows, list(found), invert=True))
            entries += encode([array.filter(is_good) for array in values])
        found |= zip(numbers, encoding.examples(entries).to_pylist(), strict=True)
        return [found[number] for number in sorted(found)]


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


def _key(config: Config, source: str, name: str) -> Column:
    """Returns a key's column with the rules by which ingestion reads it."""
    return next(c for c in config.columns[source] if (c.name, c.kind) == (name, "string"))


def read_table(config: Config, name: str, paths: Sequence[str]) -> dict[str, bytes]:
    """Reads a table's rows from its files: each row's encoded features, by key; of several with a key, the first one.

    Rows that ingestion would reject are skipped. They are not reported here; `wdr run` reports them.
    """
    table, features = config.sources.tables[name], config.features_of(name)
    columns = [_key(config, name, table.key), *map(column_of, features)]
    reader = TypedReader(name, table, columns, config.ingestion)
    rows: dict[str, bytes] = {}
    for path in paths:
        for block in reader.read(path, LineTally()):
            keys, *values = block.values
            entries = [pa.nulls(len(keys), pa.binary()), *_encode(features, values)]
            for key, encoded in zip(keys.to_pylist(), encoding.joined(entries).to_pylist(), strict=True):
                rows.setdefault(key, encoded)
    return rows


def _encode(features: Sequence[Feature], values: Sequence[pa.Array]) -> list[pa.Array]:
    """Returns the entries, in the examples, of the typed values of some features."""
    pairs = zip(features, values, strict=True)
    return [ENTRIES[column_of(feature).kind](feature.name, array) for feature, array in pairs]


def _look_up(rows: Mapping[str, bytes], values: Sequence[pa.Array]) -> list[pa.Array]:
    """Returns the entries of the rows of a table by their keys; none where the table has no row."""
    (keys,) = values
    return [pa.array([rows.get(key) for key in keys.to_pylist()], pa.large_binary())]
