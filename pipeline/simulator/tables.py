"""Builds the simulated logs as Arrow tables. Hidden values are in `truth_table` only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.simulator.day import SECONDS_PER_DAY, Chunk, midnight
from pipeline.simulator.installs import Installs
from pipeline.simulator.names import CATEGORIES, COUNTRY_NAMES, DEVICE_NAMES, LANGUAGES, PAGES, WEEKDAYS
from pipeline.simulator.sampling import Ints
from pipeline.simulator.store import Store

_FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday


def _ids(prefix: str, numbers: Ints) -> pa.Array:
    """Returns the strings prefix + number."""
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")


def user_ids(numbers: Ints) -> pa.Array:
    """Returns `uN` for each number N."""
    return _ids("u", numbers)


def app_ids(numbers: Ints) -> pa.Array:
    """Returns `com.store.appN` for each number N."""
    return _ids("com.store.app", numbers)


def impression_ids(day: int, chunk: Chunk) -> pa.Array:
    """Returns `{day}-{n}`, where n counts the day's impressions from 0."""
    first = chunk.first_impression
    return _ids(f"{day}-", np.arange(first, first + len(chunk.user)))


def _named(names: Sequence[str], indices: Ints) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(indices))


def weekday_of(day: int) -> str:
    """Returns the day's weekday, one of WEEKDAYS."""
    return WEEKDAYS[(midnight(day) // SECONDS_PER_DAY + _FIRST_WEEKDAY) % 7]


def impressions_table(store: Store, chunk: Chunk, *, with_label: bool = False) -> pa.Table:
    """Returns one row per impression of the chunk.

    Args:
      store: The store.
      chunk: The impressions.
      with_label: Whether the table has the column `installed`, int64: 1 if the impression leads to an install, else 0.
    """
    # All impressions of a chunk are of the same day, hence of the same weekday.
    weekday = weekday_of(store.day)
    table = pa.table(
        {
            "impression_id": impression_ids(store.day, chunk),
            "request_id": _ids(f"{store.day}-r", chunk.request),
            "timestamp": pa.array(chunk.timestamp, pa.int64()),
            "user_id": user_ids(store.users.number).take(pa.array(chunk.user)),
            "app_id": app_ids(store.apps.number).take(pa.array(chunk.app)),
            "position": pa.array(chunk.position, pa.int64()),
            "page": _named(PAGES, chunk.page),
            "hour": pa.array(chunk.hour, pa.int64()),
            "weekday": _named([weekday], np.zeros(len(chunk.user), dtype=np.int8)),
        }
    )
    return table.append_column("installed", pa.array(chunk.is_installed.astype(np.int64))) if with_label else table


def installs_table(installs: Installs) -> pa.Table:
    """Returns one row per install."""
    return pa.table(
        {
            "user_id": user_ids(installs.user_number),
            "app_id": app_ids(installs.app_number),
            "timestamp": pa.array(installs.timestamp, pa.int64()),
        }
    )


def users_table(store: Store, slots: Ints) -> pa.Table:
    """Returns one row per user slot, with the users' state at the start of the day."""
    users = store.users
    installed = users.installed[slots]
    is_app = installed >= 0
    offsets = np.r_[0, np.cumsum(is_app.sum(axis=1))].astype(np.int32)
    apps = app_ids(store.apps.number).take(pa.array(installed[is_app]))
    return pa.table(
        {
            "user_id": user_ids(users.number[slots]),
            "country": _named(COUNTRY_NAMES, users.country[slots]),
            "device": _named(DEVICE_NAMES, users.device[slots]),
            "language": _named(LANGUAGES, users.language[slots]),
            "account_age_days": pa.array(store.day - users.born[slots], pa.int64()),
            "installed_apps": pa.ListArray.from_arrays(pa.array(offsets), apps),
        }
    )


def catalog_table(store: Store) -> pa.Table:
    """Returns one row per app on offer, ordered by app number, which is independent of popularity."""
    apps = store.apps
    slots = np.argsort(apps.number)
    return pa.table(
        {
            "app_id": app_ids(apps.number[slots]),
            "category": _named(CATEGORIES, apps.category[slots]),
            "developer": _ids("dev", apps.developer[slots]),
            "language": _named(LANGUAGES, apps.language[slots]),
            "price": pa.array(apps.price[slots], pa.float64()),
            "rating": pa.array(apps.rating(store.day)[slots], pa.float64(), from_pandas=True),  # NaN becomes null
            "num_downloads": pa.array(apps.num_downloads[slots], pa.int64()),
            "age_days": pa.array(store.day - apps.born[slots], pa.int64()),
            "size_mb": pa.array(apps.size_mb[slots], pa.float64()),
        }
    )


def truth_table(store: Store, chunk: Chunk) -> pa.Table:
    """Returns one row per impression: the true probability, its logit's parts, and whether the app was installed."""
    return pa.table(
        {
            "impression_id": impression_ids(store.day, chunk),
            "probability": pa.array(chunk.probability, pa.float32()),
            "is_installed": pa.array(chunk.is_installed),
            **{f"logit_{name}": pa.array(values, pa.float32()) for name, values in chunk.logit_parts.items()},
        }
    )
