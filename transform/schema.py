"""The TFDV schema of the raw tf.Examples, derived from the feature spec."""

from __future__ import annotations

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from transform.config.component_settings import DataSettings
from transform.example_keys import (
    FOLD,
    IMPRESSION_ID,
    LABEL,
    LATE_LABEL,
    PLACEMENT,
    REQUEST_ID,
    SERVED_SCORE,
    SERVED_VERSION,
    SHARES_LABEL,
    SPAN,
    TIMESTAMP,
    WEIGHT,
)
from transform.feature import Feature

SERVING = "SERVING"
TRAINING = "TRAINING"


def raw_schema(config: DataSettings) -> schema_pb2.Schema:
    """Returns the schema that ingestion's tf.Examples must match and with which requests are parsed.

    The label, int64 in {0, 1}, the weight, a float (if there is one), and what else no request has, are expected in the
    TRAINING environment only.
    """
    schema = schema_pb2.Schema(default_environment=[TRAINING, SERVING])
    label = schema.feature.add(name=LABEL, type=schema_pb2.INT, not_in_environment=[SERVING])
    label.presence.min_fraction = 1.0
    label.shape.dim.add(size=1)
    label.int_domain.name = LABEL
    label.int_domain.min, label.int_domain.max, label.int_domain.is_categorical = 0, 1, True
    if config.sources.impressions.weight is not None:
        _add_number(schema, WEIGHT)
    if config.sources.impressions.says_placement:
        _add_number(schema, PLACEMENT)
    for feature in config.spec.features:
        _add_feature(schema, feature)
        if feature.renamed_from is not None:  # for a baseline that reads the old name; requests do not have it
            schema.feature.add(name=feature.renamed_from, type=_feature_type(feature), not_in_environment=[SERVING])
    log = config.sources.impressions
    for name, column, kind in (  # those without a column in the log are left out
        (IMPRESSION_ID, log.impression_id, schema_pb2.BYTES),
        (REQUEST_ID, log.request_id, schema_pb2.BYTES),
        (TIMESTAMP, log.timestamp, schema_pb2.INT),
        (SPAN, SPAN, schema_pb2.INT),
        (FOLD, FOLD, schema_pb2.INT),
        (SHARES_LABEL, SHARES_LABEL, schema_pb2.INT),
    ):
        if column is not None:
            bookkeeping = schema.feature.add(name=name, type=kind, not_in_environment=[SERVING])
            bookkeeping.presence.min_count = 1
            bookkeeping.value_count.min, bookkeeping.value_count.max = 1, 1
    if config.sources.are_served:
        for name, kind in ((SERVED_SCORE, schema_pb2.FLOAT), (SERVED_VERSION, schema_pb2.BYTES)):
            served = schema.feature.add(name=name, type=kind, not_in_environment=[SERVING])
            served.value_count.max = 1
    if config.sources.has_late_labels:
        late = schema.feature.add(name=LATE_LABEL, type=schema_pb2.INT, not_in_environment=[SERVING])
        late.value_count.max = 1  # a span's own examples do not have it
    return schema


def _add_number(schema: schema_pb2.Schema, name: str) -> None:
    """Adds a float that each logged example has, and no request."""
    number = schema.feature.add(name=name, type=schema_pb2.FLOAT, not_in_environment=[SERVING])
    number.presence.min_fraction = 1.0
    number.shape.dim.add(size=1)


def _feature_type(feature: Feature) -> schema_pb2.FeatureType:
    return schema_pb2.BYTES if feature.of_kind.holds == "text" else schema_pb2.FLOAT


def _add_feature(schema: schema_pb2.Schema, feature: Feature) -> None:
    entry = schema.feature.add(name=feature.name, type=_feature_type(feature))
    if feature.at_serving is not None:
        entry.not_in_environment.append(SERVING)
    entry.presence.min_count = 1
    if feature.min_present_fraction > 0:
        entry.presence.min_fraction = feature.min_present_fraction
    entry.value_count.min = 1
    if not feature.is_list:
        entry.value_count.max = 1


def schema_text(config: DataSettings) -> str:
    """The schema as the text that ImportSchemaGen reads."""
    text: str = text_format.MessageToString(raw_schema(config))
    return text
