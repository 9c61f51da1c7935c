"""Finds the columns by which tables, such as those of movies and of users, are joined to a log."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.initial_config.column_names import (
    ITEM_WORDS,
    USER_WORDS,
    Entity,
    entity_of,
    feature_name,
    parted,
    split_words,
)
from pipeline.initial_config.features import Guess, choose_rule, guess_columns
from pipeline.initial_config.samples.conventions import list_separator, null_words, values_in
from pipeline.initial_config.samples.reading import read_sample
from pipeline.initial_config.samples.sample import Column, Sample, is_number, shown
from transform.config.settings import Ingestion
from transform.errors import InputError
from transform.feature import IMPRESSIONS, Side
from transform.feature_kinds import KINDS

#: So many of the log's rows find a row of a table that was read whole; without a name that says so, almost all.
_MIN_FOUND, _MIN_FOUND_WITHOUT_NAMES = 0.5, 0.95

#: Another column of the log is named beside the one taken if it has so large a share of its values in common.
_MIN_OTHER = 0.5

#: Fewer common values may be chance, where no name says that they are keys.
_MIN_COMMON = 10

#: The roles of a log's columns that may have a table's keys.
_JOINING = ("feature", "left_out")

_ENDINGS = re.compile(r"(\.(csv|tsv|txt|dat|data|jsonl|ndjson|parquet|gz))+$")
_NO_NAME = re.compile(r"column_\d+")


@dataclasses.dataclass(frozen=True)
class TableGuess:
    """A table.

    Attributes:
      name: Its name in the config.
      sample: The first rows of its file.
      nulls: The texts in them that mean "no value".
      separator: The separator of its lists.
      key: Its key column.
      log_column: The log's column that has the key.
      item_key: The config's `item_key`.
      reason: Why these columns.
      guesses: What its columns are, its key left out.
      joined: Its columns as the log's rows have them, without null words; a list as its values.
    """

    name: str
    sample: Sample
    nulls: tuple[str, ...]
    separator: str
    key: str
    log_column: str
    item_key: str | None
    reason: str
    guesses: Sequence[Guess]
    joined: Sample


class _LogColumn(NamedTuple):
    """A column of the log that may have a table's keys: its values, its name's words, and what its guess says."""

    column: Column
    counts: Counter[str]
    words: frozenset[str]
    entity: Entity | None
    is_id: bool
    is_nameless: bool
    are_numbers: bool


class _Join(NamedTuple):
    rank: int
    common: float
    table: int
    key: Column
    log_column: Column
    reason: str


def join_tables(
    files: Sequence[Path], max_rows: int, log: Sample, guesses: Sequence[Guess]
) -> tuple[list[TableGuess], list[Guess]]:
    """Finds each table's key, and the log's column that has it.

    A key has another value in each row. Of all pairs of a key and a column of the log, those with one name are taken
    first, such as `movieId` and `movie_id` or, for a table `users`, `id` and `user_id`; then those of one entity, as
    the file's name says, and those of an id; then those with most values in common, of all values of both. Two tables
    have different columns of a log without a header, where names say nothing.

    Args:
      files: The tables' files.
      max_rows: The most rows that are read of each.
      log: The first rows of the log.
      guesses: What the log's columns are.

    Returns:
      The tables, and what the log's columns are where the tables say whose ids they have.

    Raises:
      InputError: If a file cannot be read, or no column joins it to the log.
    """
    samples = [read_sample(path, max_rows) for path in files]
    names = _table_names(files)
    log_nulls, found = null_words(log), list(guesses)
    columns = _log_columns(log, log_nulls, guesses)
    has_ids = any(g.entity is not None or "id" in split_words(g.column) for g in guesses if g.role in _JOINING)
    joins = [join for at, sample in enumerate(samples) for join in _joins(at, sample, names[at], columns, has_ids)]
    chosen: dict[int, _Join] = {}
    for join in sorted(joins, key=lambda join: (-join.rank, -join.common)):
        is_taken = any(
            _is_nameless(join.log_column.name, log) and c.log_column is join.log_column for c in chosen.values()
        )
        if join.table not in chosen and not is_taken:
            chosen[join.table] = join
    tables: list[TableGuess] = []
    for at, sample in enumerate(samples):
        if at not in chosen:
            raise InputError(
                "a table must have a column with another value in each row, by which a row is found for "
                f"{_MIN_FOUND:.0%} of the rows of the log, the first file, from a column of the same name or an id, or "
                f"for {_MIN_FOUND_WITHOUT_NAMES:.0%} from another column. Received: none of "
                f"{[column.name for column in sample.columns][:50]} ({files[at]})"
            )
        join, entity = _with_others(chosen[at], joins), _entity(names[at], chosen[at].key.name)
        found = _with_key(found, join.log_column, entity, log, log_nulls)
        taken = {guess.name for part in (found, *(table.guesses for table in tables)) for guess in part if guess.name}
        tables.append(_table(join, names[at], sample, log, log_nulls, found, taken))
    return tables, found


def _table_names(files: Sequence[Path]) -> list[str]:
    names: list[str] = []
    for path in files:
        base = re.sub(r"[^a-z0-9]+", "_", _ENDINGS.sub("", path.name.lower())).strip("_")[:60]
        base = base if base[:1].isalpha() else f"table_{base}".strip("_")
        name, number = base, 1
        while name in (IMPRESSIONS, "installs", *names):
            number += 1
            name = f"{base}_{number}"
        names.append(name)
    return names


def _singular_words(name: str) -> set[str]:
    words = {*parted(name)}
    return words | {word.removesuffix("s") for word in words} | {re.sub("ies$", "y", word) for word in words}


def _entity(table: str, key: str) -> Entity | None:
    words = _singular_words(table)
    if entity := entity_of(key):
        return entity
    return "user" if words & USER_WORDS else "item" if words & ITEM_WORDS else None


def _is_nameless(column: str, sample: Sample) -> bool:
    return bool(sample.text.columns) and _NO_NAME.fullmatch(column) is not None


def _log_columns(log: Sample, nulls: Sequence[str], guesses: Sequence[Guess]) -> list[_LogColumn]:
    entities = {guess.column: guess.entity for guess in guesses if guess.role in _JOINING}
    found = []
    for column in log.columns:
        if column.name in entities and column.stored in ("text", "integer"):
            counts, words = Counter(values_in(column, nulls)), frozenset(split_words(column.name))
            entity = entities[column.name]
            is_id, are_numbers = entity is not None or "id" in words, all(map(is_number, counts))
            is_nameless = _is_nameless(column.name, log)
            found.append(_LogColumn(column, counts, words, entity, is_id, is_nameless, are_numbers))
    return found


def _joins(at: int, sample: Sample, name: str, of_log: Sequence[_LogColumn], has_ids: bool) -> list[_Join]:
    """Returns the possible joins of one table; `has_ids` is whether the log has an id by its guesses."""
    nulls, allowed = null_words(sample), Ingestion().max_rejected_fraction
    of_table = _singular_words(name)
    joins = []
    for key in sample.columns:
        keys = {*values_in(key, nulls)} if key.stored in ("text", "integer") else set()
        if len(keys) < max(2, (1 - allowed) * sample.num_rows):
            continue
        entity, words, is_nameless = _entity(name, key.name), {*split_words(key.name)}, _is_nameless(key.name, sample)
        for column in of_log:
            is_same = words ^ column.words <= of_table | {"id"} and not is_nameless and not column.is_nameless
            is_named = bool(column.words & of_table) or column.is_nameless
            if has_ids and not (column.is_id or is_same or is_named) and column.are_numbers:
                continue
            common = column.counts.keys() & keys
            share = sum(column.counts[text] for text in common) / max(column.counts.total(), 1)
            least = _MIN_FOUND if is_same or (column.is_id and "id" in words) else _MIN_FOUND_WITHOUT_NAMES
            if not common or (share < least and sample.is_whole) or (not is_same and len(common) < _MIN_COMMON):
                continue
            of_one = 0 if None in (entity, column.entity) else 1 if entity == column.entity else -1
            rank = 2 * is_same + of_one + column.is_id
            reason = f"by {'their names' if is_same else 'their values'}: {share:.1%} of the log's rows find a row here"
            of_all = len(column.counts.keys() | keys)
            joins.append(_Join(rank, len(common) / of_all, at, key, column.column, reason))
    return joins


def _with_others(join: _Join, joins: Sequence[_Join]) -> _Join:
    """Adds to the reason of a join the other columns of the log that fit as well by their names."""
    others = dict.fromkeys(
        shown(other.log_column.name)
        for other in joins
        if other.table == join.table
        and other.log_column is not join.log_column
        and other.rank == join.rank
        and other.common >= _MIN_OTHER * join.common
    )
    return join._replace(reason=f"{join.reason}; it may be of {', '.join(others)} too") if others else join


def _with_key(
    guesses: Sequence[Guess], column: Column, entity: Entity | None, log: Sample, nulls: Sequence[str]
) -> list[Guess]:
    """Makes the log's column a category, as a key is none of size; a user's or an item's id, if the table says so."""
    found, counts = [], Counter(values_in(column, nulls))
    if entity is None:
        reason = f"{len(counts):,} different values, the keys of a table"
        return [
            dataclasses.replace(guess, kind="categorical", rule=choose_rule(counts), reason=reason)
            if guess.column == column.name and guess.role == "feature" and KINDS[guess.kind].column == "float"
            else guess
            for guess in guesses
        ]
    for guess in guesses:
        if guess.column != column.name or "derive" in guess.rule:
            is_wrong = guess.entity == entity and _is_nameless(guess.column, log)
            found.append(dataclasses.replace(guess, entity=None, side="context") if is_wrong else guess)
            continue
        if guess.entity != entity or guess.role != "feature":
            name = guess.name or feature_name(column.name, {other.name for other in guesses})
            reason = f"{len(counts):,} different values, the keys of a table of {entity}s"
            guess = Guess(column.name, "feature", reason, name, "context", "categorical", choose_rule(counts), entity)
        found.append(dataclasses.replace(guess, side="item" if entity == "item" else "context"))
    return found


def _table(
    join: _Join,
    name: str,
    sample: Sample,
    log: Sample,
    log_nulls: Sequence[str],
    guesses: Sequence[Guess],
    taken: set[str],
) -> TableGuess:
    nulls = null_words(sample)
    separator = list_separator(sample, nulls)
    of_log = next((g for g in guesses if g.column == join.log_column.name and g.role == "feature"), None)
    entity = of_log.entity if of_log is not None else None
    side: Side = of_log.side if of_log is not None else "context"
    is_item_key = of_log is not None and side == "item" and entity != "item" and KINDS[of_log.kind].column == "string"
    found = []
    for guess in guess_columns(sample, join.key.name, nulls, separator, taken):
        if guess.role not in ("feature", "left_out"):
            guess = Guess(guess.column, "left_out", f"{guess.reason}; no feature of a table's row")
        found.append(dataclasses.replace(guess, side=side, entity=None))
    row_of = {text: at for at, (text,) in enumerate(join.key.texts) if text}
    rows = [row_of.get(text, -1) for (text,) in join.log_column.texts]
    lists = {guess.column for guess in found if guess.role == "feature" and KINDS[guess.kind].is_list}
    columns = tuple(
        _joined(column, rows, nulls, separator if column.name in lists else "") for column in sample.columns
    )
    joined = Sample(sample.path, sample.format, sample.text, {}, columns, log.num_rows, log.is_whole)
    item_key = of_log.name if of_log is not None and is_item_key else None
    return TableGuess(
        name, sample, nulls, separator, join.key.name, join.log_column.name, item_key, join.reason, found, joined
    )


def _joined(column: Column, rows: Sequence[int], nulls: Sequence[str], separator: str) -> Column:
    """Returns a table's column as the log's rows have it; row -1 has no value."""
    if not column.texts:
        return column
    texts = [tuple("" if text in nulls else text for text in texts) for texts in column.texts]
    if separator and column.stored != "list":
        texts = [tuple(item.strip() for text in of_row if text for item in text.split(separator)) for of_row in texts]
    is_list = bool(separator) or column.stored == "list"
    missing: tuple[str, ...] = () if is_list else ("",)
    stored = "list" if is_list else column.stored
    return dataclasses.replace(column, stored=stored, texts=tuple(texts[row] if row >= 0 else missing for row in rows))
