"""How the bad days are damaged: each function changes of a day what its docstring or its name says."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.good_days import Day
from components.ingestion.evidence import InstallEvidence
from pipeline.simulator.installs import install_delay
from tests.components.data_validation.damage import (
    SECONDS_PER_HOUR,
    change_log,
    change_table,
    generator,
    lose_labels,
    lose_values,
    of_user,
    with_column,
)

Breaks = Callable[[Day, Sequence[Day]], Day]


def only(change: Callable[[Day], Day]) -> Breaks:
    return lambda day, _: change(day)


def ids_hashed(*columns: tuple[str, str]) -> Breaks:
    """Hashes ids: each column is a table of the day and a name; of a list, each id."""

    def hashed(value: str | list[str] | None) -> str | list[str] | None:
        if value is None or isinstance(value, list):
            return value and [hashlib.sha1(f"s2{v}".encode()).hexdigest()[:16] for v in value]
        return hashlib.sha1(f"s2{value}".encode()).hexdigest()[:16]

    def breaks(day: Day, _: Sequence[Day]) -> Day:
        for table, column in columns:
            values = [hashed(value) for value in getattr(day, table)[column].to_pylist()]
            day = dataclasses.replace(day, **{table: with_column(getattr(day, table), column, values)})
        return day

    return breaks


def labels_of(day: Day) -> np.ndarray:
    return np.asarray(day.log["label"])


def drawn(day: Day, share: float) -> np.ndarray:
    """Draws rows, each with the same chance."""
    return generator().random(len(day.log)) < share


def drawn_requests(day: Day, share: float) -> np.ndarray:
    """Draws requests, and returns which rows are theirs."""
    return np.asarray((generator().random(len(day.log)) < share)[requests_of(day)])


def requests_of(day: Day) -> np.ndarray:
    """Returns the number of each row's request."""
    return np.unique(day.log["request_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]


def of_country(day: Day, share: float) -> np.ndarray:
    """Returns which rows are of the country whose share of the rows is nearest to `share`."""
    return nearest(of_user(day, "country"), share)


def nearest(values: np.ndarray, share: float) -> np.ndarray:
    names, numbers = np.unique(values, return_counts=True)
    return np.asarray(values == names[np.argmin(np.abs(numbers / len(values) - share))])


def clock_an_hour_off(day: Day) -> Day:
    time = np.asarray(day.log["timestamp"]) + SECONDS_PER_HOUR
    return change_log(timestamp=lambda _: time, hour=lambda _: time // SECONDS_PER_HOUR % 24)(day)


def append(day: Day, rows: pa.Table) -> Day:
    log = pa.concat_tables([day.log, rows.select(day.log.column_names).cast(day.log.schema)])
    return dataclasses.replace(day, log=log, scores=np.resize(day.scores, len(log)))


def add_users(day: Day, names: Sequence[str], **values: object) -> Day:
    """Adds users with the values of the table's first row, but for those given, and without installed apps."""
    first = day.users.slice(0, 1).take(pa.array([0] * len(names)))
    rows = with_column(first, "user_id", pa.array(names))
    values = {"installed_apps": [[]], **values}
    for column, value in values.items():
        filled = pa.array(value * len(names) if isinstance(value, list) else [value] * len(names))
        rows = with_column(rows, column, filled.cast(first[column].type))
    return dataclasses.replace(day, users=pa.concat_tables([day.users, rows]))


def installed_already(day: Day) -> Day:
    """Adds 20 % of the apps installed on the day to the users' lists."""
    lists = dict(zip(day.users["user_id"].to_pylist(), day.users["installed_apps"].to_pylist(), strict=True))
    for at in np.flatnonzero(drawn(day, 0.2) & (labels_of(day) == 1)).tolist():
        lists[day.log["user_id"][at].as_py()] = [*lists[day.log["user_id"][at].as_py()], day.log["app_id"][at].as_py()]
    return dataclasses.replace(day, users=with_column(day.users, "installed_apps", pa.array(lists.values())))


def page_of_positives(page: str) -> Breaks:
    def breaks(day: Day, _: Sequence[Day]) -> Day:
        moved = drawn(day, 0.3) & (labels_of(day) == 1)
        return change_log(page=lambda d: pc.if_else(pa.array(moved), page, d.log["page"].combine_chunks()))(day)

    return breaks


def bots(day: Day) -> Day:
    """Twelve users with 15 % of the rows, evenly over the hours, without an install."""
    rng = generator()
    size = 15 * round(len(day.log) * 0.15 / 0.85 / 15)
    request = np.arange(size) // 15
    midnight = np.asarray(day.log["timestamp"]).min() // 86_400 * 86_400
    seconds = (request * 86_400 // (size // 15)).astype(np.int64)
    rows = day.log.take(pa.array(rng.integers(0, len(day.log), size)))
    changes = {
        "request_id": [f"bot-{r}" for r in request],
        "impression_id": [f"bot-{i}" for i in range(size)],
        "user_id": [f"bot{r % 12}" for r in request],
        "timestamp": midnight + seconds,
        "hour": seconds // SECONDS_PER_HOUR,
        "position": np.arange(size) % 15 + 1,
        "page": ["home"] * size,
        "label": np.zeros(size, np.int64),
    }
    for column, values in changes.items():
        rows = with_column(rows, column, values)
    return add_users(append(day, rows), [f"bot{i}" for i in range(12)])


def bot_on_one_app(share: float) -> Breaks:
    """40 new users with 3 % of the rows, all of one app; `share` of them have label 1."""

    def breaks(day: Day, _: Sequence[Day]) -> Day:
        rng, size = generator(), round(0.03 * len(day.log) / 0.97)
        apps, numbers = np.unique(day.log["app_id"].to_numpy(zero_copy_only=False), return_counts=True)
        app = apps[np.argsort(-numbers)[len(apps) // 4]]
        midnight = np.asarray(day.log["timestamp"]).min() // 86_400 * 86_400
        seconds = np.sort(rng.integers(2 * SECONDS_PER_HOUR, 5 * SECONDS_PER_HOUR, size))
        rows = day.log.take(pa.array(rng.integers(0, len(day.log), size)))
        changes = {
            "request_id": [f"bot-{i}" for i in range(size)],
            "impression_id": [f"bot-{i}" for i in range(size)],
            "user_id": [f"bot{i % 40}" for i in range(size)],
            "app_id": [app] * size,
            "timestamp": midnight + seconds,
            "hour": seconds // SECONDS_PER_HOUR,
            "position": np.ones(size, np.int64),
            "label": (rng.random(size) < share).astype(np.int64),
        }
        for column, values in changes.items():
            rows = with_column(rows, column, values)
        return add_users(append(day, rows), [f"bot{i}" for i in range(40)])

    return breaks


def catalog_of_yesterday(day: Day, before: Sequence[Day]) -> Day:
    return dataclasses.replace(day, catalog=before[-1].catalog)


def clock_of_installs(day: Day) -> Day:
    """Installs within 60 seconds seem to be earlier than their impression, and have none."""
    label = labels_of(day)
    lost = (install_delay(generator(), len(label)) <= 60) & (label == 1)
    kept, organic = int(label.sum() - lost.sum()), len(label) // 100
    evidence = InstallEvidence(attributed=kept, without_impression=organic + int(lost.sum()))
    return dataclasses.replace(lose_labels(lambda _: lost)(day), installs=evidence)


def labels_at_random(day: Day) -> Day:
    label, rows = labels_of(day).copy(), np.flatnonzero(of_country(day, 0.17))
    label[rows] = generator().permutation(label[rows])
    return change_log(label=lambda _: label)(day)


def lists_lost(day: Day) -> Day:
    return change_table("users", "installed_apps", lose_values(0.61))(day)


def two_rows_of_a_key(day: Day) -> Day:
    """8 % of the users have an older row, too, with another age of their account."""
    older = day.users.filter(pa.array(generator().random(len(day.users)) < 0.08))
    older = with_column(older, "account_age_days", pc.add(older["account_age_days"], 200))
    return dataclasses.replace(day, users=pa.concat_tables([day.users, older]))


def swapped(day: Day) -> Day:
    device = day.users["device"].to_numpy(zero_copy_only=False)
    of_client = pa.array(device == of_user(day, "device")[np.argmax(nearest(of_user(day, "device"), 0.12))])
    country, language = (day.users[name].combine_chunks() for name in ("country", "language"))
    users = with_column(day.users, "country", pc.if_else(of_client, language, country))
    return dataclasses.replace(day, users=with_column(users, "language", pc.if_else(of_client, country, language)))


def features_of_other_apps(day: Day) -> Day:
    rng, place = generator(), np.arange(len(day.catalog))
    chosen = np.flatnonzero(rng.random(len(place)) < 0.25)
    place[chosen] = rng.permutation(chosen)
    catalog = day.catalog
    for column in ("category", "price", "rating", "num_downloads"):
        catalog = with_column(catalog, column, day.catalog[column].take(pa.array(place)))
    return dataclasses.replace(day, catalog=catalog)


def credited_to_the_first(day: Day) -> Day:
    label, request = labels_of(day).copy(), requests_of(day)
    first = np.flatnonzero(np.asarray(day.log["position"]) == 1)
    row_of = np.full(request.max() + 1, -1)
    row_of[request[first]] = first
    moved = np.flatnonzero(drawn_requests(day, 0.4) & (label == 1) & (row_of[request] >= 0))
    label[moved] = 0
    label[row_of[request[moved]]] = 1
    return change_log(label=lambda _: label)(day)


def replayed(number: int) -> Breaks:
    """The rows of an earlier day, with times of this one and other ids of requests and impressions."""

    def breaks(day: Day, before: Sequence[Day]) -> Day:
        old = before[-number]
        log = with_column(old.log, "timestamp", np.asarray(old.log["timestamp"]) + number * 86_400)
        for column in ("request_id", "impression_id"):
            log = with_column(log, column, pc.binary_join_element_wise("again", log[column], "-"))
        weekday = day.log["weekday"][0].as_py()
        log = with_column(log, "weekday", [weekday] * len(log))
        return dataclasses.replace(old, number=day.number, log=log)

    return breaks


def not_ripe(day: Day) -> Day:
    time = np.asarray(day.log["timestamp"])
    installed = time + install_delay(generator(), len(time))
    return lose_labels(lambda _: installed % 86_400 > 22 * SECONDS_PER_HOUR)(day)


def random_lists(day: Day) -> Day:
    rng, chosen = generator(), drawn_requests(day, 0.2)
    app = day.log["app_id"].to_numpy(zero_copy_only=False).copy()
    label, request = labels_of(day).copy(), requests_of(day)
    rows = np.flatnonzero(chosen)
    order = rows[np.lexsort((rng.random(len(rows)), request[rows]))]
    app[rows[np.argsort(request[rows], kind="stable")]] = app[order]
    label[rows[np.argsort(request[rows], kind="stable")]] = label[order]
    replaced = chosen & (rng.random(len(app)) < 0.5)
    app[replaced] = rng.choice(day.catalog["app_id"].to_numpy(zero_copy_only=False), replaced.sum())
    label[replaced | (chosen & (rng.random(len(app)) < 0.4))] = 0
    return change_log(app_id=lambda _: pa.array(app), label=lambda _: label)(day)


def default_user(day: Day) -> Day:
    chosen = drawn_requests(day, 0.09)
    user = pc.if_else(pa.array(chosen), "0", day.log["user_id"].combine_chunks())
    changed = change_log(user_id=lambda _: user)(day)
    return add_users(changed, ["0"], account_age_days=None)


def counts_of_tomorrow(day: Day) -> Day:
    apps, numbers = np.unique(day.log["app_id"].filter(pa.array(labels_of(day) == 1)).to_pylist(), return_counts=True)
    installs = dict(zip(apps.tolist(), numbers.tolist(), strict=True))
    more = [300 * installs.get(app, 0) for app in day.catalog["app_id"].to_pylist()]
    return change_table("catalog", "num_downloads", lambda column: pc.add(column, pa.array(more)))(day)


def slow_loss(day: Day, number: int) -> Day:
    """Keeps each label with the probability 0.97^number."""
    return lose_labels(lambda d: ~drawn(d, 0.97**number))(day)


def times_1_3(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(np.round(1.3 * np.asarray(column)).astype(np.int64))
