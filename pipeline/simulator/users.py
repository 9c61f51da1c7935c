"""The store's users: attributes that the logs show, and hidden ones such as their taste."""

from __future__ import annotations

import numpy as np

from pipeline.simulator.apps import LATENT_DIM, Apps
from pipeline.simulator.names import COUNTRIES, COUNTRY_NAMES, DEVICES, LANGUAGES
from pipeline.simulator.sampling import Bools, Ints, choose_distinct

MIN_INSTALLED, MAX_INSTALLED = 5, 25
NUM_FAVOURITES = 8
_DRAWS = 48
_USERS_AT_ONCE = 50_000
_NATIVE_SHARE, _ENGLISH_SHARE = 0.8, 0.15  # of a country's users; the rest speak any language
_COUNTRY_LANGUAGE = np.array([LANGUAGES.index(language) for language, _ in COUNTRIES.values()])
_COUNTRY_WEIGHT = np.array([weight for _, weight in COUNTRIES.values()])


class Users:
    """All users, one slot each. When a user leaves, a new user with a new number takes the slot.

    Attributes:
      number: int64 [users], N of `uN`; never reused.
      country, device, language: int32 [users], indices into COUNTRY_NAMES, DEVICE_NAMES and LANGUAGES.
      born: int32 [users], the day the account was opened; 0 or less if before the simulation.
      installed: int32 [users, MAX_INSTALLED], the slots of the installed apps, padded with -1.
      capacity: int32 [users], maximum number of apps; a further install replaces another app.
      activity: float64 [users], hidden; requests are drawn in proportion to it.
      latent: float32 [users, LATENT_DIM], hidden; the taste.
      favourites: int8 [users, NUM_FAVOURITES], hidden; categories drawn by taste, with repetitions.
    """

    def __init__(self, rng: np.random.Generator, num_users: int, apps: Apps) -> None:
        self.num_users = num_users
        self.number = np.zeros(num_users, dtype=np.int64)
        self.country = np.zeros(num_users, dtype=np.int32)
        self.device = np.zeros(num_users, dtype=np.int32)
        self.language = np.zeros(num_users, dtype=np.int32)
        self.born = np.zeros(num_users, dtype=np.int32)
        self.installed = np.full((num_users, MAX_INSTALLED), -1, dtype=np.int32)
        self.capacity = np.zeros(num_users, dtype=np.int32)
        self.activity = np.zeros(num_users)
        self.latent = np.zeros((num_users, LATENT_DIM), dtype=np.float32)
        self.favourites = np.zeros((num_users, NUM_FAVOURITES), dtype=np.int8)
        self._next_number = 1
        for start in range(0, num_users, _USERS_AT_ONCE):
            slots = np.arange(start, min(start + _USERS_AT_ONCE, num_users))
            self._fill(rng, slots, 1 - rng.exponential(500, len(slots)).astype(np.int32), apps)

    def _fill(self, rng: np.random.Generator, slots: Ints, born: Ints, apps: Apps) -> None:
        """Puts new users into the slots."""
        n = len(slots)
        self.number[slots] = self._next_number + rng.permutation(n)
        self._next_number += n
        self.born[slots] = born
        self.country[slots] = rng.choice(len(COUNTRY_NAMES), n, p=_COUNTRY_WEIGHT / _COUNTRY_WEIGHT.sum())
        self.device[slots] = rng.integers(0, len(DEVICES), n)
        speaks = rng.random(n)
        other = np.where(
            speaks < _NATIVE_SHARE + _ENGLISH_SHARE, LANGUAGES.index("en"), rng.integers(0, len(LANGUAGES), n)
        )
        self.language[slots] = np.where(speaks < _NATIVE_SHARE, _COUNTRY_LANGUAGE[self.country[slots]], other)
        self.activity[slots] = np.exp(rng.normal(0, 1, n))
        self.latent[slots] = rng.normal(size=(n, LATENT_DIM))
        # Gumbel-max trick: the argmax of logit + Gumbel noise is a draw from the softmax.
        appeal = 0.5 * self.latent[slots] @ apps.category_centre.T
        for k in range(NUM_FAVOURITES):
            self.favourites[slots, k] = np.argmax(appeal + rng.gumbel(size=appeal.shape), axis=1)
        self.capacity[slots] = rng.integers(MIN_INSTALLED, MAX_INSTALLED, n, endpoint=True)
        by_popularity = apps.draw_popular(rng, (n, _DRAWS))
        draw = rng.integers(0, NUM_FAVOURITES, (n, _DRAWS))
        by_taste = apps.draw_of_category(rng, self.favourites[slots[:, None], draw])
        drawn = np.where(rng.random((n, _DRAWS)) < 0.5, by_popularity, by_taste)
        chosen = choose_distinct(rng, drawn, self.capacity[slots], apps.num_apps)
        self.installed[slots] = -1
        self.installed[slots, : chosen.shape[1]] = chosen

    def advance(self, rng: np.random.Generator, day: int, num_new: int, retired_apps: Ints, apps: Apps) -> None:
        """Moves to the next day: removes retired apps from the users' apps, and replaces `num_new` users."""
        is_retired = np.zeros(apps.num_apps + 1, dtype=bool)  # the last entry is for the padding, -1
        is_retired[retired_apps] = True
        row, column = np.nonzero(is_retired[self.installed])
        self.installed[row, column] = -1
        slots = rng.choice(self.num_users, num_new, replace=False)
        self._fill(rng, slots, np.full(num_new, day, dtype=np.int32), apps)

    def install(self, rng: np.random.Generator, users: Ints, app_slots: Ints, num_hubs: int) -> None:
        """Adds apps to the users' installed apps; for a user at capacity, an app replaces another one.

        Args:
          rng: The random number generator.
          users: int [n], user slots.
          app_slots: int [n], the app that `users[i]` installs; skipped if the user has it already.
          num_hubs: The number of hubs, which have the first app slots.
        """
        order = np.argsort(users, kind="stable")
        users, app_slots = users[order], app_slots[order]
        first = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.zeros(0, dtype=np.int64)
        rank = np.arange(len(users)) - np.repeat(first, np.diff(np.r_[first, len(users)]))
        by_rank = np.argsort(rank, kind="stable")
        for of_rank in np.split(by_rank, np.cumsum(np.bincount(rank))[:-1]) if len(users) else []:
            user, app = users[of_rank], app_slots[of_rank]  # each user occurs at most once
            new = ~(self.installed[user] == app[:, None]).any(axis=1)
            user, app = user[new], app[new]
            self.installed[user, self._column_for(rng, user, app < num_hubs, num_hubs)] = app

    def _column_for(self, rng: np.random.Generator, user: Ints, is_hub: Bools, num_hubs: int) -> Ints:
        """Returns int64 [n]: for each user, the column of `installed` for a new app.

        A hub replaces a hub; another app takes a free column or replaces another app. So the number of installed hubs,
        and with it the influence of the exceptions, stays constant.
        """
        installed = self.installed[user]
        is_used = installed >= 0
        same_kind = is_used & ((installed < num_hubs) == is_hub[:, None])
        has_room = is_used.sum(axis=1) < self.capacity[user]
        is_free = ~is_used & (has_room & ~(is_hub & same_kind.any(axis=1)))[:, None]
        # The smallest key wins: free columns, then apps of the same kind, then other apps, never the padding.
        key = rng.random(installed.shape) + np.where(same_kind, 1, np.where(is_used, 2, 3))
        column: Ints = np.argmin(np.where(is_free, 0, key), axis=1)
        return column

    def hub_bits(self, num_hubs: int) -> Ints:
        """Returns uint64 [users]: bit h is set if the user has the app of slot h installed."""
        bits = np.zeros(self.num_users, dtype=np.uint64)
        for column in self.installed.T:
            is_hub = (column >= 0) & (column < num_hubs)
            bits |= np.where(is_hub, np.uint64(1) << np.where(is_hub, column, 0).astype(np.uint64), np.uint64(0))
        return bits
