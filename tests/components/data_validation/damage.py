"""Ways to damage a simulated day: each changes, of its log and its tables, only what is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.good_days import Day

SECONDS_PER_HOUR = 3600


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def with_column(table: pa.Table, column: str, values: object) -> pa.Table:
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    return table.set_column(table.column_names.index(column), column, array)


def rowwise(day: Day, *columns: str) -> Iterator[tuple[Any, ...]]:
    """Iterates over the impressions' values of some columns of the log."""
    return zip(*(day.log[name].to_pylist() for name in columns), strict=True)


def change_log(**columns: Callable[[Day], object]) -> Callable[[Day], Day]:
    def breaks(day: Day) -> Day:
        log = day.log
        for name, change in columns.items():
            log = with_column(log, name, change(day))
        return dataclasses.replace(day, log=log)

    return breaks


def change_table(name: str, column: str, change: Callable[[pa.ChunkedArray], object]) -> Callable[[Day], Day]:
    def breaks(day: Day) -> Day:
        table = getattr(day, name)
        return dataclasses.replace(day, **{name: with_column(table, column, change(table[column]))})

    return breaks


def keep_rows(keep: Callable[[Day], np.ndarray]) -> Callable[[Day], Day]:
    def breaks(day: Day) -> Day:
        kept = keep(day)
        return dataclasses.replace(day, log=day.log.filter(pa.array(kept)), scores=day.scores[kept])

    return breaks


def lose_labels(lost: Callable[[Day], np.ndarray]) -> Callable[[Day], Day]:
    """Sets the label of the examples to 0 for which `lost` returns true."""
    return change_log(label=lambda day: np.where(lost(day), 0, np.asarray(day.log["label"])))


def hours(day: Day) -> np.ndarray:
    return np.asarray(day.log["timestamp"]) // SECONDS_PER_HOUR % 24


def of_user(day: Day, column: str) -> np.ndarray:
    """Returns a column of the users table for each impression."""
    by_user = dict(zip(day.users["user_id"].to_pylist(), day.users[column].to_pylist(), strict=True))
    return np.array([by_user[user] for user in day.log["user_id"].to_pylist()])


def permuted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.take(pa.array(generator().permutation(len(column))))


def lose_values(share: float) -> Callable[[pa.ChunkedArray], object]:
    """Removes the values of a share of a column's rows, drawn at random."""
    return lambda column: pc.if_else(
        pa.array(generator().random(len(column)) < share), pa.scalar(None, column.type), column.combine_chunks()
    )


def ids_anew(table: str, key: str) -> Callable[[Day], Day]:
    """Makes the ids of a table's keys anew, in the log and the table alike."""

    def breaks(day: Day) -> Day:
        tables = (day.log, getattr(day, table))
        log, keyed = (with_column(t, key, pc.binary_join_element_wise("new", t[key], "-")) for t in tables)
        return dataclasses.replace(day, log=log, **{table: keyed})

    return breaks


def requests_again(day: Day) -> Day:
    """Logs half of the requests again, under new ids."""
    _, request = np.unique(day.log["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)
    again = request % 2 == 0
    copies = day.log.filter(pa.array(again))
    copies = with_column(copies, "request_id", pc.binary_join_element_wise("again", copies["request_id"], "-"))
    scores = np.concatenate([day.scores, day.scores[again]])
    return dataclasses.replace(day, log=pa.concat_tables([day.log, copies]), scores=scores)
