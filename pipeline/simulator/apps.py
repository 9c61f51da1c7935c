"""The store's apps: attributes that the catalog shows, and hidden ones that only the simulator uses."""

from __future__ import annotations

import math

import numpy as np

from pipeline.simulator.names import CATEGORIES, COUNTRIES, LANGUAGES
from pipeline.simulator.sampling import Floats, Ints, weighted_table

LATENT_DIM = 8
NUM_PARTNERS = 5  # exceptions per app
MAX_HUBS = 24  # few, so that each (app, hub) pair occurs often in the logs; at most 64, the bits of a uint64
PRICES = np.array([0.99, 1.99, 2.99, 4.99, 9.99])
_PAID_SHARE = 0.15
_EXCEPTION_LOGIT = (1.1, 2.0)  # smallest and largest absolute value; the sign is drawn
_HUB_FREQUENCY = 0.009  # the mean popularity share of a hub for which these values are set
_NEGATIVE_EXCEPTION_SHARE = 0.4
_QUALITY_MEMORY = 0.98  # weight of a day's quality in the next day's; the rest is noise, so that the variance stays 1
_ZIPF_OFFSET = 3.0  # flattens the head: the most popular app is shown 4 times as often as the 13th, not 13 times
_APP_TABLE_SIZE = 1 << 18
_CATEGORY_TABLE_SIZE = 1 << 12
_YOUNG_DAYS = 30


class Apps:
    """All apps on offer, one slot each. When an app retires, a new app with a new number takes its slot.

    Slots are ordered by popularity (Zipf): slot s is drawn in proportion to 1 / (s + 4). The first slots are the hubs:
    they never retire, and each app's exceptions, which a model can only memorize, are pairs with some of the hubs.

    Attributes:
      number: int64 [apps], N of `com.store.appN`; never reused.
      category: int32 [apps], index into CATEGORIES.
      developer: int32 [apps].
      language: int32 [apps], index into LANGUAGES.
      price: float64 [apps], in dollars; 0 for free apps.
      size_mb: float64 [apps].
      born: int32 [apps], the day the app appeared; 0 or less for apps older than the simulation.
      num_downloads: int64 [apps].
      quality: float32 [apps], hidden; standard normal, drifts from day to day.
      latent: float32 [apps, LATENT_DIM], hidden; sum of a category, a developer and an own vector.
      partner: uint8 [apps, NUM_PARTNERS], hidden; slots of the hubs with which the app has an exception.
      partner_logit: float32 [apps, NUM_PARTNERS], hidden; added to the logit if the user has that hub installed.
      popularity: float64 [apps], hidden; sums to 1.
    """

    def __init__(self, rng: np.random.Generator, num_apps: int) -> None:
        self.num_apps = num_apps
        self.num_hubs = min(MAX_HUBS, num_apps // 4)
        self.category_centre = rng.normal(size=(len(CATEGORIES), LATENT_DIM)).astype(np.float32)
        self.developer_latent = rng.normal(size=(max(10, num_apps // 5), LATENT_DIM)).astype(np.float32)
        weights = 1 / (np.arange(num_apps) + 1 + _ZIPF_OFFSET)
        self.popularity = weights / weights.sum()
        # With few apps there are few hubs, each installed by more users; smaller exceptions keep the logit's variance.
        hub_frequency = self.popularity[: self.num_hubs].mean()
        self._exception_scale = min(1.5, math.sqrt(_HUB_FREQUENCY / hub_frequency))
        # Apps in English come from everywhere; those in other languages in proportion to the number of speakers.
        speakers = np.array([sum(w for spoken, w in COUNTRIES.values() if spoken == name) for name in LANGUAGES])
        self._language_weights = speakers + (np.array(LANGUAGES) == "en") * speakers.sum()
        self.number = np.zeros(num_apps, dtype=np.int64)
        self.category = np.zeros(num_apps, dtype=np.int32)
        self.developer = np.zeros(num_apps, dtype=np.int32)
        self.language = np.zeros(num_apps, dtype=np.int32)
        self.price = np.zeros(num_apps)
        self.size_mb = np.zeros(num_apps)
        self.born = np.zeros(num_apps, dtype=np.int32)
        self.num_downloads = np.zeros(num_apps, dtype=np.int64)
        self.quality = np.zeros(num_apps, dtype=np.float32)
        self.latent = np.zeros((num_apps, LATENT_DIM), dtype=np.float32)
        self.partner = np.zeros((num_apps, NUM_PARTNERS), dtype=np.uint8)
        self.partner_logit = np.zeros((num_apps, NUM_PARTNERS), dtype=np.float32)
        self._rating_noise = np.zeros(num_apps)
        self._next_number = 1
        self._fill(rng, np.arange(num_apps), born=1 - rng.exponential(400, num_apps).astype(np.int32))
        self.num_downloads[:] = 20 + self.popularity * 1e8 * np.minimum(1, (1 - self.born) / 400)
        self._draw_tables(rng)

    def _fill(self, rng: np.random.Generator, slots: Ints, born: Ints) -> None:
        """Puts new apps into the slots."""
        n = len(slots)
        self.number[slots] = self._next_number + rng.permutation(n)
        self._next_number += n
        self.born[slots] = born
        self.category[slots] = rng.integers(0, len(CATEGORIES), n)
        num_developers = len(self.developer_latent)
        self.developer[slots] = (num_developers * rng.random(n) ** 2).astype(np.int32)
        p = self._language_weights / self._language_weights.sum()
        self.language[slots] = rng.choice(len(LANGUAGES), n, p=p)
        self.price[slots] = np.where(rng.random(n) < _PAID_SHARE, rng.choice(PRICES, n), 0)
        self.size_mb[slots] = np.round(np.exp(rng.normal(3.3, 0.9, n)), 1)
        self.num_downloads[slots] = 0
        self.quality[slots] = rng.normal(size=n)
        self._rating_noise[slots] = rng.normal(0, 0.25, n)
        self.latent[slots] = (
            0.7 * self.category_centre[self.category[slots]]
            + 0.45 * self.developer_latent[self.developer[slots]]
            + 0.55 * rng.normal(size=(n, LATENT_DIM))
        )
        keys = rng.random((n, self.num_hubs))
        keys[slots[:, None] == np.arange(self.num_hubs)] = 2  # sorts last: no app is its own partner
        self.partner[slots] = np.argsort(keys, axis=1)[:, :NUM_PARTNERS]
        sign = np.where(rng.random((n, NUM_PARTNERS)) < _NEGATIVE_EXCEPTION_SHARE, -1, 1)
        size = self._exception_scale * rng.uniform(*_EXCEPTION_LOGIT, (n, NUM_PARTNERS))
        self.partner_logit[slots] = sign * size

    def advance(self, rng: np.random.Generator, day: int, num_new: int) -> Ints:
        """Moves to the next day: qualities drift, downloads grow, `num_new` apps are replaced by new ones.

        Returns:
          int64 [num_new], the slots with new apps.
        """
        noise = rng.normal(0, np.sqrt(1 - _QUALITY_MEMORY**2), self.num_apps)
        self.quality[:] = _QUALITY_MEMORY * self.quality + noise
        self.num_downloads += rng.poisson(self.popularity * 2.5e5)
        slots = self.num_hubs + rng.choice(self.num_apps - self.num_hubs, num_new, replace=False)
        self._fill(rng, slots, born=np.full(num_new, day, dtype=np.int32))
        self._draw_tables(rng)
        return slots

    def rating(self, day: int) -> Floats:
        """Returns the displayed ratings, float64 [apps], 1 to 5; NaN for young apps that have none yet."""
        rating = np.clip(np.round(3.7 + 0.55 * self.quality.astype(np.float64) + self._rating_noise, 1), 1, 5)
        unrated = (day - self.born < _YOUNG_DAYS) & (self.number % 2 == 0)
        return np.where(unrated, np.nan, rating)

    def _draw_tables(self, rng: np.random.Generator) -> None:
        self._by_popularity = weighted_table(rng, self.popularity, _APP_TABLE_SIZE)
        self._by_category = np.empty((len(CATEGORIES), _CATEGORY_TABLE_SIZE), dtype=np.int32)
        for category in range(len(CATEGORIES)):
            weights = self.popularity * (self.category == category)
            if not weights.any():  # a very small store may have no app of a category
                weights = self.popularity
            self._by_category[category] = weighted_table(rng, weights, _CATEGORY_TABLE_SIZE)

    def draw_popular(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        """Returns app slots, int32 of this shape, drawn by popularity."""
        return self._by_popularity[rng.integers(0, _APP_TABLE_SIZE, shape, dtype=np.int32)]

    def draw_of_category(self, rng: np.random.Generator, category: Ints) -> Ints:
        """Returns one app slot per entry of `category`, drawn by popularity within that category."""
        return self._by_category[category, rng.integers(0, _CATEGORY_TABLE_SIZE, category.shape, dtype=np.int32)]
