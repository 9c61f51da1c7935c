"""A store whose days are drawn, request by request, from a pool; and a model that serves it."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator

import numpy as np
import scipy.sparse
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import SGDClassifier

from benchmarks.good_days import Day, good_day
from components.data_validation.columns import Columns, Tokens
from pipeline.simulator.day import Chunk, impression_chunks
from pipeline.simulator.installs import Installs
from pipeline.simulator.names import COUNTRY_NAMES
from pipeline.simulator.store import Store

ROWS = 30_000
#: No user of this country comes on a clean day, and only two in five of the others: the rest are newcomers.
NEW_COUNTRY = COUNTRY_NAMES.index("tr")
_POOL = 250_000
_WEEKEND = (2, 3)  # day numbers modulo 7
_NUM_HASHES = 1 << 18


class Market:
    """A store, day after day.

    Attributes:
      store: The store of the current day.
      pool: Impressions of the current day, of which `day` draws requests.
      is_known, is_abroad: bool [impressions of the pool]: of a user who may come on a clean day; of NEW_COUNTRY.
    """

    def __init__(self, seed: int):
        self.store = Store(seed, 15_000, 1000)
        self._set_pool()

    def advance(self) -> None:
        self.store.advance()
        self._set_pool()

    def _set_pool(self) -> None:
        (self.pool,) = impression_chunks(self.store, _POOL)
        users = self.store.users
        self.is_abroad = users.country[self.pool.user] == NEW_COUNTRY
        is_home = users.number[self.pool.user] % 5 < 2
        self.is_known = is_home & ~self.is_abroad

    def day(
        self,
        rows: float = ROWS,
        *,
        seed: int = 0,
        weight: np.ndarray | None = None,
        odds: np.ndarray | float = 1.0,
        is_weekend: bool = False,
    ) -> Day:
        """Draws a day; without `weight` and `odds`, a clean one.

        Args:
          rows: The expected number of rows.
          seed: Another seed draws other requests and labels.
          weight: float [impressions of the pool], in proportion to which requests are drawn, by their mean.
          odds: float [impressions of the pool] or a number, by which the odds of an install are multiplied.
          is_weekend: Whether the day has the hours and the share of installs of a weekend.
        """
        rng = np.random.default_rng((seed, self.store.day))
        weight = self.is_known.astype(float) if weight is None else weight
        request = self.pool.request
        size = np.bincount(request)
        mean = np.bincount(request, weights=weight) / size
        quiet = np.isin(self.pool.hour, (11, 12, 13, 14) if is_weekend else (21, 22, 23, 0))
        share = rows / (mean[request] * np.where(quiet, 0.4, 1)).sum()
        chosen = rng.random(len(size)) < share * mean
        return good_day(self.store, self._chunk(chosen[request], odds), rng, is_weekend)

    def _chunk(self, kept: np.ndarray, odds: np.ndarray | float) -> Chunk:
        pool = self.pool
        changed = pool.probability / (1 - pool.probability) * odds
        arrays = {
            field.name: getattr(pool, field.name)[kept]
            for field in dataclasses.fields(Chunk)
            if isinstance(getattr(pool, field.name), np.ndarray)
        }
        arrays["probability"] = (changed / (1 + changed))[kept]
        return dataclasses.replace(pool, **arrays, installs=Installs.none())


def clean_days(market: Market, number: int) -> Iterator[Day]:
    """Yields clean days, with weekends and rows that vary by 5 %, and moves to the next day after each."""
    for _ in range(number):
        is_weekend = market.store.day % 7 in _WEEKEND
        vary = np.random.default_rng((1, market.store.day)).uniform(0.95, 1.05)
        yield market.day(ROWS * vary * (1.3 if is_weekend else 1), is_weekend=is_weekend)
        market.advance()


class ServingModel:
    """A logistic regression that is trained on each day after the days before, as the pipeline trains.

    It reads all features but the weekday, of which the first days lack some. Its bias is set so that the mean score of
    the last two days is their share of label 1.
    """

    def __init__(self, first: Columns):
        self._cuts = {
            name: np.unique(np.nanquantile(values, np.linspace(0, 1, 11))) for name, values in first.numbers.items()
        }
        self._model = SGDClassifier(loss="log_loss", alpha=1e-6, learning_rate="constant", eta0=0.02)
        self._window: list[tuple[scipy.sparse.csr_matrix, np.ndarray]] = []
        self.learn(first)

    def learn(self, columns: Columns) -> None:
        """Trains two epochs on a day."""
        rows, label = self._rows(columns), columns.label
        self._window = [*self._window[-1:], (rows, label)]
        rng = np.random.default_rng(1)
        for _ in range(2):
            order = rng.permutation(len(label))
            self._model.partial_fit(rows[order], label[order], classes=[0, 1])
        logits = np.concatenate([self._model.decision_function(of_day) for of_day, _ in self._window])
        share = np.concatenate([labels for _, labels in self._window]).mean()
        self._model.intercept_ += brentq(lambda bias: expit(logits + bias).mean() - share, -5, 5)

    def scores(self, columns: Columns) -> np.ndarray:
        """Returns the probabilities of label 1, float64 [n]."""
        return np.asarray(expit(self._model.decision_function(self._rows(columns))))

    def _rows(self, columns: Columns) -> scipy.sparse.csr_matrix:
        parts = [_one_hot(name, tokens) for name, tokens in columns.tokens.items() if name != "weekday"]
        for name, values in columns.numbers.items():
            places = np.searchsorted(self._cuts[name], np.nan_to_num(values, nan=math.inf))
            texts = [str(place) for place in range(len(self._cuts[name]) + 1)]
            parts.append(_one_hot(name, Tokens(texts, places, np.arange(len(values)), len(values))))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total


def _one_hot(name: str, tokens: Tokens) -> scipy.sparse.csr_matrix:
    """Returns float64 [n, hashes]: 1 for a value; of a list, 1 / √length for each."""
    hashes = np.array([zlib.crc32(f"{name}={value}".encode()) % _NUM_HASHES for value in tokens.values] or [0])
    length = np.bincount(tokens.rows, minlength=tokens.num_rows)
    weights = 1 / np.sqrt(length[tokens.rows])
    shape = (tokens.num_rows, _NUM_HASHES)
    return scipy.sparse.csr_matrix((weights, (tokens.rows, hashes[tokens.codes])), shape)
