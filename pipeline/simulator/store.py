"""The simulated store: its apps, its users and the true probabilities of an install."""

from __future__ import annotations

import math

import numpy as np

from pipeline.simulator.apps import NUM_PARTNERS, Apps
from pipeline.simulator.names import CATEGORIES, COUNTRY_NAMES, DEVICES, LANGUAGES
from pipeline.simulator.sampling import Floats, Ints
from pipeline.simulator.users import Users

DAILY_TURNOVER = 0.01  # share of the apps, and of the users, that is replaced every day
# Constants of the logit, set so that the install rate is 5 to 10 % and the oracle AUC 0.80 to 0.88.
BIAS = -3.35
_TASTE = 0.32
_QUALITY = 0.35
_PRICE = 0.5
_LANGUAGE = {"same": 0.4, "english": 0.0, "other": -0.6}
_POSITION = -0.35  # times ln(position)
_TREND_MEMORY, _TREND_SPREAD = 0.95, 0.3
_ENGLISH = LANGUAGES.index("en")
_DEVICE_THRIFT = np.array(list(DEVICES.values()), dtype=np.float32)

# The parts of the logit, in the order of the truth file's columns; the logit is their sum.
LOGIT_PARTS = ("bias", "taste", "context", "item", "memorized", "position")


class Store:
    """The state that is carried from day to day; its size does not depend on the number of days.

    Each day, and each chunk of a day, has its own random number generator, seeded with the store's seed and the day's
    number.

    Attributes:
      day: The current day, from 1.
      apps: The apps on offer.
      users: The users.
    """

    def __init__(self, seed: int, num_users: int, num_apps: int) -> None:
        self._seed = seed
        self.day = 1
        rng = self.rng("start")
        self.apps = Apps(rng, num_apps)
        self.users = Users(rng, num_users, self.apps)
        self._country_category = rng.normal(0, 0.35, (len(COUNTRY_NAMES), 1, len(CATEGORIES)))
        peak = rng.uniform(0, 24, len(CATEGORIES))
        self._hour_category = 0.4 * np.cos((np.arange(24)[:, None] - peak) * 2 * math.pi / 24)
        self._trend = rng.normal(0, _TREND_SPREAD, len(CATEGORIES))
        self._set_day()

    def rng(self, purpose: str, chunk: int = 0) -> np.random.Generator:
        """Returns the random number generator for a purpose (and chunk) on the current day."""
        key = (self.day, ("start", "advance", "chunk", "close", "requests").index(purpose), chunk)
        return np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=key))

    def advance(self) -> None:
        """Moves to the next day: qualities and trends drift, and some apps and users are replaced."""
        self.day += 1
        rng = self.rng("advance")
        num_hubs = self.apps.num_hubs
        num_new_apps = max(1, round(DAILY_TURNOVER * (self.apps.num_apps - num_hubs)))
        num_new_users = max(1, round(DAILY_TURNOVER * self.users.num_users))
        retired = self.apps.advance(rng, self.day, num_new_apps)
        self.users.advance(rng, self.day, num_new_users, retired, self.apps)
        noise = rng.normal(0, _TREND_SPREAD * math.sqrt(1 - _TREND_MEMORY**2), len(CATEGORIES))
        self._trend = _TREND_MEMORY * self._trend + noise
        self._set_day()

    def _set_day(self) -> None:
        """Precomputes the tables that are looked up during the day."""
        context = self._country_category + self._hour_category + self._trend
        self._context = context.astype(np.float32)
        self._hub_bits = self.users.hub_bits(self.apps.num_hubs)
        self._activity = np.cumsum(self.users.activity)

    def draw_users(self, rng: np.random.Generator, n: int) -> Ints:
        """Returns user slots, int32 [n], each drawn in proportion to the user's activity."""
        draws = rng.random(n) * self._activity[-1]
        users: Ints = np.searchsorted(self._activity[:-1], draws, side="right").astype(np.int32)
        return users

    def logit_parts(self, user: Ints, app: Ints, hour: Ints, position: Ints) -> dict[str, Floats]:
        """Computes the true logit of P(install | impression) as a sum of parts.

        `taste` (user · app), `context` (country x category, hour x category, the category's trend) and `item`
        (quality, price for the device, language) generalize across apps. `memorized` does not: it is the sum of the
        app's exceptions with those of its partners that the user has installed.

        Args:
          user: int [n], user slots.
          app: int [n], app slots.
          hour: int [n], 0 to 23.
          position: int [n], from 1.

        Returns:
          float32 [n] for each of LOGIT_PARTS.
        """
        apps, users = self.apps, self.users
        taste = np.einsum("ij,ij->i", users.latent[user], apps.latent[app]) * np.float32(_TASTE)
        paid = (np.log1p(apps.price) * _PRICE).astype(np.float32)
        spoken = apps.language[app]
        language = np.where(spoken == _ENGLISH, _LANGUAGE["english"], _LANGUAGE["other"]).astype(np.float32)
        language[spoken == users.language[user]] = _LANGUAGE["same"]
        memorized = np.zeros(len(user), dtype=np.float32)
        bits = self._hub_bits[user]
        for k in range(NUM_PARTNERS):
            has_partner = (bits >> apps.partner[app, k].astype(np.uint64)) & np.uint64(1)
            memorized += apps.partner_logit[app, k] * has_partner.astype(np.float32)
        item = apps.quality[app] * np.float32(_QUALITY) - paid[app] * _DEVICE_THRIFT[users.device[user]] + language
        return {
            "bias": np.full(len(user), BIAS, dtype=np.float32),
            "taste": taste,
            "context": self._context[users.country[user], hour, apps.category[app]],
            "item": item,
            "memorized": memorized,
            "position": (_POSITION * np.log(np.arange(1, 11))).astype(np.float32)[position - 1],
        }
