"""`preprocessing_fn` run by tf.Transform on hand-made rows; expected values computed by hand or in plain Python."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tests.transform.transformed import Row, Transformed
from transform.config.config_file import parse_config
from transform.feature import MISSING_QUANTILE, MISSING_ROW, MISSING_STANDARDIZED

CONFIG = parse_config(
    {
        "name": "x",
        "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
        "features": [
            {
                "name": "app",
                "side": "item",
                "kind": "categorical",
                "vocabulary": {"min_count": 3, "num_oov_buckets": 4},
            },
            {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
            {"name": "city", "side": "context", "kind": "categorical", "vocabulary": {"max_size": 2}},
            {"name": "rare", "side": "context", "kind": "categorical", "vocabulary": {"min_count": 99}},
            {"name": "price", "side": "item", "kind": "numeric", "num_quantiles": 5},
            {"name": "age", "side": "item", "kind": "numeric", "num_quantiles": 3, "parts": ["deep"]},
            {"name": "same", "side": "item", "kind": "numeric", "num_quantiles": 4},
            {"name": "size", "side": "item", "kind": "numeric", "boundaries": [-1.5, 2, 8]},
            {"name": "years", "side": "item", "kind": "numeric", "num_quantiles": 3, "scale": "standard"},
            {"name": "amount", "side": "item", "kind": "numeric", "scale": "log", "parts": ["deep"]},
            {"name": "fixed", "side": "item", "kind": "numeric", "scale": "standard", "parts": ["deep"]},
            {
                "name": "weekday",
                "side": "context",
                "kind": "categorical",
                "derive": {"part": "weekday", "format": "iso", "time_zone": "Asia/Tokyo"},
                "vocabulary": {"min_count": 2},
            },
            {
                "name": "hour",
                "side": "context",
                "kind": "categorical",
                "derive": {"part": "hour", "format": "epoch_seconds", "time_zone": "Europe/Berlin"},
                "vocabulary": {},
            },
        ],
        "crosses": [
            {"features": ["installed", "app"], "min_count": 2},
            {"features": ["city", "app"], "num_hash_buckets": 50},
            {"features": ["app", "price"], "min_count": 1},
            {"features": ["city", "installed", "app"], "min_count": 2, "max_size": 1},
            {"features": ["weekday", "hour"], "min_count": 2},
        ],
        "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
    },
    "test",
)

NAN = float("nan")
#: App, installed apps, city, price, age. "été" occurs once as an app and twice as installed: 3 times in total.
TABLE: list[tuple[str | None, list[str], str | None, float | None, float | None]] = [
    ("chess", ["été", "maps"], "Zürich", 1.0, 10.0),
    ("chess", ["été"], "Zürich", 2.0, None),
    ("chess", [], "Zürich", 3.0, 20.0),
    ("été", ["chess", "chess"], "東京", 4.0, None),
    ("solo", ["maps"], "東京", 5.0, 30.0),
    (None, ["maps"], "Rom", 6.0, NAN),
    (None, [], None, 7.0, 40.0),
    (None, ["pair"], "東京", 8.0, 50.0),
    ("pair", ["chess"], "Zürich", 9.0, 60.0),
    ("pair", ["maps", "lone"], "Bern", 10.0, None),
]


#: For each row of `TABLE`: a time and its weekday in Tokyo, an epoch and its hour in Berlin, where summer time begins
#: at 1774746000.
TIMES: list[tuple[str, str, str, str]] = [
    ("2026-11-28T23:30Z", "sun", "1774745999.9", "1"),
    ("2026-11-29", "sun", "1774746000", "3"),
    ("2026-11-29T23:30", "sun", "1774746000.5", "3"),
    ("2026-11-29T23:30:05.5-01:00", "mon", " 1774749599 ", "3"),
    ("2026-11-30 05:00", "mon", "1774749600", "4"),
    ("2026-12-02", "wed", "-1", "0"),
    ("2026-11-31", "<missing>", "soon", "<missing>"),
    ("yesterday", "<missing>", "", "<missing>"),
    ("", "<missing>", "1774749600000", "<missing>"),
    ("2026-11-30", "mon", "1774735200", "23"),
]


def to_row(app: str | None, installed: list[str], city: str | None, price: float | None, age: float | None) -> Row:
    optional: Callable[[Any], list[Any]] = lambda value: [] if value is None else [value]  # noqa: E731
    return {
        "app": optional(app),
        "installed": installed,
        "city": optional(city),
        "rare": ["unseen"],
        "price": optional(price),
        "age": optional(age),
        "same": [3.0],
        "size": optional(price),
        "years": optional(age),
        "amount": [] if price is None else [(-1) ** price * price],
        "fixed": [0.1],
        "label": [1],
        "request_id": ["r"],
    }


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    times = [{"weekday": [time], "hour": [epoch]} for time, _, epoch, _ in TIMES]
    rows = [to_row(*row) | time for row, time in zip(TABLE, times, strict=True)]
    return Transformed(CONFIG, rows, tmp_path_factory.mktemp("transform"))


def ids(transformed: Transformed, name: str) -> list[Any]:
    return transformed.columns[f"{name}_xf"]


def test_a_derived_feature_s_tokens_are_the_parts_of_its_times(transformed: Transformed) -> None:
    weekdays, hours = [weekday for _, weekday, *_ in TIMES], [hour for *_, hour in TIMES]
    # Wednesday occurs once, and min_count is 2.
    assert transformed.vocabulary("weekday")[0] == "<missing>"
    assert sorted(transformed.vocabulary("weekday")[1:]) == ["mon", "sun"]
    for name, tokens in (("weekday", weekdays), ("hour", hours)):
        vocabulary = transformed.vocabulary(name)
        places = [vocabulary.index(token) if token in vocabulary else len(vocabulary) for token in tokens]
        assert ids(transformed, name) == places
    assert sorted(transformed.vocabulary("weekday_x_hour")) == ["<missing>\x1f<missing>", "sun\x1f3"]


def test_a_shared_vocabulary_counts_its_features_together(transformed: Transformed) -> None:
    # chess: 3 as an app + 3 installed; maps: 0 + 4; été: 1 + 2; <missing>: 3 + 0; pair: 2 + 1; solo 1, lone 1.
    vocabulary = transformed.vocabulary("app")
    assert vocabulary[:3] == ["<missing>", "chess", "maps"]
    assert set(vocabulary) == {"chess", "maps", "été", "<missing>", "pair"}


def test_tokens_get_their_place_in_the_vocabulary_and_the_rest_a_bucket_behind_it(transformed: Transformed) -> None:
    vocabulary = transformed.vocabulary("app")
    for (app, installed, *_), app_id, installed_ids in zip(
        TABLE, ids(transformed, "app"), ids(transformed, "installed"), strict=True
    ):
        for token, id_ in zip([app or "<missing>", *installed], [app_id, *installed_ids], strict=True):
            if token in vocabulary:
                assert id_ == vocabulary.index(token)
            else:
                assert token in ("solo", "lone")
                assert len(vocabulary) <= id_ < len(vocabulary) + 4


def test_an_empty_list_has_no_ids(transformed: Transformed) -> None:
    assert ids(transformed, "installed")[2] == []
    assert len(ids(transformed, "installed")[3]) == 2


def test_max_size_keeps_the_most_frequent(transformed: Transformed) -> None:
    # Zürich 4, 東京 3, then Rom and Bern with 1 each; the row of a missing city is additional.
    assert transformed.vocabulary("city") == ["<missing>", "Zürich", "東京"]
    assert ids(transformed, "city") == [1, 1, 1, 2, 2, 3, 0, 2, 1, 3]


def test_a_vocabulary_in_which_no_token_is_frequent_enough_has_one_id_for_all(transformed: Transformed) -> None:
    assert set(ids(transformed, "rare")) == {1}  # the row after the missing value's row


def test_a_value_is_fed_as_i_minus_1_over_n_minus_1(transformed: Transformed) -> None:
    # Ten values in five quantiles of two: i = 1, 1, 2, 2, …, 5, 5, and (i - 1) / 4.
    expected = [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1]
    # The sketch may move a boundary by its epsilon of 0.01 · 10 rows, which is less than one row.
    assert transformed.columns["price_xf"] == expected
    assert transformed.columns["price_bucket_xf"] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_a_value_between_given_boundaries_is_fed_as_its_bucket_over_their_number(transformed: Transformed) -> None:
    # 1, 2, …, 10 in the buckets below -1.5, from -1.5, from 2 and from 8, which are 0, 1/3, 2/3 and 1.
    buckets = [1, 2, 2, 2, 2, 2, 2, 3, 3, 3]
    assert transformed.columns["size_bucket_xf"] == buckets
    assert transformed.columns["size_xf"] == pytest.approx([bucket / 3 for bucket in buckets])
    low = transformed.apply([{**to_row(*TABLE[0]), "size": [-2.0]}], with_label=False)
    assert low["size_bucket_xf"] == [0]


def test_a_missing_number_and_nan_are_no_quantile_and_move_no_boundary(transformed: Transformed) -> None:
    # 10, 20, …, 60 in three quantiles of two: 0, 0, 1/2, 1/2, 1, 1.
    missing = MISSING_QUANTILE
    expected = [0, missing, 0, missing, 0.5, missing, 0.5, 1, 1, missing]
    assert transformed.columns["age_xf"] == expected
    assert "age_bucket_xf" not in transformed.columns


def test_a_standardized_number_is_its_distance_from_the_mean_in_deviations(transformed: Transformed) -> None:
    ages = [10, 20, 30, 40, 50, 60]
    mean, deviation = 35, statistics.pstdev(ages)
    expected = [
        MISSING_STANDARDIZED if age is None or math.isnan(age) else (age - mean) / deviation for *_, age in TABLE
    ]
    assert transformed.columns["years_xf"] == pytest.approx(expected, rel=1e-6)
    assert transformed.columns["years_bucket_xf"] == [0, 3, 0, 3, 1, 3, 1, 2, 2, 3]  # the same as without a scale
    assert "amount_bucket_xf" not in transformed.columns


def test_a_log_scaled_number_is_standardized_after_its_logarithm(transformed: Transformed) -> None:
    logs = [(-1) ** n * math.log(1 + n) for n in range(1, 11)]
    mean, deviation = statistics.fmean(logs), statistics.pstdev(logs)
    assert transformed.columns["amount_xf"] == pytest.approx([(log - mean) / deviation for log in logs], rel=1e-6)


def test_a_standardized_number_has_bounds(transformed: Transformed) -> None:
    values = [1e30, -1e30, float("inf"), float("-inf"), 3.4e38, -3.4e38, 35.0]
    out = transformed.apply([to_row(*TABLE[0]) | {"years": [v], "amount": [v]} for v in values], with_label=False)
    assert out["years_xf"] == [10, -10, 10, -10, 10, -10, 0]
    assert out["amount_xf"][2:4] == [10, -10]  # 1e30 is at some 40 times the deviation of these logarithms
    assert max(map(abs, out["amount_xf"])) == 10


def test_numbers_that_are_all_the_same_are_0_whatever_a_request_has(transformed: Transformed) -> None:
    assert transformed.columns["fixed_xf"] == [0.0] * 10
    values = [[5.0], [float("inf")], [float("nan")], []]
    out = transformed.apply([to_row(*TABLE[0]) | {"fixed": v} for v in values], with_label=False)
    assert out["fixed_xf"] == [0.0, 0.0, MISSING_STANDARDIZED, MISSING_STANDARDIZED]


def test_a_number_that_is_always_the_same_has_one_finite_value(transformed: Transformed) -> None:
    values = set(transformed.columns["same_xf"])
    assert len(values) == 1
    assert 0 <= values.pop() <= 1


def test_a_counted_cross_keeps_every_pair_that_is_frequent_enough(transformed: Transformed) -> None:
    # Pairs of installed × app: (été, chess) 2, (chess, été) 2 (both in one row), (maps, <missing>) 1 …
    vocabulary = transformed.vocabulary("installed_x_app")
    assert sorted(vocabulary) == ["chess\x1fété", "été\x1fchess"]
    place = {token: i for i, token in enumerate(vocabulary)}
    first, second = place["été\x1fchess"], place["chess\x1fété"]
    assert ids(transformed, "installed_x_app") == [[first], [first], [], [second, second], [], [], [], [], [], []]


def test_a_list_crossed_with_a_scalar_gives_every_pair(transformed: Transformed) -> None:
    out = transformed.apply(
        [to_row("chess", ["été", "maps", "été"], "Rom", 1.0, 1.0), to_row("été", ["chess"], None, 1.0, 1.0)]
    )
    place = {token: i for i, token in enumerate(transformed.vocabulary("installed_x_app"))}
    assert out["installed_x_app_xf"] == [[place["été\x1fchess"]] * 2, [place["chess\x1fété"]]]


def test_a_hashed_cross_is_the_hash_of_the_joined_tokens(transformed: Transformed) -> None:
    joined = [f"{city or '<missing>'}\x1f{app or '<missing>'}" for app, _, city, *_ in TABLE]
    expected = tf.strings.to_hash_bucket_fast(joined, 50).numpy().tolist()
    assert ids(transformed, "city_x_app") == [[id_] for id_ in expected]
    assert len(set(expected)) > 3
    # Fixed across machines and versions: a changed hash would assign every weight to other pairs.
    assert tf.strings.to_hash_bucket_fast(["Zürich\x1fchess"], 50).numpy().tolist() == [33]


def test_a_number_is_crossed_as_its_quantile(transformed: Transformed) -> None:
    vocabulary = transformed.vocabulary("app_x_price")
    buckets = transformed.columns["price_bucket_xf"]
    for (app, *_), bucket, (id_,) in zip(TABLE, buckets, ids(transformed, "app_x_price"), strict=True):
        assert vocabulary[id_] == f"{app or '<missing>'}\x1f{bucket}"


def test_a_cross_of_three_with_max_size_keeps_the_most_frequent(transformed: Transformed) -> None:
    # The combination is in the declared order, although the list is between two scalars.
    # (Zürich, été, chess) and (東京, chess, été) both occur twice; either one may be kept.
    vocabulary = transformed.vocabulary("city_x_installed_x_app")
    assert len(vocabulary) == 1
    assert vocabulary[0] in ("Zürich\x1fété\x1fchess", "東京\x1fchess\x1fété")
    assert [len(row) for row in ids(transformed, "city_x_installed_x_app")].count(0) in (8, 9)


def test_the_label_passes_where_there_is_one(transformed: Transformed) -> None:
    assert transformed.columns["label"] == [1] * 10
    assert "label" not in transformed.apply([to_row(*TABLE[0])], with_label=False)


def test_a_batch_in_which_every_value_is_missing(transformed: Transformed) -> None:
    empty: Row = {name: [] for name in ("app", "installed", "city", "rare", "price", "age", "same", "size")}
    out = transformed.apply([empty, empty], with_label=False)
    missing = transformed.vocabulary("app").index("<missing>")
    assert out["app_xf"] == [missing, missing]
    assert (out["installed_xf"], out["installed_x_app_xf"]) == ([[], []], [[], []])
    assert missing == MISSING_ROW
    assert (out["price_xf"], out["price_bucket_xf"]) == ([MISSING_QUANTILE] * 2, [5, 5])  # after the quantiles 0 to 4


def test_a_missing_value_has_a_row_though_training_has_seen_none(transformed: Transformed) -> None:
    # `rare` was never missing in training, and none of its tokens was frequent enough.
    assert transformed.vocabulary("rare") == ["<missing>"]
    row = to_row(*TABLE[0])
    assert transformed.apply([row | {"rare": []}, row])["rare_xf"] == [MISSING_ROW, 1]


def test_numbers_beyond_those_of_training_are_at_the_ends(transformed: Transformed) -> None:
    out = transformed.apply([to_row("chess", [], "Rom", price, None) for price in (-1e30, 1e30)])
    assert out["price_xf"] == [0.0, 1.0]
