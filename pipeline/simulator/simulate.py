"""Simulates an app store, day by day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.simulator.day import diurnal_seconds, impression_chunks, midnight
from pipeline.simulator.day_folders import DayFolders, published_paths
from pipeline.simulator.installs import Installs, organic_installs, record
from pipeline.simulator.sampling import Bools, Ints
from pipeline.simulator.store import Store
from pipeline.simulator.tables import catalog_table, impressions_table, installs_table, truth_table, users_table
from pipeline.simulator.writers import COMPRESSIBLE_FORMATS, FORMATS

MIN_APPS = 100  # so that a user with 25 apps can still be shown 10 other apps of every kind
_ORGANIC_PER_IMPRESSION = 0.01
_USERS_PER_PART = 250_000

#: The least values of the sizes; of the others, 1.
_LEAST = {"seed": 0, "num_apps": MIN_APPS}


@dataclass(frozen=True)
class DayCounts:
    """Numbers of rows in one simulated day's logs, and its number of requests."""

    num_impressions: int
    num_requests: int
    num_installs: int
    num_users: int
    num_apps: int


def simulate(
    out: Path,
    *,
    num_days: int,
    impressions_per_day: int,
    format: str = "csv",
    compress: bool = False,
    seed: int = 1,
    num_users: int,
    num_apps: int,
    first_day: int = 1,
    with_label: bool = False,
    on_day: Callable[[int, DayCounts], None] | None = None,
) -> None:
    """Writes a simulated app store's daily logs and, in separate files, the ground truth.

    Day N is `impressions/day-N/`, `installs/day-N/`, `users/day-N/`, `catalog/day-N/` and `truth/day-N.parquet` below
    `out`. A day's files appear together; the file `impressions/day-N/_SUCCESS` is written last. The same seed and sizes
    give the same rows in every format. A call with a later `first_day` continues the same store: the days before are
    drawn again, but not written.

    Args:
      out: The folder to write to; created if missing.
      num_days: Number of days to write.
      impressions_per_day: Exact number of impressions of each day.
      format: One of FORMATS.
      compress: Whether to gzip the files (not for parquet, which has its own compression).
      seed: The seed of all random draws.
      num_users: Number of users at any time; 1 % are replaced by new ones every day.
      num_apps: Number of apps on offer at any time; 1 % are replaced by new ones every day.
      first_day: The number of the first day to write; day 1 is 2026-01-01.
      with_label: Whether the impressions have the label too, in the column `installed`: 1 if the impression leads to an
        install, however late, else 0.
      on_day: Called with the day's number and counts after each written day.

    Raises:
      ValueError: An argument is not allowed, or one of the days already exists.
    """
    check_sizes(
        num_days=num_days, impressions_per_day=impressions_per_day, seed=seed, num_users=num_users, num_apps=num_apps,
        first_day=first_day,
    )  # fmt: skip
    last_day = first_day + num_days - 1
    check_output(out, format, compress, range(first_day, last_day + 1))
    store = Store(seed, num_users, num_apps)
    pending = Installs.none()
    while True:
        if store.day < first_day:
            pending, _ = simulate_day(store, pending, impressions_per_day)
        else:
            with DayFolders(out, store.day, format, compress=compress) as folders:
                pending, counts = simulate_day(store, pending, impressions_per_day, folders, with_label=with_label)
            if on_day is not None:
                on_day(store.day, counts)
        if store.day == last_day:
            return
        store.advance()


def check_sizes(**sizes: int) -> None:
    """Raises ValueError if a size, by name, is too small."""
    for name, value in sizes.items():
        if value < (least := _LEAST.get(name, 1)):
            raise ValueError(f"`{name}` must be at least {least}. Received: {value}.")


def check_output(
    out: Path, file_format: str, compress: bool, days: range, paths: Callable[[Path, int], list[Path]] = published_paths
) -> None:
    """Raises ValueError unless the days can be written to `out` in this format; `paths` are those of a day."""
    if file_format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}. Received: {file_format}.")
    if compress and file_format not in COMPRESSIBLE_FORMATS:
        raise ValueError(
            f"`compress` must be off with the format {file_format}, which is compressed by itself. "
            f"Received: {compress}. Formats that can be gzipped: {', '.join(COMPRESSIBLE_FORMATS)}."
        )
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder or not exist yet. Received: {out}, which is a file.")
    for day in days:
        for path in paths(out, day):
            if path.exists():
                raise ValueError(
                    f"Each simulated day must be new. Received: day {day}, of which {path} exists. "
                    "Remove that day's data, or choose another folder or first day."
                )


def simulate_day(
    store: Store,
    pending: Installs,
    num_impressions: int,
    folders: DayFolders | None = None,
    *,
    with_label: bool = False,
) -> tuple[Installs, DayCounts]:
    """Draws the current day, writes it if `folders` is given, and adds its installs to the users' apps.

    Returns:
      The installs that happen after midnight, and the day's counts.
    """
    is_active = np.zeros(store.users.num_users, dtype=bool)
    num_requests = 0
    parts = [pending]
    for chunk in impression_chunks(store, num_impressions):
        is_active[chunk.user] = True
        num_requests = int(chunk.request[-1]) + 1
        parts.append(chunk.installs)
        if folders is not None:
            folders.write("impressions", impressions_table(store, chunk, with_label=with_label))
            folders.write_truth(truth_table(store, chunk))
    rng = store.rng("close")
    today, later = installs_of_day(store, rng, parts, num_impressions)
    active = _active_users(store, is_active, today)
    if folders is not None:
        folders.write("installs", installs_table(today))
        for start in range(0, len(active), _USERS_PER_PART):
            folders.write("users", users_table(store, active[start : start + _USERS_PER_PART]))
        folders.write("catalog", catalog_table(store))
    counts = DayCounts(num_impressions, num_requests, len(today), len(active), store.apps.num_apps)
    record(store, rng, today)
    return later, counts


def installs_of_day(
    store: Store, rng: np.random.Generator, parts: list[Installs], num_impressions: int
) -> tuple[Installs, Installs]:
    """Adds organic installs to those that impressions caused.

    Args:
      store: The store.
      rng: The day's generator for `close`; `record` draws from it next.
      parts: The installs that impressions caused.
      num_impressions: The number of the day's impressions.

    Returns:
      The installs of the current day, and those after midnight.
    """
    quantiles = rng.random(rng.poisson(_ORGANIC_PER_IMPRESSION * num_impressions))
    organic = organic_installs(store, rng, midnight(store.day) + diurnal_seconds(quantiles))
    installs = Installs.concatenate([*parts, organic])
    is_today = installs.timestamp < midnight(store.day + 1)
    return installs.take(is_today), installs.take(~is_today)


def _active_users(store: Store, is_active: Bools, installs: Installs) -> Ints:
    """Returns int64: the slots of the users with an impression or an install today, in the order of their numbers."""
    still_here = store.users.number[installs.user] == installs.user_number
    is_active[installs.user[still_here]] = True
    slots = np.flatnonzero(is_active)
    return slots[np.argsort(store.users.number[slots])]
