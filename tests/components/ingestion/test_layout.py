"""The conversion of typed values to a tf.Example, and the split of a key."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

import pytest
import tensorflow as tf

from components.ingestion.layout import assign_folds, cut_of_fraction, for_evaluation, split_rule
from tests.components.ingestion.logs import store_config
from tests.components.ingestion.row_by_row.examples import Impression, Layout
from transform.config.config import Config

LAYOUT = Layout(store_config())
#: In the order of the columns: impression, request, time, the tables' and the installs' keys (app, user), page.
VALUES = ("i7", "r3", 1234.75, "a1", "u2", "home")


def parse(serialized: bytes) -> dict[str, list[object]]:
    features = tf.train.Example.FromString(serialized).features.feature
    return {name: list(getattr(f, f.WhichOneof("kind")).value) for name, f in features.items()}


def fold_of(key: str) -> int:
    """Returns the fold from the first 64 bits of the key's BLAKE2b, as a fraction of all, in eighths."""
    return int.from_bytes(hashlib.blake2b(f"fold/{key}".encode(), digest_size=8).digest(), "big") // 2**61


def impression(**changes: Any) -> Impression:
    row = Impression("log.csv", 1, "", VALUES, 1, {"catalog": ("a1", 2.5, "été"), "users": ("u2", ("a0", "a9"))})
    return row._replace(**changes)


def test_the_layout_is_where_the_columns_stand() -> None:
    config = store_config()
    assert [c.name for c in config.columns["impressions"]] == ["impression", "request", "time", "app", "user", "page"]
    assert (LAYOUT.label, LAYOUT.impression_id, LAYOUT.request_id, LAYOUT.timestamp) == (None, 0, 1, 2)
    assert LAYOUT.key_positions("impressions", ["user", "app"]) == (4, 3)
    assert LAYOUT.timestamp_of("installs", "at") == 2


def test_an_impression_becomes_a_tf_example() -> None:
    assert parse(LAYOUT.serialized_example(impression(), 5)) == {
        "app": [b"a1"],
        "page": [b"home"],
        "price": [2.5],
        "title": ["été".encode()],
        "owned": [b"a0", b"a9"],
        "label": [1],
        "impression_id": [b"i7"],
        "request_id": [b"r3"],
        "timestamp": [1234],
        "span": [5],
        "fold": [fold_of("['u2', 'a1']")],  # from the installs' keys
        "shares_label": [0],
    }


def test_a_renamed_feature_has_its_value_under_both_names() -> None:
    config = store_config()
    renamed = {"price": "cost", "owned": "installed"}
    features = tuple(dataclasses.replace(f, renamed_from=renamed.get(f.name)) for f in config.spec.features)
    spec = dataclasses.replace(config.spec, features=features)
    layout = Layout(dataclasses.replace(config, spec=spec))
    values = parse(layout.serialized_example(impression(), 5))
    assert (values["cost"], values["installed"]) == ([2.5], [b"a0", b"a9"])
    assert values == {**parse(LAYOUT.serialized_example(impression(), 5)), "cost": [2.5], "installed": [b"a0", b"a9"]}
    without = impression(joined={"catalog": None, "users": ("u2", None)})
    assert not {"cost", "installed"} & parse(layout.serialized_example(without, 5)).keys()
    assert spec.example_names == {f.name for f in features} | {"cost", "installed"}


def test_what_has_no_value_is_left_out() -> None:
    row = impression(joined={"catalog": None, "users": ("u2", None)}, label=0)
    assert set(parse(LAYOUT.serialized_example(row, 5))) == {
        "app",
        "page",
        "label",
        "impression_id",
        "request_id",
        "timestamp",
        "span",
        "fold",
        "shares_label",
    }


def test_rows_that_can_share_an_install_share_a_fold_in_both_splits() -> None:
    again = impression(file="other.csv", row=7, split="eval", label=0, values=("i8", "r4", 1299.0, "a1", "u2", "top"))
    assert LAYOUT.fold(again) == LAYOUT.fold(impression())
    folds = {LAYOUT.fold(impression(values=("i", "r", 1.0, f"a{i}", "u2", "home"))) for i in range(100)}
    assert folds == set(range(8))


def test_a_row_with_a_label_of_its_own_has_a_fold_of_its_own_in_training_and_none_in_evaluation() -> None:
    labelled = Layout(labelled_config())
    assert {labelled.fold(impression(row=i, split="train")) for i in range(100)} == set(range(8))
    assert {labelled.fold(impression(row=i, split="eval")) for i in range(100)} == {-1}
    shared = Layout(labelled_config(label_columns=("user",)))
    assert len({shared.fold(impression(row=i, split=split)) for i in range(50) for split in ("train", "eval")}) == 1


def labelled_config(**impressions: Any) -> Config:
    """Returns the store's config with labels in the log instead of installs; its columns are unchanged."""
    config = store_config()
    log = dataclasses.replace(config.sources.impressions, label="clicked", **impressions)
    return dataclasses.replace(config, sources=dataclasses.replace(config.sources, installs=None, impressions=log))


def test_the_same_impression_has_the_same_bytes() -> None:
    assert LAYOUT.serialized_example(impression(), 5) == LAYOUT.serialized_example(impression(), 5)
    assert LAYOUT.serialized_example(impression(), 5) != LAYOUT.serialized_example(impression(label=0), 5)


def test_a_table_row_has_its_key_and_its_features() -> None:
    assert parse(LAYOUT.serialized_table_example("catalog", "a1", ("a1", None, "x"))) == {
        "table_key": [b"a1"],
        "title": [b"x"],
    }


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_the_split_is_near_its_fraction_and_is_the_hash(fraction: float) -> None:
    keys = [f"request-{i}" for i in range(20_000)]
    is_eval = for_evaluation(keys, fraction)
    # Four standard deviations of a binomial share of 20,000 at most: 4 · sqrt(0.25 / 20000) = 0.0141.
    assert is_eval.mean() == pytest.approx(fraction, abs=0.0142)
    for key, of_eval in list(zip(keys, is_eval, strict=True))[:100]:
        hashed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
        assert of_eval == (hashed / 2**64 < fraction)


def test_the_fold_is_the_hash() -> None:
    keys = [f"request-{i}" for i in range(1000)]
    assert assign_folds(keys).tolist() == [fold_of(key) for key in keys]
    assert assign_folds([]).tolist() == []


def test_a_larger_fraction_keeps_the_eval_requests_in_eval() -> None:
    keys = [str(i) for i in range(1000)]
    small, large = for_evaluation(keys, 0.2), for_evaluation(keys, 0.4)
    assert large[small].all()
    assert large.sum() > small.sum()


@pytest.mark.parametrize(
    ("times", "fraction", "later"),
    [
        ({1.0: 8, 2.0: 2}, 0.2, {2.0}),
        ({1.0: 8, 2.0: 2}, 0.25, {2.0}),  # round(2.5) is 2
        ({1.0: 8, 2.0: 2}, 0.3, {1.0, 2.0}),
        ({1.0: 8, 1.5: 1, 2.0: 1}, 0.2, {1.5, 2.0}),
        ({1.0: 99, 2.0: 1}, 0.001, {2.0}),  # at least one row
        ({-math.inf: 5, 1e9 + 0.25: 1, math.inf: 4}, 0.5, {1e9 + 0.25, math.inf}),
        ({}, 0.2, set()),
    ],
)
def test_the_last_share_begins_with_all_rows_of_its_first_time(
    times: dict[float, int], fraction: float, later: set[float]
) -> None:
    assert {time for time in times if time > cut_of_fraction(times, fraction)} == later


def test_rows_without_ids_are_split_anew_in_other_files() -> None:
    config = store_config()
    by_id, by_place = (
        dataclasses.replace(config, ingestion=dataclasses.replace(config.ingestion, split_by=rule))
        for rule in ("request_hash", "row_hash")
    )
    assert split_rule(by_id, "files") == split_rule(by_id, "other files")
    assert split_rule(by_place, "files") == split_rule(by_place, "files") != split_rule(by_place, "other files")
