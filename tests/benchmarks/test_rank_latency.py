"""What the comparison of `rank` measures: order of measurements, inputs and layer widths."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from benchmarks.rank_latency import PRODUCTS, context_of, layer_widths, measure
from benchmarks.serving_load import borne
from serving.ranking_client.features import encode_example
from transform.config.config_file import load_config

CONFIG = load_config(Path(__file__).parents[2] / "configs" / "app_store.yaml")


def test_the_ways_take_turns_and_the_products_come_in_between() -> None:
    done: list[str] = []
    ways: dict[str, Callable[[], object]] = {name: functools.partial(done.append, name) for name in ("a", "b")}
    milliseconds = measure(ways, lambda: done.append("p"), num_rounds=20)
    assert {name: len(times) for name, times in milliseconds.items()} == {"a": 20, "b": 20, PRODUCTS: 20}
    in_turn = ["b", "a", "a", "b"] * 5
    assert done == (in_turn + ["p"] * 10) * 3  # the first ten rounds and products do not count


def test_a_context_has_no_item_s_features() -> None:
    example = encode_example({"country": "US", "hour": "7", "app_id": "app_1", "price": 0.5}, "x", 1000)
    features = tf.train.Example.FromString(context_of(CONFIG, example)).features.feature
    assert sorted(features) == ["country", "hour"]


def test_widths_are_the_config_s() -> None:
    # user_id, country, device, language, installed_apps, hour, weekday, page; account_age_days and "is it missing"
    assert layer_widths(CONFIG) == (8 * 32 + 2, (1024, 512, 256, 1))


def test_a_load_is_borne_if_all_are_answered_in_time() -> None:
    assert borne({"errors": {}, "milliseconds": {"p99": 14.0}}, 14.0)
    assert not borne({"errors": {}, "milliseconds": {"p99": 14.1}}, 14.0)
    assert not borne({"errors": {"UNAVAILABLE": 1}, "milliseconds": {"p99": 1.0}}, 14.0)
    assert not borne({"errors": {}, "milliseconds": {}}, 14.0)
