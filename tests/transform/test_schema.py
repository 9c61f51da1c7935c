"""The TFDV schema is derived from the features, and the config's examples conform to it."""

from __future__ import annotations

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from tests.transform.small_config import small_config
from transform.schema import SERVING, TRAINING, raw_schema, schema_text

CONFIG = small_config(
    ("sources.impressions.timestamp", "time"),
    ("sources.impressions.impression_id", "id"),
    ("features.2.min_present_fraction", 0.25),
)


def test_the_schema_is_the_declared_features_and_the_bookkeeping() -> None:
    features = {f.name: f for f in raw_schema(CONFIG).feature}
    kinds = {name: schema_pb2.FeatureType.Name(f.type) for name, f in features.items()}
    assert kinds == {
        "label": "INT",
        "app": "BYTES",
        "installed": "BYTES",
        "price": "FLOAT",
        "impression_id": "BYTES",
        "request_id": "BYTES",
        "timestamp": "INT",
        "span": "INT",
        "fold": "INT",
        "shares_label": "INT",
    }
    assert (features["label"].int_domain.min, features["label"].int_domain.max) == (0, 1)
    assert [features[n].value_count.max for n in ("app", "price", "request_id", "timestamp")] == [1, 1, 1, 1]
    assert features["installed"].value_count.max == 0  # no upper bound
    assert [features[n].presence.min_fraction for n in ("label", "app", "price")] == [1.0, 0.0, 0.25]


def test_a_request_has_the_features_alone() -> None:
    schema = raw_schema(CONFIG)
    assert list(schema.default_environment) == [TRAINING, SERVING]
    at_serving = [f.name for f in schema.feature if SERVING not in f.not_in_environment]
    assert at_serving == ["app", "installed", "price"]


def test_a_weight_is_of_training_alone() -> None:
    features = {f.name: f for f in raw_schema(small_config(("sources.impressions.weight", "w"))).feature}
    weight = features["weight"]
    assert (weight.type, weight.presence.min_fraction) == (schema_pb2.FLOAT, 1.0)
    assert list(weight.not_in_environment) == [SERVING]
    assert [dim.size for dim in weight.shape.dim] == [1]


def test_a_log_without_bookkeeping_columns_has_none_in_the_schema() -> None:
    names = [f.name for f in raw_schema(small_config()).feature]
    assert names == ["label", "app", "installed", "price", "request_id", "span", "fold", "shares_label"]


def test_the_text_is_the_schema() -> None:
    assert text_format.Parse(schema_text(CONFIG), schema_pb2.Schema()) == raw_schema(CONFIG)


def test_examples_are_parsed_with_it() -> None:
    spec = schema_utils.schema_as_feature_spec(raw_schema(small_config())).feature_spec
    example = tf.train.Example()
    feature = example.features.feature
    feature["label"].int64_list.value.append(1)
    feature["installed"].bytes_list.value.extend([b"a", b"b"])
    feature["price"].float_list.value.append(2.5)
    feature["request_id"].bytes_list.value.append(b"r")
    parsed = tf.io.parse_example([example.SerializeToString()], spec)
    assert parsed["label"].numpy().tolist() == [[1]]
    assert parsed["installed"].values.numpy().tolist() == [b"a", b"b"]
    assert parsed["price"].values.numpy().tolist() == [2.5]
    assert parsed["app"].values.numpy().tolist() == []
