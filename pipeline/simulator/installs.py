"""Installs: those caused by impressions, some of them late, and organic ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.simulator.sampling import Bools, Ints
from pipeline.simulator.store import Store

_MEAN_DELAY_SECONDS = 300.0
_LATE_SHARE, _MEAN_LATE_DELAY_SECONDS = 0.05, 7200.0  # users who return to the app's page later
MAX_DELAY_SECONDS = 86_400  # so that an install happens on the day of the impression or on the next day


@dataclass(frozen=True)
class Installs:
    """Installs, each with its user, app and time.

    Attributes:
      user, app: int32 [n], slots, which may hold another user or app by now.
      user_number, app_number: int64 [n], the numbers in their ids.
      timestamp: int64 [n], seconds since 1970.
    """

    user: Ints
    app: Ints
    user_number: Ints
    app_number: Ints
    timestamp: Ints

    @classmethod
    def of(cls, store: Store, user: Ints, app: Ints, timestamp: Ints) -> Installs:
        """Creates installs from slots of the current day's store."""
        return cls(user, app, store.users.number[user], store.apps.number[app], timestamp)

    @classmethod
    def none(cls) -> Installs:
        """Returns an empty set of installs."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty, empty)

    @classmethod
    def concatenate(cls, parts: list[Installs]) -> Installs:
        """Returns the installs of all parts, in order of time."""
        columns = [
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("user", "app", "user_number", "app_number", "timestamp")
        ]
        order = np.argsort(columns[-1], kind="stable")
        return cls(*(column[order] for column in columns))

    def take(self, which: Bools) -> Installs:
        """Returns the installs where `which`, bool [n], is true."""
        return Installs(
            self.user[which], self.app[which], self.user_number[which], self.app_number[which], self.timestamp[which]
        )

    def __len__(self) -> int:
        return len(self.timestamp)


def install_delay(rng: np.random.Generator, n: int) -> Ints:
    """Returns int64 [n]: seconds from impression to install; exponential, with a share of late ones that take hours."""
    mean = np.where(rng.random(n) < _LATE_SHARE, _MEAN_LATE_DELAY_SECONDS, _MEAN_DELAY_SECONDS)
    return np.clip(np.ceil(rng.exponential(mean)), 1, MAX_DELAY_SECONDS).astype(np.int64)


def share_within(seconds: float) -> float:
    """Returns the share of the installs that impressions cause which follow within some seconds; of an hour, 0.970."""
    late = math.exp(-seconds / _MEAN_LATE_DELAY_SECONDS)
    return 1 - _LATE_SHARE * late - (1 - _LATE_SHARE) * math.exp(-seconds / _MEAN_DELAY_SECONDS)


def organic_installs(store: Store, rng: np.random.Generator, timestamp: Ints) -> Installs:
    """Draws installs that no impression caused, one per time; omits those of apps that the user has already.

    Args:
      store: The store.
      rng: The random number generator.
      timestamp: int64 [n], seconds since 1970.

    Returns:
      At most n installs.
    """
    user = store.draw_users(rng, len(timestamp))
    app = store.apps.draw_popular(rng, user.shape)
    is_new = ~(store.users.installed[user] == app[:, None]).any(axis=1)
    return Installs.of(store, user[is_new], app[is_new], timestamp[is_new])


def record(store: Store, rng: np.random.Generator, installs: Installs) -> None:
    """Adds the day's installs to the users' apps, except for users and apps that have left since."""
    users, apps = store.users, store.apps
    stays = (users.number[installs.user] == installs.user_number) & (apps.number[installs.app] == installs.app_number)
    users.install(rng, installs.user[stays], installs.app[stays], apps.num_hubs)
