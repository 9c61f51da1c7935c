"""Exploration: orders, exact propensities by enumeration of all outcomes, and the bound on the cost."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict

import pytest

from serving.serving_log.exploration import SHUFFLE, SWAP, Arrangement, Exploration
from transform.errors import InputError

SCORES = (0.4, 0.2, 0.1)
DISCOUNTS = (1.0, 0.5, 0.5)


def arrangements(policy: Exploration, scores: tuple[float, ...], number: int) -> list[Arrangement]:
    return [policy.arrange(scores, f"request-{i}") for i in range(number)]


def swaps(num_shown: int, epsilon: float, allowed: set[int]) -> dict[tuple[int, ...], float]:
    """By order, its probability: a pair has the chance epsilon / (m - 1), and one not allowed leaves score order."""
    found = defaultdict(float, {tuple(range(num_shown)): 1 - epsilon})
    for first in range(num_shown - 1):
        order = list(range(num_shown))
        if first in allowed:
            order[first], order[first + 1] = order[first + 1], order[first]
        found[tuple(order)] += epsilon / (num_shown - 1)
    return dict(found)


def shuffles(num_shown: int, epsilon: float) -> dict[tuple[int, ...], float]:
    found = defaultdict(float, {tuple(range(num_shown)): 1 - epsilon})
    for order in itertools.permutations(range(num_shown)):
        found[order] += epsilon / math.factorial(num_shown)
    return dict(found)


@pytest.mark.parametrize(
    ("policy", "scores", "outcomes"),
    [
        (Exploration(SWAP, 0.3, 1.0, 3, DISCOUNTS), SCORES, swaps(3, 0.3, {0, 1})),
        (Exploration(SWAP, 0.3, 0.1, 3, DISCOUNTS), SCORES, swaps(3, 0.3, {1})),
        (Exploration(SWAP, 1.0, 1.0, 4), (0.5, 0.4, 0.3, 0.2), swaps(4, 1.0, {0, 1, 2})),
        (Exploration(SWAP, 1.0, 1.0, 10), (0.5, 0.4), swaps(2, 1.0, {0})),
        (Exploration(SHUFFLE, 0.6, 1.0, 3, DISCOUNTS), SCORES, shuffles(3, 0.6)),
        (Exploration(SHUFFLE, 1.0, 1.0, 4), (0.5, 0.4, 0.3, 0.2), shuffles(4, 1.0)),
        (Exploration(SHUFFLE, 0.6, 0.1, 3, DISCOUNTS), SCORES, {(0, 1, 2): 1.0}),
    ],
)
def test_propensities_are_those_of_the_enumerated_outcomes(
    policy: Exploration, scores: tuple[float, ...], outcomes: dict[tuple[int, ...], float]
) -> None:
    """Each order comes as often as it should, and an item's propensity sums the orders that have it there."""
    number = 4000
    drawn = arrangements(policy, scores, number)
    counts = Counter(arrangement.order for arrangement in drawn)
    assert set(counts) == {order for order, chance in outcomes.items() if chance}
    for order, chance in outcomes.items():
        assert abs(counts[order] - number * chance) <= 5 * math.sqrt(number * chance * (1 - chance)), order
    found: dict[tuple[int, int], float] = {}
    for arrangement in drawn:
        for place, (item, propensity) in enumerate(zip(arrangement.order, arrangement.propensities, strict=True)):
            assert found.setdefault((item, place), propensity) == propensity
    for (item, place), propensity in found.items():
        expected = sum(chance for order, chance in outcomes.items() if order[place] == item)
        assert propensity == pytest.approx(expected, abs=1e-12), (item, place)
    for item in range(len(scores)):
        assert sum(p for (of, _), p in found.items() if of == item) == pytest.approx(1, abs=1e-12)
        assert sum(p for (_, at), p in found.items() if at == item) == pytest.approx(1, abs=1e-12)


def test_the_docstrings_example() -> None:
    """The swap of the first two items costs 18 % of the installs; `max_loss` of 0.1 does not allow it."""
    free, bounded = (Exploration(SWAP, 0.1, most, 3, DISCOUNTS) for most in (1.0, 0.1))
    left = next(a for a in arrangements(free, SCORES, 100) if a.outcome == "score_order")
    assert left.propensities == pytest.approx((0.95, 0.90, 0.95))
    assert left.expected_installs == pytest.approx(0.55)
    assert left.lost_installs == 0
    first = next(a for a in arrangements(free, SCORES, 1000) if a.order == (1, 0, 2))
    assert first.propensities == pytest.approx((0.05, 0.05, 0.95))
    assert first.lost_installs == pytest.approx(0.1)
    assert {a.order for a in arrangements(bounded, SCORES, 1000)} == {(0, 1, 2), (0, 2, 1)}
    costly = next(a for a in arrangements(bounded, SCORES, 1000) if a.outcome == "too_costly")
    assert (costly.order, costly.lost_installs) == ((0, 1, 2), 0)
    assert costly.propensities == pytest.approx((1, 0.95, 0.95))


def test_a_shuffles_bound_is_on_its_mean_cost() -> None:
    """Over all orders, places with discounts 1, 0.5, 0.5 have 2/3 of 0.7: 0.4667 of 0.55, 15.15 % less."""
    cost = (0.55 - 0.7 * 2 / 3) / 0.55
    below, above = (
        arrangements(Exploration(SHUFFLE, 0.5, most, 3, DISCOUNTS), SCORES, 2000) for most in (cost - 1e-6, cost + 1e-6)
    )
    assert {a.order for a in below} == {(0, 1, 2)}
    assert Counter(a.outcome for a in below).keys() == {"score_order", "too_costly"}
    explored = [a for a in above if a.outcome == "explored"]
    assert len({a.order for a in explored}) == 6
    mean = sum(a.lost_installs for a in explored) / len(explored)
    assert mean == pytest.approx(cost * 0.55, abs=0.01)


def test_a_request_is_reproducible_and_only_shown_items_move() -> None:
    scores = tuple(1 / (2 + i) for i in range(50))
    for policy in (Exploration(SWAP, 1.0, 1.0), Exploration(SHUFFLE, 1.0, 1.0)):
        drawn = arrangements(policy, scores, 200)
        assert arrangements(policy, scores, 200) == drawn
        assert len({a.order for a in drawn}) > 5
        assert {a.order[10:] for a in drawn} == {tuple(range(10, 50))}
        assert {a.propensities[10:] for a in drawn} == {(1.0,) * 40}
        four = [policy.arrange(scores, f"{i}", num_returned=4) for i in range(200)]
        assert {a.order[4:] for a in four} == {tuple(range(4, 50))}
        assert {i for a in four for i in range(4) if a.order[i] != i} == {0, 1, 2, 3}


@pytest.mark.parametrize("policy", [Exploration(), Exploration(SWAP, 0.0), Exploration(SHUFFLE, 0.0)])
def test_without_exploration_the_order_is_that_of_the_scores(policy: Exploration) -> None:
    for arrangement in arrangements(policy, (0.5, 0.3, 0.1), 100):
        assert arrangement.order == (0, 1, 2)
        assert arrangement.propensities == (1, 1, 1)
        assert arrangement.outcome == "score_order"
        assert arrangement.expected_installs == pytest.approx(0.5 + 0.3 / math.log2(3) + 0.1 / 2)


def test_few_candidates_or_no_worth() -> None:
    policy = Exploration(SWAP, 1.0)
    assert policy.arrange((), "a") == Arrangement((), (), 0, 0.0, "swap", "score_order")
    assert policy.arrange((0.5,), "a") == Arrangement((0,), (1.0,), 0.5, 0.0, "swap", "score_order")
    nothing = policy.arrange((0.0, 0.0), "a")
    assert (nothing.order, nothing.propensities) == ((1, 0), (1, 1))
    assert (nothing.expected_installs, nothing.lost_installs) == (0, 0)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"policy": "greedy"}, "the policy must be one of score_order, swap, shuffle. Received: 'greedy'"),
        ({"epsilon": 1.5}, "epsilon must be between 0 and 1. Received: 1.5"),
        ({"epsilon": math.nan}, "epsilon must be between 0 and 1. Received: nan"),
        ({"max_loss": -0.1}, "max_loss must be between 0 and 1. Received: -0.1"),
        ({"num_shown": 0}, "num_shown must be between 1 and 1,000. Received: 0"),
        ({"num_shown": 2, "discounts": (0.5, 0.6)}, "discounts must be 2 numbers in (0, 1], none above the one before"),
        ({"num_shown": 2, "discounts": (1.0,)}, "discounts must be 2 numbers in (0, 1], none above the one before"),
        ({"num_shown": 1, "discounts": (math.nan,)}, "discounts must be 1 numbers in (0, 1], none above"),
    ],
)
def test_a_value_that_is_not_allowed(given: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError) as error:
        Exploration(**given)  # type: ignore[arg-type]
    assert str(error.value).startswith(problem)
