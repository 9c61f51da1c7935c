"""Distributions of a span's features, and the divergence of two of them, compared with hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.data_validation.distributions import (
    NUM_TOP_VALUES,
    Distribution,
    count_tokens,
    divergence,
    divergence_by_chance,
    largest_change,
    measure_numbers,
    measure_tokens,
)


def plain_divergence(p: list[float], q: list[float]) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return sum(x * math.log2(x / m) / 2 for side in (p, q) for x, m in zip(side, middle, strict=True) if x)


def tokens(missing: int = 0, **counts: int) -> Distribution:
    return measure_tokens(counts, missing, sum(counts.values()) + missing)


def numbers(*values: float) -> Distribution:
    return measure_numbers(np.array(values), len(values))


def test_the_divergence_of_a_turned_mix_is_that_by_hand() -> None:
    assert divergence(tokens(de=80, fr=20), tokens(de=20, fr=80)) == pytest.approx(
        plain_divergence([0.8, 0.2], [0.2, 0.8])
    )
    assert divergence(tokens(de=80, fr=20), tokens(de=8, fr=2)) == 0


def test_values_that_have_nothing_in_common_are_as_far_apart_as_can_be() -> None:
    many, others = ({f"{prefix}{i}": 1 + i for i in range(200)} for prefix in "ab")
    assert divergence(tokens(de=5), tokens(us=7)) == 1
    assert (
        divergence(measure_tokens(many, 0, 99), measure_tokens(others, 0, 99)) > 0.4
    )  # some values share a hash bucket


def test_missing_values_alone_make_no_divergence() -> None:
    half = tokens(de=40, fr=10, missing=50)
    assert divergence(half, tokens(de=80, fr=20)) == pytest.approx(0, abs=1e-12)
    assert divergence(tokens(missing=50), tokens(de=100)) == 0
    # Shares of de, fr and missing values; without the divergence of missing and other values.
    whole = plain_divergence([0.4, 0.1, 0.5], [0.2, 0.8, 0])
    assert divergence(half, tokens(de=20, fr=80)) == pytest.approx(whole - plain_divergence([0.5, 0.5], [1, 0]))


def test_a_value_that_is_frequent_in_one_span_only_is_counted_by_its_hash_in_both() -> None:
    """Of 51 values, a different one is the rarest in each span, and so is not among the 50 kept by name."""
    values = [f"v{i}" for i in range(NUM_TOP_VALUES + 1)]
    one = dict.fromkeys(values, 100) | {values[0]: 99}
    other = dict.fromkeys(values, 100) | {values[-1]: 99}
    assert divergence(measure_tokens(one, 0, 1), measure_tokens(other, 0, 1)) < 1e-5


def test_numbers_times_1000_are_far_and_a_shift_of_frequent_values_is_near() -> None:
    """The ages of three apps that share the impressions: each is older in the next span."""
    ages = np.repeat([100.0, 101.0, 102.0], [20, 30, 50])
    assert divergence(numbers(*ages), numbers(*ages * 1000)) == pytest.approx(1)
    # At the threshold 102, the share above is 0 before the shift and 0.5 after it; quantiles are accurate to 1/201.
    assert divergence(numbers(*ages), numbers(*(ages + 0.5))) == pytest.approx(
        plain_divergence([0.5, 0.5], [1, 0]), abs=0.01
    )
    spread = np.arange(1000.0)
    assert divergence(numbers(*spread), numbers(*(spread + 1))) < 0.003


def test_missing_numbers_alone_make_no_divergence() -> None:
    half = numbers(*([1.0] * 50 + [math.nan] * 50))
    assert divergence(half, numbers(*([1.0] * 100))) == pytest.approx(0, abs=1e-12)
    assert divergence(numbers(*([math.nan] * 10)), numbers(*([1.0] * 10))) == 0
    # Half of the examples have a number, and all numbers are others.
    assert divergence(half, numbers(*([2.0] * 50 + [math.nan] * 50))) == pytest.approx(0.5)
    assert (half.num_missing, half.num_values, half.num_distinct) == (50, 100, 1)


def test_by_chance_samples_of_one_distribution_are_as_far_apart_as_is_expected() -> None:
    rng, names = np.random.default_rng(1), [f"c{i}" for i in range(10)]
    found, expected = [], []
    for _ in range(200):
        one, other = (
            measure_tokens(dict(zip(names, rng.multinomial(500, [0.1] * 10).tolist(), strict=True)), 0, 500)
            for _ in range(2)
        )
        found.append(divergence(one, other))
        expected.append(divergence_by_chance(one, other))
    assert expected[0] == pytest.approx(9 / (8 * math.log(2)) * 2 / 500)
    assert np.mean(found) == pytest.approx(expected[0], rel=0.1)


def test_by_chance_numbers_are_at_most_as_far_apart_as_is_expected() -> None:
    rng = np.random.default_rng(1)
    pairs = [[numbers(*rng.normal(size=500)) for _ in range(2)] for _ in range(200)]
    found = [divergence(*pair) for pair in pairs]
    assert 0.5 < np.mean(found) / divergence_by_chance(*pairs[0]) < 1.2


def test_the_largest_change_is_named() -> None:
    assert largest_change(tokens(de=20, fr=80), tokens(de=70, fr=20, us=10)) == ("fr", 0.8, 0.2)
    assert largest_change(tokens(de=20, missing=80), tokens(de=70, fr=30)) == ("de", 1.0, 0.7)
    assert largest_change(numbers(1, 2, 3), numbers(1000, 2000, 3000)) == ("median", 2, 2000)


def test_constants_and_ids_are_known() -> None:
    assert tokens(monday=100).is_constant
    assert not tokens(a=50, b=50).is_constant
    assert measure_tokens({str(i): 1 for i in range(100)}, 900, 1000).is_almost_unique
    assert not tokens(a=50, b=50).is_almost_unique


def test_tokens_are_counted_by_their_codes() -> None:
    assert count_tokens(np.array([0, 2, -1, 2]), ["a", "b", "c"]) == {"a": 1, "c": 2}
