"""Tests of which features of a context are watched for unknown values, and which of a batch's are named."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tests.trainer.small_deployment import make_config
from trainer.rank_export.closed_vocabularies import MAX_TOKENS, ClosedVocabularies
from trainer.wide_deep.model import WideDeep


def feature(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "side": "context", "kind": "categorical", "vocabulary": {}} | options


#: By feature, its options and the size of its vocabulary.
FEATURES: dict[str, tuple[dict[str, Any], int]] = {
    "app": ({"side": "item"}, 5),
    "country": ({"vocabulary": {"num_oov_buckets": 2}}, 4),
    "home": ({"vocabulary": "country"}, 4),
    "hour": ({}, MAX_TOKENS),
    "user": ({}, MAX_TOKENS + 1),
    "last_app": ({"vocabulary": "app"}, 5),
    "installed": ({"kind": "categorical_list"}, 3),
    "year": ({"derive": {"part": "year", "format": "iso"}}, 3),
}


def make_closed_vocabularies(*names: str) -> ClosedVocabularies:
    features = [feature(name, **FEATURES[name][0]) for name in ("app", "country", *names)]
    config = make_config(features=features, crosses=[])
    sizes = {name: FEATURES[name][1] for name in config.spec.vocabularies}
    model = WideDeep(config.spec, config.model, sizes)
    return ClosedVocabularies(config.spec, model, {f"{name}_xf" for name in FEATURES if name != "app"})


def test_ids_behind_the_tokens_are_unknown() -> None:
    ids = {"country_xf": [0, 3, 4, 5], "home_xf": [4, 1, 0, 2], "hour_xf": [MAX_TOKENS - 1, 0, 1, MAX_TOKENS]}
    closed = make_closed_vocabularies("home", "hour")
    found = closed.names({name: tf.constant(values, tf.int64) for name, values in ids.items()})
    assert [text.decode() for text in found.numpy()] == ["home", "", "country", "country hour"]


def test_lists_ids_and_parts_of_times_are_not_watched() -> None:
    others = [name for name in FEATURES if name not in ("app", "country")]
    assert {name: len(make_closed_vocabularies(name)) for name in others} == {
        "home": 2,
        "hour": 2,
        "user": 1,
        "last_app": 1,
        "installed": 1,
        "year": 1,
    }
