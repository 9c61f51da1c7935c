"""Exploration: the order in which a request's candidates are shown, in part by chance, and the chance of each place.

A log in which every item is where its score put it cannot tell what the place did from what the item did. So a share
`epsilon` of the requests has some of the shown items moved by chance:

| policy | with probability epsilon |
|---|---|
| `score_order` | nothing is moved |
| `swap` | two neighbouring places of the m shown ones, drawn uniformly from the m - 1 pairs, exchange their items |
| `shuffle` | the m shown items are put in an order drawn uniformly from all m! |

**Propensity.** The propensity of an item at a place is the probability, over the policy's draws and given the request's
scores, that the item is at that place. It counts all ways to get there: with `shuffle` an item that stays where its
score put it has 1 - epsilon + epsilon / m, since a shuffle may leave it there. Over the places, an item's sum to 1.

**Cost.** With the scores as probabilities and a discount d for each place, an order's expected installs are
sum(d_place * score_of_the_item_there). A swap that would cost more than the share `max_loss` of those of the score
order is not made, and neither is a shuffle whose cost is more than that on average over all m! orders. Such a request
is left in score order. The rule depends on the scores alone, so that the propensities take it into account and remain
exact. All requests together lose at most epsilon * max_loss of their expected installs.

Example: three items with scores 0.4, 0.2 and 0.1, discounts 1, 0.5 and 0.5, `swap` with epsilon 0.1. Score order is
worth 0.4 + 0.1 + 0.05 = 0.55. Each of the two pairs is drawn with probability 0.1 / 2 = 0.05; the first swap costs
0.2 * 0.5 = 0.1, or 18 %, and the second one nothing. The propensities, by item and place:

| item | place 1 | place 2 | place 3 | with `max_loss` 0.1: place 1 | place 2 | place 3 |
|---|---|---|---|---|---|---|
| 0.4 | 0.95 | 0.05 | 0 | 1 | 0 | 0 |
| 0.2 | 0.05 | 0.90 | 0.05 | 0 | 0.95 | 0.05 |
| 0.1 | 0 | 0.05 | 0.95 | 0 | 0.05 | 0.95 |
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import random
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from serving.serving_log.record import SCORE_ORDER
from transform.errors import InputError

#: The policies that move items by chance.
SWAP, SHUFFLE = "swap", "shuffle"
POLICIES = (SCORE_ORDER, SWAP, SHUFFLE)

#: What became of a request: nothing was to be moved, the items were moved, or that would have cost too much.
Outcome: TypeAlias = Literal["score_order", "explored", "too_costly"]
OUTCOMES: tuple[Outcome, ...] = ("score_order", "explored", "too_costly")

#: Keeps the draws apart from other uses of the id. It need not be secret: a caller does not choose its request's id.
_KEY = b"wdr exploration"

#: Longer lists of places are refused: a shuffle of so many is no exploration.
_MAX_SHOWN = 1_000


class Arrangement(NamedTuple):
    """The order in which a request's candidates are shown.

    Attributes:
      order: By place, the candidate's index in score order.
      propensities: By place, the propensity of the item that is there.
      expected_installs: What score order is worth: the sum of discount * score over the shown places.
      lost_installs: What the order is worth less than that; 0 in score order.
      policy: One of `POLICIES`.
      outcome: One of `OUTCOMES`.
    """

    order: tuple[int, ...]
    propensities: tuple[float, ...]
    expected_installs: float
    lost_installs: float
    policy: str
    outcome: Outcome


@dataclasses.dataclass(frozen=True)
class Exploration:
    """A policy of exploration. It has no state: a request's id decides all of its draws, in any process.

    Attributes:
      policy: One of `POLICIES`.
      epsilon: The share of requests that are explored, in [0, 1].
      max_loss: The most that moving a request's items may cost, as a share of its expected installs, in [0, 1].
      num_shown: How many of the first places are shown, m; of a request with fewer candidates, all of them.
      discounts: By place, how much of its probability an item there keeps; in (0, 1], none above the one before. None
        takes 1 / log2(1 + place), as NDCG does.

    Raises:
      InputError: If a value is not allowed.
    """

    policy: str = SCORE_ORDER
    epsilon: float = 0.0
    max_loss: float = 0.2
    num_shown: int = 10
    discounts: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"the policy must be one of {', '.join(POLICIES)}. Received: {self.policy!r}")
        for name in ("epsilon", "max_loss"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name} must be between 0 and 1. Received: {value}")
        if not 1 <= self.num_shown <= _MAX_SHOWN:
            raise InputError(f"num_shown must be between 1 and {_MAX_SHOWN:,}. Received: {self.num_shown}")
        if self.discounts is None:
            discounts = tuple(1 / math.log2(1 + place) for place in range(1, self.num_shown + 1))
            object.__setattr__(self, "discounts", discounts)
            return
        falls = all(0 < after <= before for before, after in zip((1.0, *self.discounts), self.discounts, strict=False))
        if len(self.discounts) != self.num_shown or not falls:
            raise InputError(
                f"discounts must be {self.num_shown} numbers in (0, 1], none above the one before. "
                f"Received: {len(self.discounts)} numbers, {list(self.discounts[:20])}"
            )

    def arrange(self, scores: Sequence[float], request_id: str, num_returned: int | None = None) -> Arrangement:
        """Returns the order in which a request's candidates are shown.

        Args:
          scores: The candidates' scores, probabilities, the highest first.
          request_id: The request's id; the same id and scores give the same order.
          num_returned: How many of the first places the caller gets; items move within these. None: all.
        """
        number = len(scores)
        num_shown = min(self.num_shown, number, number if num_returned is None else num_returned)
        assert self.discounts is not None
        discounts = self.discounts[:num_shown]
        worth = sum(map(float.__mul__, discounts, map(float, scores)))
        if self.policy == SCORE_ORDER or num_shown < 2:
            return Arrangement(tuple(range(number)), (1.0,) * number, worth, 0.0, self.policy, "score_order")
        seed = hashlib.blake2b(request_id.encode(), key=_KEY).digest()
        draw = random.Random(seed)  # noqa: S311
        is_drawn = draw.random() < self.epsilon
        most = self.max_loss * worth
        arranged = self._swapped if self.policy == SWAP else self._shuffled
        order, propensities, outcome = arranged(scores[:num_shown], discounts, most, draw if is_drawn else None)
        shown = sum(discount * scores[index] for discount, index in zip(discounts, order, strict=True))
        lost = worth - shown if outcome == "explored" else 0.0
        rest = range(num_shown, number)
        return Arrangement((*order, *rest), (*propensities, *(1.0 for _ in rest)), worth, lost, self.policy, outcome)

    def _swapped(
        self, scores: Sequence[float], discounts: Sequence[float], most: float, draw: random.Random | None
    ) -> tuple[list[int], list[float], Outcome]:
        number = len(scores)
        # is_allowed[i] is about the places i and i + 1, counted from 0; at both ends there is no pair.
        is_allowed = [
            (scores[i] - scores[i + 1]) * (discounts[i] - discounts[i + 1]) <= most for i in range(number - 1)
        ]
        chance = self.epsilon / (number - 1)
        order = list(range(number))
        propensities = [1 - chance * (a + b) for a, b in zip((False, *is_allowed), (*is_allowed, False), strict=True)]
        if draw is None:
            return order, propensities, "score_order"
        if not is_allowed[first := draw.randrange(number - 1)]:
            return order, propensities, "too_costly"
        order[first : first + 2] = first + 1, first
        propensities[first : first + 2] = chance, chance
        return order, propensities, "explored"

    def _shuffled(
        self, scores: Sequence[float], discounts: Sequence[float], most: float, draw: random.Random | None
    ) -> tuple[list[int], list[float], Outcome]:
        number = len(scores)
        order = list(range(number))
        mean_worth = sum(scores) * sum(discounts) / number
        worth = sum(discount * score for discount, score in zip(discounts, scores, strict=True))
        if not worth - mean_worth <= most:
            return order, [1.0] * number, "score_order" if draw is None else "too_costly"
        outcome: Outcome = "score_order"
        if draw is not None:
            draw.shuffle(order)
            outcome = "explored"
        by_chance = self.epsilon / number
        return order, [1 - self.epsilon + by_chance if order[i] == i else by_chance for i in range(number)], outcome
