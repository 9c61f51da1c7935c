"""Mistakes in the small config, each with its error message."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.transform.small_config import REMOVED
from transform.config.config import Config
from transform.config.settings import Training
from transform.feature import Feature, Vocabulary
from transform.feature_kinds import KINDS
from transform.feature_spec import FeatureSpec

PATH_RULE = "must be a path below the data folder, without a leading `/` and without `..`"


def keys_of(*classes: type) -> list[str]:
    """The keys of sections, as the error of an unknown key lists them."""
    names = {field.name for cls in classes for field in dataclasses.fields(cls)}
    return sorted(names - {"spec"})


*_FIRST_KINDS, _LAST_KIND = KINDS
PLACED: dict[str, Any] = {
    "name": "position",
    "side": "item",
    "kind": "numeric",
    "boundaries": [2, 3],
    "at_serving": {"fixed": 1},
}
RANDOMIZED = ("sources.impressions.randomized", "drawn")
TOP_KEYS = keys_of(Config, FeatureSpec)
DERIVED = {
    "name": "year",
    "side": "context",
    "kind": "categorical",
    "column": "time",
    "derive": {"part": "year", "format": "iso"},
    "vocabulary": {},
}
INSTALLS = {"path": "installs.csv", "format": "csv"}

MISTAKES: list[tuple[list[tuple[str, Any]], str]] = [
    ([("name", REMOVED)], "`name` is required (small.yaml, name)."),
    (
        [("beam.args", ["--runner=DaskRunner"])],
        "`args` must not name DaskRunner, which runs the last branch of a pipeline only, so that outputs are missing. "
        "Received: ['--runner=DaskRunner'] (small.yaml, beam.args).",
    ),
    (
        [("beam.args", ["--runner=FlinkRunner"]), ("beam.num_workers", 4)],
        "`beam.num_workers` goes without `beam.args`, which name a runner and its workers. Received: 4 and "
        "['--runner=FlinkRunner'] (small.yaml, beam).",
    ),
    (
        [("beam.workers", ["beam-a:50000", "beam-b"])],
        "`workers` must be `HOST:PORT` each, with a port of 1 to 65535, unlike 'beam-b'. Received: ['beam-a:50000', "
        "'beam-b'] (small.yaml, beam.workers).",
    ),
    (
        [("beam.workers", ["beam-a:50000", "beam-a:50000"])],
        "`workers` must have each address once: a pool starts one worker for a node. Received: ['beam-a:50000', "
        "'beam-a:50000'] (small.yaml, beam.workers).",
    ),
    (
        [("beam.workers", ["beam-a:50000"]), ("beam.num_workers", 4)],
        "`beam.workers` goes without `beam.num_workers` and `beam.args`: each of its pools starts one worker. "
        "Received: ['beam-a:50000'], 4 and [] (small.yaml, beam).",
    ),
    (
        [("beam.workers", ["beam-a:50000"]), ("beam.args", ["--runner=FlinkRunner"])],
        "`beam.workers` goes without `beam.num_workers` and `beam.args`: each of its pools starts one worker. "
        "Received: ['beam-a:50000'], 1 and ['--runner=FlinkRunner'] (small.yaml, beam).",
    ),
    (
        [("training.patience", 0), ("training.validation_fraction", 0.2)],
        "`training.validation_fraction` goes without `patience: 0`, with which all epochs are trained and no example "
        "is held out. Received: 0.2 (small.yaml).",
    ),
    (
        [("beam.num_workers", 0)],
        "`num_workers` must be at least 1. Received: 0 (small.yaml, beam.num_workers).",
    ),
    (
        [("name", "App Store")],
        "`name` must match the pattern ^[a-z][a-z0-9_]*$. Received: 'App Store' (small.yaml, name).",
    ),
    ([("name", 7)], "`name` must be a text. Received: 7 (small.yaml, name)."),
    ([("batch-size", 2)], f"`batch-size` is not a known key (small.yaml, batch-size); allowed: {TOP_KEYS}."),
    ([("Name", "x")], f"`Name` is not a known key (small.yaml, Name); allowed: {TOP_KEYS}."),
    ([("spec", {})], "`spec` is not a known key; did you mean `features`? (small.yaml)"),
    ([("sources", REMOVED)], "`sources` is required (small.yaml, sources)."),
    ([("evaluation", REMOVED)], "`evaluation` is required (small.yaml, evaluation)."),
    ([("features", REMOVED)], "`features` is required (small.yaml, features)."),
    ([("features", None)], "`features` must be a list. Received: None (small.yaml, features)."),
    ([("features", [])], "`features` must have at least 1 entries. Received: [] (small.yaml, features)."),
    ([("features.0", "app")], "`features.0` must be a mapping of keys. Received: 'app' (small.yaml, features.0)."),
    (
        [("features.2.num_quantiles", 0)],
        "`num_quantiles` must be at least 2. Received: 0 (small.yaml, features.price.num_quantiles).",
    ),
    (
        [("features.2.num_quantiles", 10_001)],
        "`num_quantiles` must be at most 10000. Received: 10001 (small.yaml, features.price.num_quantiles).",
    ),
    (
        [("features.2.num_quantiles", REMOVED)],
        "`num_quantiles` is required for a numeric feature; allowed: 2 to 10000 (small.yaml, features.price).",
    ),
    (
        [("features.0.one_hot", ["x"])],
        "`one_hot` goes with kind categorical_list only, whose values are names of columns (small.yaml, features.app).",
    ),
    (
        [("features.1.one_hot", ["x"]), ("features.1.column", "y")],
        "a list is read from one of `column` and `one_hot` (small.yaml, features.installed).",
    ),
    (
        [("features.1.one_hot", ["x", "y", "x"])],
        "`one_hot` names each column once. Received: ['x', 'y', 'x'] (small.yaml, features.installed).",
    ),
    (
        [("features.1.one_hot", [])],
        "`one_hot` must have at least 1 entries. Received: [] (small.yaml, features.installed.one_hot).",
    ),
    (
        [("features.1.one_hot", ["x", " y"])],
        "`one_hot` of feature `installed` names columns with spaces at an end, which needs `trim: false`. "
        "Received: ' y' (small.yaml).",
    ),
    (
        [("features.1.one_hot", ["x", "sci|fi"])],
        "`one_hot` of feature `installed` names no column whose name has the source's `list_separator`, '|', in it. "
        "Received: 'sci|fi' (small.yaml).",
    ),
    (
        [("features.1.one_hot", ["x", "unknown"]), ("sources.impressions.null_values", ["unknown "])],
        "`one_hot` of feature `installed` names no column whose name means a missing value. Received: 'unknown', one "
        "of the source's `null_values` (small.yaml).",
    ),
    (
        [("features.2.scale", "cubic")],
        "`scale` must be one of 'quantile', 'standard' or 'log'. Received: 'cubic' (small.yaml, features.price.scale).",
    ),
    (
        [("features.2.scale", "standard"), ("features.2.num_quantiles", REMOVED)],
        "feature `price` has no `num_quantiles` and no `boundaries`, and one of them is required where the wide part, "
        "a cross or a count encoding reads a number; `parts: [deep]` takes it out of the wide part (small.yaml).",
    ),
    (
        [("features.0.scale", "log")],
        "`scale` goes with kind numeric only; a categorical feature has `vocabulary` (small.yaml, features.app).",
    ),
    (
        [("features.2.boundaries", [1, 2])],
        "a numeric feature has one of `num_quantiles` and `boundaries` (small.yaml, features.price).",
    ),
    (
        [("features.2.num_quantiles", REMOVED), ("features.2.boundaries", [1, 1.00000000001])],
        "`boundaries` must ascend, as 32-bit numbers. Received: [1.0, 1.00000000001] (small.yaml, features.price).",
    ),
    (
        [("features.1.derive", {"part": "year", "format": "iso"})],
        "`derive` goes with kind categorical only. Received: categorical_list (small.yaml, features.installed).",
    ),
    (
        [("features.0.derive", {"part": "minute", "format": "iso"})],
        "`part` must be one of 'year', 'month', 'day', 'weekday' or 'hour'. Received: 'minute' (small.yaml, "
        "features.app.derive.part).",
    ),
    (
        [("features.0.derive", {"part": "hour", "format": "%H"})],
        "`format` must be iso, day_month_year, epoch_seconds, epoch_milliseconds or the form of a date, such as "
        "%b %d, %Y: it needs a year (%Y or %y), a month (%m, %b or %B) and a day (%d). Received: '%H' (small.yaml, "
        "features.app.derive.format).",
    ),
    (
        [("features.0.derive", {"part": "hour", "format": "%b %d, %Y"})],
        "`part: hour` needs a time of day, which `format: %b %d, %Y` lacks (small.yaml, features.app.derive).",
    ),
    (
        [("features.0.derive", {"part": "hour", "format": "%d.%m.%Y %H:%M", "time_zone": "Asia/Tokyo"})],
        "`time_zone` goes with the other formats; `format: %d.%m.%Y %H:%M` has local times (small.yaml, "
        "features.app.derive).",
    ),
    (
        [("features.0.derive", {"part": "hour", "format": "iso", "time_zone": "../Europe/Berlin"})],
        "`time_zone` must be the IANA name of a time zone, such as Europe/Berlin. Received: '../Europe/Berlin' "
        "(small.yaml, features.app.derive.time_zone).",
    ),
    *(
        (
            [("features.0.derive", {"part": "hour", "format": "iso", "time_zone": zone})],
            f"`time_zone` must be the IANA name of a time zone, such as Europe/Berlin. Received: '{zone}' (small.yaml, "
            "features.app.derive.time_zone).",
        )
        for zone in ("localtime", "Factory")
    ),
    (
        [("features.0.derive", {"part": "hour", "format": "day_month_year"})],
        "`part: hour` needs a time of day, which `format: day_month_year` lacks (small.yaml, features.app.derive).",
    ),
    (
        [("features.0.derive", {"part": "day", "format": "day_month_year", "time_zone": "Asia/Tokyo"})],
        "`time_zone` goes with the other formats; `format: day_month_year` has local dates (small.yaml, "
        "features.app.derive).",
    ),
    (
        [
            ("features.3", DERIVED),
            ("features.4", DERIVED | {"name": "month", "derive": {"part": "month", "format": "epoch_seconds"}}),
        ],
        "the features that are derived from one column have one `format`. Received: epoch_seconds for `month` and iso "
        "for `year`, of the column `time` (small.yaml).",
    ),
    (
        [("features.3", DERIVED), ("evaluation.slices", ["year"])],
        "`evaluation.slices` names `year`, which is derived: each time of `time` would be a slice (small.yaml).",
    ),
    (
        [("features.3", DERIVED), ("evaluation.user", "year")],
        "`evaluation.user` names a categorical feature. Received: 'year'; allowed: ['app'] (small.yaml).",
    ),
    (
        [("features.0.boundaries", [1])],
        "`boundaries` goes with kind numeric only; a categorical feature has `vocabulary` (small.yaml, features.app).",
    ),
    (
        [("features.2.vocabulary", {})],
        "`vocabulary` goes with the categorical kinds only; a numeric feature has `num_quantiles` "
        "(small.yaml, features.price).",
    ),
    (
        [("features.0.num_quantiles", 3)],
        "`num_quantiles` goes with kind numeric only; a categorical feature has `vocabulary` "
        "(small.yaml, features.app).",
    ),
    (
        [("features.0.vocabulary", REMOVED)],
        "`vocabulary` is required for a categorical feature: a rule, or a feature's name (small.yaml, features.app).",
    ),
    (
        [("features.0.vocabulary.min_count", 0)],
        "`min_count` must be at least 1. Received: 0 (small.yaml, features.app.vocabulary.min_count).",
    ),
    (
        [("features.0.vocabulary.mincount", 2)],
        "`mincount` is not a known key (small.yaml, features.app.vocabulary.mincount); "
        f"allowed: {keys_of(Vocabulary)}.",
    ),
    (
        [("features.0.kind", "text")],
        f"`kind` must be one of {', '.join(map(repr, _FIRST_KINDS))} or {_LAST_KIND!r}. Received: 'text' "
        "(small.yaml, features.app.kind).",
    ),
    (
        [("features.0.Side", "item")],
        f"`Side` is not a known key (small.yaml, features.app.Side); allowed: {keys_of(Feature)}.",
    ),
    (
        [("features.0.name", "label")],
        "`name` must not be one of ['fold', 'impression_id', 'label', 'late_label', 'placed_by_chance', 'request_id', "
        "'served_score', 'served_version', 'shares_label', 'span', 'table_key', 'timestamp', 'weight'], which are "
        "reserved. Received: 'label' (small.yaml, features.label.name).",
    ),
    (
        [("features.0.parts", ["tall"])],
        "`parts.0` must be one of 'wide' or 'deep'. Received: 'tall' (small.yaml, features.app.parts.0).",
    ),
    ([("features.0.parts", "deep")], "`parts` must be a list. Received: 'deep' (small.yaml, features.app.parts)."),
    (
        [("features.0.source", "users")],
        "feature `app` has the source `users`, which is none of ['impressions', 'catalog'] (small.yaml).",
    ),
    (
        [("features.1.vocabulary", "price")],
        "feature `installed` shares the vocabulary of `price`, which has no vocabulary rule of its own; "
        "allowed: ['app'] (small.yaml).",
    ),
    (
        [("features.1.name", "app")],
        "`app` is declared twice in features, crosses and count_encodings; each name must be unique (small.yaml).",
    ),
    (
        [("features.0.name", "price_bucket"), ("crosses", []), ("features.1.vocabulary", "price_bucket")],
        "`price_bucket` is the name of price's quantile and cannot be a feature's (small.yaml).",
    ),
    (
        [("crosses.0.features", ["installed", "rating"])],
        "cross `installed_x_rating` names the feature `rating`, which is not declared; "
        "allowed: ['app', 'installed', 'price'] (small.yaml).",
    ),
    (
        [("crosses.0.num_hash_buckets", 9)],
        "a cross has exactly one of `num_hash_buckets` and `min_count` (small.yaml, crosses.0).",
    ),
    (
        [("crosses.0.num_hash_buckets", 9), ("crosses.0.min_count", REMOVED), ("crosses.0.memory_spans", 9)],
        "`memory_spans` goes with `min_count` only (small.yaml, crosses.0).",
    ),
    (
        [("crosses.0.features", ["app"])],
        "`features` must have at least 2 entries. Received: ['app'] (small.yaml, crosses.0.features).",
    ),
    (
        [("crosses.0.features", [c * 100 for c in "abc"])],
        "the name of a cross, made of its features' names, has at most 234 characters, as files are named by it. "
        f"Received: 306, {'a' * 100}_x_{'b' * 100}_x_{'c' * 100} (small.yaml, crosses.0).",
    ),
    (
        [("count_encodings", [{"features": ["a" * 100, "b" * 100, "c" * 20]}])],
        "the name of a count encoding, made of its features' names, has at most 234 characters, as files are named by "
        f"it. Received: 235, count_of_{'a' * 100}_x_{'b' * 100}_x_{'c' * 20} (small.yaml, count_encodings.0).",
    ),
    *(
        (
            [("count_encodings", [{"features": ["app"]}]), ("features.2.name", f"count_of_app_{end}"), ("crosses", [])],
            f"`count_of_app_{end}` is a name of count_of_app's and cannot be a feature's or a cross's (small.yaml).",
        )
        for end in ("key", "share", "rows")
    ),
    (
        [("crosses.0.features", ["app", "app"])],
        "a cross names each feature once. Received: ['app', 'app'] (small.yaml, crosses.0).",
    ),
    (
        [("sources.impressions.path", "/log.csv")],
        f"`path` {PATH_RULE}. Received: '/log.csv' (small.yaml, sources.impressions.path).",
    ),
    ([("sources.impressions.path", "")], f"`path` {PATH_RULE}. Received: '' (small.yaml, sources.impressions.path)."),
    (
        [("sources.impressions.path", REMOVED), ("sources.impressions.splits", {"train": "a", "eval": "../b"})],
        f"`eval` {PATH_RULE}. Received: '../b' (small.yaml, sources.impressions.splits.eval).",
    ),
    (
        [("sources.impressions.splits", {"train": "a", "eval": "b"})],
        "impressions have exactly one of `path` and `splits` (small.yaml, sources.impressions).",
    ),
    (
        [("sources.impressions.path", REMOVED), ("sources.impressions.splits", {"train": "a"})],
        "`splits` names a path for `train` and one for `eval`. Received: ['train'] (small.yaml, sources.impressions).",
    ),
    (
        [("sources.impressions.format", "xml")],
        "`format` must be one of 'csv', 'tsv', 'jsonl', 'parquet', 'tfrecord' or 'serving_log'. Received: 'xml' "
        "(small.yaml, sources.impressions.format).",
    ),
    (
        [("sources.impressions.label", "")],
        "`label` must have at least 1 characters. Received: '' (small.yaml, sources.impressions.label).",
    ),
    (
        [("sources.impressions.weight", 2)],
        "`weight` must be a text. Received: 2 (small.yaml, sources.impressions.weight).",
    ),
    (
        [("sources.impressions.label", REMOVED)],
        "the label comes from exactly one of `impressions.label` and `installs` (small.yaml, sources).",
    ),
    (
        [("sources.installs", INSTALLS)],
        "the label comes from exactly one of `impressions.label` and `installs` (small.yaml, sources).",
    ),
    (
        [("sources.impressions.label", REMOVED), ("sources.installs", INSTALLS)],
        "`installs` needs `impressions.timestamp`, to know which install follows an impression (small.yaml, sources).",
    ),
    (
        [("sources.installs", INSTALLS | {"late_labels": True, "leave_out_unknown_labels": False})],
        "`late_labels` completes what `leave_out_unknown_labels` leaves out: both must be true (small.yaml, "
        "sources.installs).",
    ),
    (
        [("sources.impressions.request_id", REMOVED)],
        "`ingestion.split_by: request_hash` needs `sources.impressions.request_id` (small.yaml).",
    ),
    (
        [("sources.impressions.item_id", "price")],
        "`sources.impressions.item_id` names the column of a categorical item feature of the impressions. Received: "
        "'price'; allowed: ['app'] (small.yaml).",
    ),
    (
        [("sources.tables.catalog.item_key", "price")],
        "`sources.tables.catalog.item_key` names a categorical item feature. Received: 'price'; allowed: ['app'] "
        "(small.yaml).",
    ),
    (
        [("sources.impressions.text", {"delimiter": ',"'})],
        "`delimiter` must be 1 to 10 ASCII characters, none of them a double quote or a line end. Received: ',\"' "
        "(small.yaml, sources.impressions.text.delimiter).",
    ),
    (
        [("sources.impressions.timestamp_format", "%H:%M")],
        "`timestamp_format` must have year, month and day in the directives of Python's strptime, such as %b %d, %Y. "
        "Received: '%H:%M' (small.yaml, sources.impressions.timestamp_format).",
    ),
    (
        [("sources.impressions.text", {"encoding": "utf-16"})],
        "`encoding` must be one of 'utf-8', 'latin-1' or 'windows-1252'. Received: 'utf-16' "
        "(small.yaml, sources.impressions.text.encoding).",
    ),
    (
        [("sources.impressions.text", {"columns": ["a", "b", "a"]})],
        "`text.columns` names each column once. Received twice: ['a'] (small.yaml, sources.impressions.text).",
    ),
    (
        [("sources.tables.catalog.format", "jsonl"), ("sources.tables.catalog.text", {"skip_lines": 1})],
        "`text` goes with the formats csv and tsv only. Received: jsonl (small.yaml, sources.tables.catalog).",
    ),
    (
        [("sources.impressions.label_rule", {"positive": ["yes"], "at_least": 4})],
        "`label_rule` has exactly one of `positive` and `at_least` (small.yaml, sources.impressions.label_rule).",
    ),
    (
        [("sources.impressions.label_rule", {"at_least": 4, "negative": ["no"]})],
        "`label_rule.negative` goes with `positive` only (small.yaml, sources.impressions.label_rule).",
    ),
    (
        [("sources.impressions.label_rule", {"positive": ["yes"], "negative": [" yes"]})],
        "`label_rule` has a value in one of `positive` and `negative` only. Received: ['yes'] "
        "(small.yaml, sources.impressions.label_rule).",
    ),
    (
        [
            ("sources.impressions.label_rule", {"positive": ["yes", " "], "negative": ["no", "? "]}),
            ("sources.impressions.null_values", ["?"]),
        ],
        "`label_rule` must have no empty value and none of `null_values`: a row with one has no label. "
        "Received: [' ', '? '] (small.yaml, sources.impressions).",
    ),
    (
        [("sources.impressions.label_rule", {"positive": [True]})],
        "`positive.0` must be a text. Received: True (small.yaml, sources.impressions.label_rule.positive.0).",
    ),
    (
        [("ingestion.split_by", "time")],
        "`ingestion.split_by: time` needs `sources.impressions.timestamp` (small.yaml).",
    ),
    (
        [("sources.tables.installs", {"path": "i", "format": "csv"})],
        "a table must not be called 'installs' (small.yaml, sources).",
    ),
    (
        [("sources.tables.Apps", {"path": "i", "format": "csv"})],
        "`Apps` must match the pattern ^[a-z][a-z0-9_]*$. Received: 'Apps' (small.yaml, sources.tables.Apps).",
    ),
    (
        [("drift", {"max_divergence": {"city": 0.1}})],
        "`drift.max_divergence` names `city`, which is none of ['label', 'app', 'installed', 'price'] (small.yaml).",
    ),
    (
        [("model.hidden_units", [10, 0])],
        "`hidden_units.1` must be at least 1. Received: 0 (small.yaml, model.hidden_units.1).",
    ),
    ([("model.dropout", 1)], "`dropout` must be less than 1.0. Received: 1 (small.yaml, model.dropout)."),
    (
        [("model.parts", "deep"), *((f"features.{i}.parts", ["wide"]) for i in range(3))],
        "`model.parts: deep`, but no feature is in the deep part (small.yaml).",
    ),
    (
        [("training.learning_rate", 0.1)],
        f"`learning_rate` is not a known key (small.yaml, training.learning_rate); allowed: {keys_of(Training)}.",
    ),
    (
        [("training.wide_optimizer", {"l1": -1})],
        "`l1` must be at least 0.0. Received: -1 (small.yaml, training.wide_optimizer.l1).",
    ),
    (
        [("training.wide_optimizer", {"learning_rate_power": 0.5})],
        "`learning_rate_power` must be at most 0.0. Received: 0.5 "
        "(small.yaml, training.wide_optimizer.learning_rate_power).",
    ),
    ([("training", [1])], "`training` must be a mapping of keys. Received: [1] (small.yaml, training)."),
    (
        [("tuning", {})],
        "`ranges` is required (small.yaml, tuning.ranges).",
    ),
    (
        [("tuning.ranges", {"model.dropout": {"min": 0, "max": 1}})],
        "`tuning.ranges.model.dropout` must be less than 1.0. Received: 1.0 (small.yaml).",
    ),
    (
        [("tuning.ranges", {"model.hidden_units": {"choices": [[8], [8, 0]]}})],
        "`tuning.ranges.model.hidden_units` must be at least 1. Received: 0 (small.yaml).",
    ),
    (
        [("tuning.ranges", {"model.hidden_units": {"min": 8, "max": 16}})],
        "`tuning.ranges.model.hidden_units` must have `choices`, as it is no number (small.yaml).",
    ),
    (
        [("tuning.ranges", {"training.warm_start": {"min": 0, "max": 1}})],
        "`tuning.ranges.training.warm_start` must have `choices`, as it is no number (small.yaml).",
    ),
    (
        [("tuning.ranges", {"training.patience": {"min": 1, "max": 2.5}})],
        "`tuning.ranges.training.patience`: input should be a valid integer, got a number with a fractional part. "
        "Received: 2.5 (small.yaml).",
    ),
    (
        [("tuning.ranges", {"training.wide_optimizer.l3": {"min": 0, "max": 1}})],
        "`tuning.ranges.training.wide_optimizer.l3` is no setting: `training.wide_optimizer` has ['beta', "
        "'initial_accumulator', 'l1', 'l2', 'learning_rate', 'learning_rate_power'] (small.yaml).",
    ),
    (
        [("tuning.ranges", {"training.seed.x": {"min": 0, "max": 1}})],
        "`tuning.ranges.training.seed.x` is no setting: `training.seed` has nothing in it (small.yaml).",
    ),
    (
        [("tuning.ranges", {"training.wide_optimizer": {"choices": [{}]}})],
        "`tuning.ranges.training.wide_optimizer` is no setting, but has some: ['beta', 'initial_accumulator', 'l1', "
        "'l2', 'learning_rate', 'learning_rate_power'] (small.yaml).",
    ),
    (
        [("tuning.ranges", {"ingestion.eval_fraction": {"min": 0.1, "max": 0.2}})],
        r"`ingestion.eval_fraction` must match the pattern ^(model|training)(\.[a-z][a-z0-9_]*)+$. Received: "
        "'ingestion.eval_fraction' (small.yaml, tuning.ranges.ingestion.eval_fraction).",
    ),
    (
        [("tuning.ranges", {"model.dropout": {"min": 0.1}})],
        "a range has `min` and `max`, or `choices` (small.yaml, tuning.ranges.model.dropout).",
    ),
    (
        [("tuning.ranges", {"model.dropout": {"min": 0.2, "max": 0.1}})],
        "`min` must be below `max`. Received: 0.2 and 0.1 (small.yaml, tuning.ranges.model.dropout).",
    ),
    (
        [("tuning.ranges", {"model.dropout": {"min": 0, "max": 0.1, "scale": "log"}})],
        "`scale: log` needs a `min` above 0. Received: 0.0 (small.yaml, tuning.ranges.model.dropout).",
    ),
    (
        [("tuning.ranges", {"model.dropout": {"choices": [0.1], "max": 0.2}})],
        "`choices` goes without `min`, `max` and `scale` (small.yaml, tuning.ranges.model.dropout).",
    ),
    (
        [("ingestion.eval_fraction", 0)],
        "`eval_fraction` must be greater than 0.0. Received: 0 (small.yaml, ingestion.eval_fraction).",
    ),
    (
        [("infra_validation.num_requests", 1)],
        "`num_requests` must be at least 2. Received: 1 (small.yaml, infra_validation.num_requests).",
    ),
    (
        [("infra_validation.max_latency_ratio", 0.5)],
        "`max_latency_ratio` must be at least 1.0. Received: 0.5 (small.yaml, infra_validation.max_latency_ratio).",
    ),
    ([("skew.num_rows", 0)], "`num_rows` must be at least 1. Received: 0 (small.yaml, skew.num_rows)."),
    (
        [("push.num_kept_versions", 0)],
        "`num_kept_versions` must be at least 1. Received: 0 (small.yaml, push.num_kept_versions).",
    ),
    (
        [("features.3", PLACED)],
        "feature `position` has `at_serving`, which needs `sources.impressions.randomized` or `propensity`: only "
        "impressions that were placed by chance tell a position's effect from the items' relevance (small.yaml).",
    ),
    (
        [("features.3", PLACED | {"at_serving": {"method": "weights"}}), RANDOMIZED],
        "feature `position` has `at_serving.method: weights`, which needs `sources.impressions.propensity` "
        "(small.yaml).",
    ),
    (
        [RANDOMIZED, ("sources.impressions.propensity", "p")],
        "impressions have at most one of `randomized` and `propensity` (small.yaml, sources.impressions).",
    ),
    (
        [("features.3", PLACED | {"at_serving": {}}), RANDOMIZED],
        "`at_serving` with `method: tower` needs `fixed`. Received: None (small.yaml, features.position.at_serving).",
    ),
    (
        [("features.3", PLACED | {"at_serving": {"method": "weights", "fixed": 1}}), RANDOMIZED],
        "`at_serving` with `method: weights` goes without `fixed`. Received: 1.0 (small.yaml, "
        "features.position.at_serving).",
    ),
    (
        [("features.3", PLACED | {"at_serving": {"fixed": "1"}}), RANDOMIZED],
        "`at_serving.fixed` must be a number for a numeric feature. Received: '1' (small.yaml, features.position).",
    ),
    (
        [("features.0.at_serving", {"fixed": 1}), RANDOMIZED],
        "`at_serving.fixed` must be a text, in quotes, for a categorical feature. Received: 1.0 (small.yaml, "
        "features.app).",
    ),
    (
        [("features.3", PLACED | {"side": "context"}), RANDOMIZED],
        "`at_serving` goes with `side: item` and the source `impressions`, where each candidate has its own. "
        "Received: side context, source impressions (small.yaml, features.position).",
    ),
    (
        [("features.3", PLACED | {"parts": ["wide"]}), RANDOMIZED],
        "`at_serving` goes without `parts` and `derive`: the feature enters by a part of its own (small.yaml, "
        "features.position).",
    ),
    (
        [("features.3", {**PLACED, "num_quantiles": 4, "boundaries": None}), RANDOMIZED],
        "`at_serving` of a numeric feature needs `boundaries`: each bucket has its own effect (small.yaml, "
        "features.position).",
    ),
    (
        [("features.1.at_serving", {"fixed": "a"}), RANDOMIZED],
        "`at_serving` goes with the kinds categorical and numeric only, with one value a row. Received: "
        "categorical_list (small.yaml, features.installed).",
    ),
    (
        [("features.3", PLACED), ("features.4", PLACED | {"name": "slot"}), RANDOMIZED],
        "at most one feature has `at_serving`. Received: ['position', 'slot'] (small.yaml).",
    ),
    (
        [("features.3", PLACED), ("crosses.0.features", ["app", "position"]), RANDOMIZED],
        "cross `app_x_position` names the feature `position`, which has `at_serving`: no request has it (small.yaml).",
    ),
    (
        [("features.3", PLACED | {"at_serving": {"fixed": 1, "dropout": 1}}), RANDOMIZED],
        "`dropout` must be less than 1.0. Received: 1 (small.yaml, features.position.at_serving.dropout).",
    ),
]
