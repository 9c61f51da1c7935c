"""Draws one day's impressions in chunks, with their true probabilities and the resulting installs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.simulator.installs import Installs, install_delay
from pipeline.simulator.names import CATEGORIES, PAGES
from pipeline.simulator.sampling import Bools, Floats, Ints, choose_distinct
from pipeline.simulator.store import Store
from pipeline.simulator.users import MAX_INSTALLED, NUM_FAVOURITES

SECONDS_PER_DAY = 86_400
FIRST_MIDNIGHT = 1_767_225_600  # 2026-01-01 00:00 UTC, the start of day 1
IMPRESSIONS_PER_CHUNK = 250_000  # bounds the memory, however large the day
MAX_CANDIDATES = 10
_MIN_CANDIDATES = 4
_FULL_PAGE_SHARE = 0.7
_DRAWS = 24
# Per page: its share of the requests, and the share of its candidates that are drawn by popularity, not by category.
_PAGE_WEIGHT = np.array([0.45, 0.25, 0.15, 0.15])
_POPULAR_SHARE = np.array([0.5, 0.3, 0.1, 0.3], dtype=np.float32)
_HOUR_WEIGHT = np.array([3, 2, 1, 1, 1, 2, 3, 4, 5, 5, 5, 6, 7, 6, 5, 5, 6, 7, 8, 9, 10, 10, 8, 5], dtype=np.float64)
_HOUR_CDF = np.r_[0, np.cumsum(_HOUR_WEIGHT) / _HOUR_WEIGHT.sum()]


def midnight(day: int) -> int:
    """Returns the time at which the day (counted from 1) starts, in seconds since 1970."""
    return FIRST_MIDNIGHT + (day - 1) * SECONDS_PER_DAY


def diurnal_seconds(quantile: Floats) -> Ints:
    """Returns int64 [n]: the second of the day by which a share `quantile` of its requests has arrived."""
    seconds: Ints = np.interp(quantile, _HOUR_CDF, np.arange(25) * 3600.0).astype(np.int64)
    np.minimum(seconds, SECONDS_PER_DAY - 1, out=seconds)
    return seconds


@dataclass(frozen=True)
class Chunk:
    """A chunk of a day's impressions, in order of time; the impressions of a request are adjacent.

    Attributes:
      first_impression: Number of the first impression within the day, from 0.
      request: int64 [n], the request's number within the day.
      timestamp: int64 [n], seconds since 1970.
      user, app: int32 [n], slots.
      position: int64 [n], 1 to MAX_CANDIDATES.
      page: int64 [n], index into PAGES.
      hour: int64 [n], 0 to 23.
      logit_parts: float32 [n] for each part of the logit.
      probability: float32 [n], the true probability of an install.
      is_installed: bool [n], whether the impression leads to an install, however late.
      installs: The installs that these impressions cause.
    """

    first_impression: int
    request: Ints
    timestamp: Ints
    user: Ints
    app: Ints
    position: Ints
    page: Ints
    hour: Ints
    logit_parts: dict[str, Floats]
    probability: Floats
    is_installed: Bools
    installs: Installs


def impression_chunks(store: Store, num_impressions: int) -> Iterator[Chunk]:
    """Draws the current day's impressions.

    Args:
      store: The store; not changed.
      num_impressions: Number of impressions in all, at least 1.

    Yields:
      The day's chunks in order of time, each of at most IMPRESSIONS_PER_CHUNK impressions.
    """
    first_request = 0
    for index, start in enumerate(range(0, num_impressions, IMPRESSIONS_PER_CHUNK)):
        n = min(IMPRESSIONS_PER_CHUNK, num_impressions - start)
        quantiles = (start / num_impressions, (start + n) / num_impressions)
        chunk = _draw_chunk(store, store.rng("chunk", index), start, n, first_request, quantiles)
        first_request = int(chunk.request[-1]) + 1
        yield chunk


def _draw_chunk(
    store: Store, rng: np.random.Generator, start: int, n: int, first_request: int, quantiles: tuple[float, float]
) -> Chunk:
    sizes = _request_sizes(rng, n)
    num_requests = len(sizes)
    seconds = diurnal_seconds(np.sort(rng.uniform(*quantiles, num_requests)))
    users = store.draw_users(rng, num_requests)
    pages = draw_pages(rng, num_requests)
    candidates = draw_candidates(rng, store, users, pages, _DRAWS)
    chosen = choose_distinct(rng, candidates, sizes, store.apps.num_apps, excluded=store.users.installed[users])
    row, column = np.nonzero(chosen >= 0)
    user, app, position = users[row], chosen[row, column], column + 1
    timestamp = midnight(store.day) + seconds[row]
    hour = (seconds // 3600)[row]
    parts = store.logit_parts(user, app, hour, position)
    logit = np.sum(list(parts.values()), axis=0)
    probability = 1 / (1 + np.exp(-logit))
    is_installed = rng.random(n, dtype=np.float32) < probability
    installed = np.flatnonzero(is_installed)
    installs = Installs.of(
        store, user[installed], app[installed], timestamp[installed] + install_delay(rng, len(installed))
    )
    return Chunk(
        first_impression=start,
        request=first_request + row,
        timestamp=timestamp,
        user=user,
        app=app,
        position=position,
        page=pages[row],
        hour=hour,
        logit_parts=parts,
        probability=probability,
        is_installed=is_installed,
        installs=installs,
    )


def _request_sizes(rng: np.random.Generator, n: int) -> Ints:
    """Returns the number of impressions of each request, int64; they sum to n."""
    most = n // _MIN_CANDIDATES + 1
    is_full = rng.random(most) < _FULL_PAGE_SHARE
    sizes = np.where(is_full, MAX_CANDIDATES, rng.integers(_MIN_CANDIDATES, MAX_CANDIDATES, most))
    ends = np.cumsum(sizes)
    last = int(np.searchsorted(ends, n))
    sizes = sizes[: last + 1]
    sizes[-1] -= ends[last] - n
    return sizes


def draw_pages(rng: np.random.Generator, n: int) -> Ints:
    """Returns int64 [n]: the page of each request, as an index into PAGES."""
    return rng.choice(len(PAGES), n, p=_PAGE_WEIGHT)


def draw_candidates(rng: np.random.Generator, store: Store, users: Ints, pages: Ints, num_draws: int) -> Ints:
    """Draws each request's candidates: popular apps, mixed with apps of a category that suits the page.

    Args:
      rng: The random number generator.
      store: The store.
      users: int32 [requests], user slots.
      pages: int64 [requests], indices into PAGES.
      num_draws: The number of draws for each request.

    Returns:
      int32 [requests, num_draws], app slots, with repetitions.
    """
    shape = (len(users), num_draws)
    favourite = store.users.favourites[users]
    # Home: each candidate is from one of the user's favourite categories, drawn per candidate.
    category = np.take_along_axis(favourite, rng.integers(0, NUM_FAVOURITES, shape, dtype=np.int8), axis=1)
    # Category, similar and search: one category per request (a favourite one, that of an installed app, any one).
    similar_to = store.users.installed[users, rng.integers(0, MAX_INSTALLED, len(users))]
    similar_category = np.where(similar_to >= 0, store.apps.category[similar_to], favourite[:, 0])
    any_category = rng.integers(0, len(CATEGORIES), len(users))
    by_page = {"category": category[:, 0], "similar": similar_category, "search": any_category}
    for name, of_request in by_page.items():
        is_page = pages == PAGES.index(name)
        category[is_page] = of_request[is_page, None]
    is_popular = rng.random(shape, dtype=np.float32) < _POPULAR_SHARE[pages][:, None]
    return np.where(is_popular, store.apps.draw_popular(rng, shape), store.apps.draw_of_category(rng, category))
