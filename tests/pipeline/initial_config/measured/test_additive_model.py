"""What a combination gains beyond its features: worked out by hand for features that say nothing one by one."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from components.data_validation.columns import Tokens, read_tokens
from components.data_validation.label_aucs import halves
from pipeline.initial_config.measured.additive_model import AdditiveModel, crossed


def tokens(*values: list[str]) -> Tokens:
    return read_tokens(pa.array(values, pa.list_(pa.large_string())))


@pytest.fixture(scope="module")
def xor() -> tuple[np.ndarray, np.ndarray, dict[str, Tokens]]:
    """200 rows in each half, 50 of each pair of a and b; the label is 1 where these differ."""
    codes = np.arange(2000)
    request = np.concatenate([codes[halves(codes) == half][:200] for half in (0, 1)])
    a, b = np.arange(400) % 2, np.arange(400) // 2 % 2
    features = {"a": tokens(*([f"a{v}"] for v in a)), "b": tokens(*([f"b{v}"] for v in b))}
    return (a != b).astype(np.int64), request, features


def test_a_cell_s_weight_is_a_newton_step_with_a_prior(
    xor: tuple[np.ndarray, np.ndarray, dict[str, Tokens]],
) -> None:
    label, request, features = xor
    model = AdditiveModel(label, request, features)
    # Without the pair each row has p = 1/2. A cell of a half has 50 rows: gradient ±25, curvature 12.5.
    weight = 25 / (12.5 + 2.0)
    gain = model.gain(crossed(features["a"], features["b"]))
    assert gain.logloss == pytest.approx(math.log(2) - math.log1p(math.exp(-weight)), abs=1e-4)
    assert gain.errors > 100
    assert model.gain(features["a"]).logloss == pytest.approx(0, abs=1e-6)


def test_what_is_taken_is_no_gain_again(xor: tuple[np.ndarray, np.ndarray, dict[str, Tokens]]) -> None:
    label, request, features = xor
    model = AdditiveModel(label, request, features)
    pair = crossed(features["a"], features["b"])
    found = model.choose({"pair": pair, "alone": features["a"]}, most=3, min_errors=4.0, min_gain=0.2)
    assert list(found) == ["pair"]
    assert model.gain(pair).logloss < 0.2 < found["pair"].logloss


def test_values_of_one_half_alone_gain_nothing() -> None:
    codes = np.arange(2000)
    request = np.concatenate([codes[halves(codes) == half][:100] for half in (0, 1)])
    label = np.arange(200) % 2
    one = tokens(*(["x"] for _ in range(200)))
    own = tokens(*([str(row)] for row in range(200)))  # memorizes each row
    assert AdditiveModel(label, request, {"one": one}).gain(own).logloss == pytest.approx(0, abs=1e-9)


def test_a_list_is_crossed_with_one_value_of_the_row() -> None:
    genres, user = tokens(["war", "new"], ["war"], [], ["old"]), tokens(["u"], ["v"], ["u"], [])
    for cells in (crossed(genres, user), crossed(user, genres)):
        assert cells.rows.tolist() == [0, 0, 1]  # a row without a list, and one without a user, have no cell
        assert len(set(cells.codes.tolist())) == len(cells.values) == 3
