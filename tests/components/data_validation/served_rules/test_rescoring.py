"""Rows of served rankings scored again by a model of plain Python: a score is 0.01 x price, 0.2 more in Germany."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf

from components.data_validation.columns import Floats
from components.data_validation.evidence import Rescored
from components.data_validation.served_rules.rescoring import MAX_RESCORED, Scorer, rescore

FEATURES = ("country", "price")


def row(score: float | None, *, price: float | None = None, country: str | None = None, version: str = "3") -> bytes:
    example = tf.train.Example()
    entries = example.features.feature
    entries["served_version"].bytes_list.value.append(version.encode())
    if score is not None:
        entries["served_score"].float_list.value.append(score)
    if price is not None:
        entries["price"].float_list.value.append(price)
    if country is not None:
        entries["country"].bytes_list.value.append(country.encode())
    return bytes(example.SerializeToString())


def score_of(price: float, country: str, per_price: float = 0.01) -> float:
    return per_price * price + (0.2 if country == "de" else 0.0)


def scorer(per_price: float) -> Scorer:
    def scores(examples: Sequence[bytes]) -> Floats:
        found = []
        for serialized in examples:
            entries = tf.train.Example.FromString(serialized).features.feature
            prices, countries = entries["price"].float_list.value, entries["country"].bytes_list.value
            price, country = prices[0] if prices else 0.0, countries[0].decode() if countries else ""
            found.append(score_of(price, country, per_price))
        return np.array(found)

    return scores


SCORERS = {"2": scorer(0.02), "3": scorer(0.01)}


def rescored(rows: Sequence[bytes], scorer_of: Callable[[str], Scorer | None] = SCORERS.get) -> Rescored:
    return rescore(rows, scorer_of, ["3", "2"], FEATURES)


def rows(score: Callable[[float, str], float]) -> list[bytes]:
    """Ten rows with prices from 1 to 10, half of them in Germany; the score is a function of price and country."""
    return [
        row(score(price, country), price=price, country=country)
        for price in range(1, 11)
        for country in [("de", "fr")[price % 2]]
    ]


def test_rows_that_have_the_score_of_their_version() -> None:
    found = rescored([*rows(score_of), row(0.24, price=2, country="de", version="2")])
    assert (found.sampled, found.rows, found.different, found.cause) == (11, 11, 0, "")
    assert found.largest < 1e-7  # of float32


def test_a_difference_within_the_tolerance_is_none() -> None:
    found = rescored([row(0.01 + gap, price=1.0) for gap in (0.0, 0.8e-5, 1.2e-5)])
    assert (found.rows, found.different) == (3, 1)
    assert found.largest == pytest.approx(1.2e-5, rel=1e-2)


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (lambda price, country: score_of(price, country, 0.02), "have the scores of version 2"),
        (
            lambda price, country: score_of(0.0, country),
            "have the scores that they would have without a value of `price`",
        ),
        (
            lambda price, country: score_of(price, "fr" if country == "de" else "de"),
            "have the scores that they would have with other values of `country`",
        ),
        (lambda price, country: 0.7 + price / 7, ""),
    ],
)
def test_the_cause_is_named(wrong: Callable[[float, str], float], cause: str) -> None:
    found = rescored(rows(wrong))
    assert (found.rows, found.different) == (10, 10)
    assert found.cause == cause


def test_a_version_that_is_gone_and_rows_without_a_score_are_not_scored_again() -> None:
    found = rescored([row(0.01, price=1.0), row(0.5, price=1.0, version="1"), row(None, price=1.0)])
    assert (found.sampled, found.rows, found.different) == (3, 1, 0)


def test_of_many_rows_a_sample_is_scored() -> None:
    found = rescored([row(0.01, price=1.0)] * (2 * MAX_RESCORED + 1))
    assert found.sampled == found.rows == -(-(2 * MAX_RESCORED + 1) // 3)
