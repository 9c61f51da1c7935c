"""Draws a served day's requests: who asks, when, which candidates there are, and what the service is sent of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.simulator.day import diurnal_seconds, draw_candidates, draw_pages, midnight
from pipeline.simulator.names import PAGES
from pipeline.simulator.sampling import Floats, Ints, choose_distinct
from pipeline.simulator.store import Store
from pipeline.simulator.tables import catalog_table, users_table, weekday_of

NUM_CANDIDATES = 50
NUM_SHOWN = 10
_REQUESTS_AT_ONCE = 2_000  # bounds the memory, however large the day
_DRAWS_PER_CANDIDATE = 3


@dataclass(frozen=True)
class Requests:
    """A chunk of a day's requests, in order of time.

    Attributes:
      first: The first request's number within the day, from 0.
      timestamp: int64 [n], seconds since 1970, in the store's time.
      hour: int64 [n], 0 to 23.
      page: int64 [n], index into PAGES.
      user: int32 [n], user slots.
      candidates: int32 [n, NUM_CANDIDATES], app slots.
      logit: float32 [n, NUM_CANDIDATES], the true logit of an install at place 1.
      luck: float32 [n, NUM_CANDIDATES], uniform in [0, 1): a candidate that is shown is installed if its luck is below
        its probability at its place. It is drawn for all candidates before the service is asked, so that the same
        answers lead to the same installs.
    """

    first: int
    timestamp: Ints
    hour: Ints
    page: Ints
    user: Ints
    candidates: Ints
    logit: Floats
    luck: Floats

    def __len__(self) -> int:
        return len(self.user)


def request_chunks(store: Store, num_requests: int) -> Iterator[Requests]:
    """Yields the current day's requests, at most 2,000 at once; `num_requests` is at least 1."""
    for index, start in enumerate(range(0, num_requests, _REQUESTS_AT_ONCE)):
        n = min(_REQUESTS_AT_ONCE, num_requests - start)
        rng = store.rng("requests", index)
        seconds = diurnal_seconds(np.sort(rng.uniform(start / num_requests, (start + n) / num_requests, n)))
        hour, user, page = seconds // 3600, store.draw_users(rng, n), draw_pages(rng, n)
        drawn = draw_candidates(rng, store, user, page, _DRAWS_PER_CANDIDATE * NUM_CANDIDATES)
        sizes = np.full(n, NUM_CANDIDATES)
        installed = store.users.installed[user]
        candidates = choose_distinct(rng, drawn, sizes, store.apps.num_apps, excluded=installed)
        of_each = np.repeat(np.arange(n), NUM_CANDIDATES)
        first_place = np.ones(len(of_each), dtype=np.int64)
        parts = store.logit_parts(user[of_each], candidates.ravel(), hour[of_each], first_place)
        logit = np.sum(list(parts.values()), axis=0).reshape(candidates.shape)
        luck = rng.random(candidates.shape, dtype=np.float32)
        yield Requests(start, midnight(store.day) + seconds, hour, page, user, candidates, logit, luck)


class Bodies:
    """Makes the bodies of `/rank` from a day's requests, with the users' and the apps' state at its start.

    Args:
      store: The store.
      new_since: Apps that were born on this day or later are sent with their features: the catalog of a model that was
        trained on the days before lacks them.
    """

    def __init__(self, store: Store, new_since: int) -> None:
        self._store, self._weekday = store, weekday_of(store.day)
        rows = {row.pop("app_id"): row for row in catalog_table(store).to_pylist()}
        self._ids = [f"com.store.app{number}" for number in store.apps.number]
        self._items: list[str | dict[str, Any]] = [
            {"id": item_id, "features": _item_features(rows[item_id])} if born >= new_since else item_id
            for item_id, born in zip(self._ids, store.apps.born, strict=True)
        ]

    def of(self, requests: Requests) -> list[dict[str, Any]]:
        """Returns a body for each request; the user's key is the user's id."""
        users = users_table(self._store, requests.user).to_pylist()
        bodies = []
        for index, (user, slots) in enumerate(zip(users, requests.candidates, strict=True)):
            context = {
                **user,
                "hour": int(requests.hour[index]),
                "weekday": self._weekday,
                "page": PAGES[requests.page[index]],
            }
            candidates = [self._items[slot] for slot in slots]
            bodies.append({"user": user["user_id"], "context": context, "candidates": candidates, "k": NUM_SHOWN})
        return bodies

    def ids(self, slots: Ints) -> list[str]:
        """Returns the item ids of app slots."""
        return [self._ids[slot] for slot in slots]


def _item_features(row: dict[str, Any]) -> dict[str, Any]:
    """A catalog's row as the configs read it; `language` is the context's, the app's own is `app_language`."""
    return {"app_language" if name == "language" else name: value for name, value in row.items()}
