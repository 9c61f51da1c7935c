"""Every mistake in a config is told in one sentence; a config survives its JSON; columns follow from features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.transform.small_config import FILE, REMOVED, changed, small_config
from transform.config import MAX_CONFIG_BYTES, Column, Config, load_config, parse_config
from transform.errors import ConfigError

ROOT = Path(__file__).parents[2]
PATH_RULE = "must be a path below the data folder, without a leading `/` and without `..`"
TOP_KEYS = (
    "['crosses', 'evaluation', 'features', 'infra_validation', 'ingestion', 'model', 'name', 'sources', 'training']"
)
FEATURE_KEYS = (
    "['column', 'kind', 'min_present_fraction', 'name', 'parts', 'quantiles', 'required', 'side', 'source', "
    "'vocabulary']"
)
TRAINING_KEYS = (
    "['batch_size', 'deep_optimizer', 'num_epochs', 'patience', 'seed', 'shuffle_buffer', 'warm_start', "
    "'wide_optimizer']"
)
INSTALLS = {"path": "installs.csv", "format": "csv"}

MISTAKES: list[tuple[list[tuple[str, Any]], str]] = [
    ([("name", REMOVED)], "`name` is required (small.yaml, name)."),
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
        [("features.2.quantiles", 0)],
        "`quantiles` must be at least 2. Received: 0 (small.yaml, features.price.quantiles).",
    ),
    (
        [("features.2.quantiles", 10_001)],
        "`quantiles` must be at most 10000. Received: 10001 (small.yaml, features.price.quantiles).",
    ),
    (
        [("features.2.quantiles", REMOVED)],
        "`quantiles` is required for a numeric feature; allowed: 2 to 10000 (small.yaml, features.price).",
    ),
    (
        [("features.2.vocabulary", {})],
        "`vocabulary` goes with the categorical kinds only; a numeric feature has `quantiles` "
        "(small.yaml, features.price).",
    ),
    (
        [("features.0.quantiles", 3)],
        "`quantiles` goes with kind numeric only; a categorical feature has `vocabulary` (small.yaml, features.app).",
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
        "allowed: ['max_size', 'min_count', 'oov_buckets'].",
    ),
    (
        [("features.0.kind", "text")],
        "`kind` must be one of 'categorical', 'categorical_list' or 'numeric'. Received: 'text' "
        "(small.yaml, features.app.kind).",
    ),
    (
        [("features.0.Side", "item")],
        f"`Side` is not a known key (small.yaml, features.app.Side); allowed: {FEATURE_KEYS}.",
    ),
    (
        [("features.0.name", "label")],
        "`name` must not be one of ['impression_id', 'label', 'request_id', 'table_key', 'timestamp'], which are "
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
        "`app` is declared twice in features and crosses; each name must be unique (small.yaml).",
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
        [("crosses.0.hash_buckets", 9)],
        "a cross has exactly one of `hash_buckets` and `min_count` (small.yaml, crosses.0).",
    ),
    (
        [("crosses.0.features", ["app"])],
        "`features` must have at least 2 entries. Received: ['app'] (small.yaml, crosses.0.features).",
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
        "`format` must be one of 'csv', 'tsv', 'jsonl', 'parquet' or 'tfrecord'. Received: 'xml' "
        "(small.yaml, sources.impressions.format).",
    ),
    (
        [("sources.impressions.label", "")],
        "`label` must have at least 1 characters. Received: '' (small.yaml, sources.impressions.label).",
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
        [("sources.impressions.request_id", REMOVED)],
        "`ingestion.split_by: request_hash` needs `sources.impressions.request_id` (small.yaml).",
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
        [("evaluation.thresholds", {})],
        "`thresholds` must have at least 1 entries. Received: {} (small.yaml, evaluation.thresholds).",
    ),
    (
        [("evaluation.thresholds.f1", {"min": 0.5})],
        "`f1` must be one of 'auc', 'logloss' or 'calibration'. Received: 'f1' (small.yaml, evaluation.thresholds.f1).",
    ),
    (
        [("evaluation.thresholds.auc", {"max_worsening": 0.1})],
        "a threshold has `min`, `max` or both: `max_worsening` alone would pass any first model "
        "(small.yaml, evaluation.thresholds.auc).",
    ),
    (
        [("evaluation.thresholds.auc", {"min": 0.9, "max": 0.1})],
        "`min` must not be above `max`. Received: 0.9 and 0.1 (small.yaml, evaluation.thresholds.auc).",
    ),
    (
        [("evaluation.thresholds.auc.min", float("nan"))],
        "`min` input should be a finite number. Received: nan (small.yaml, evaluation.thresholds.auc.min).",
    ),
    (
        [("evaluation.slices", ["city"])],
        "`evaluation.slices` names `city`, which is none of ['app', 'installed', 'price'] (small.yaml).",
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
        f"`learning_rate` is not a known key (small.yaml, training.learning_rate); allowed: {TRAINING_KEYS}.",
    ),
    (
        [("training.wide_optimizer", {"l1": -1})],
        "`l1` must be at least 0.0. Received: -1 (small.yaml, training.wide_optimizer.l1).",
    ),
    ([("training", [1])], "`training` must be a mapping of keys. Received: [1] (small.yaml, training)."),
    (
        [("ingestion.eval_fraction", 0)],
        "`eval_fraction` must be greater than 0.0. Received: 0 (small.yaml, ingestion.eval_fraction).",
    ),
    (
        [("infra_validation.num_requests", 1)],
        "`num_requests` must be at least 2. Received: 1 (small.yaml, infra_validation.num_requests).",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), MISTAKES, ids=[str(m[0])[:60] for m in MISTAKES])
def test_a_mistake_is_told_in_one_sentence(changes: list[tuple[str, Any]], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(*changes), FILE)
    assert str(caught.value) == sentence


def test_two_mistakes_are_told_in_a_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        small_config(("model.dropout", 2), ("model.embedding_dim", 0))
    assert str(caught.value).splitlines() == [
        "`embedding_dim` must be at least 1. Received: 0 (small.yaml, model.embedding_dim).",
        "`dropout` must be less than 1.0. Received: 2 (small.yaml, model.dropout).",
    ]


def test_after_five_mistakes_the_rest_is_counted() -> None:
    with pytest.raises(ConfigError) as caught:
        small_config(*((f"model.key{i}", i) for i in range(8)))
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0] for line in lines[:5]] == [f"`key{i}`" for i in range(5)]
    assert lines[5:] == ["and 3 more mistakes."]


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"name: a\nname: b\n",
            "the config is not valid YAML: the key 'name' stands twice in \"<unicode string>\", "
            "line 1, column 1: name: a ^ ({path})",
        ),
        (b"name: \xff\n", "a config must be UTF-8 text: invalid start byte at byte 6 ({path})"),
        (b"", "a config must be a mapping of keys. Received: NoneType ({path})"),
        (b"- a\n", "a config must be a mapping of keys. Received: list ({path})"),
        (b"name: 2026-13-45\n", "the config is not valid YAML: month must be in 1..12 ({path})"),
        (b"[" * 5000, "the config is nested too deeply ({path})"),
        (
            b"#" * (MAX_CONFIG_BYTES + 1),
            f"a config has at most {MAX_CONFIG_BYTES} bytes. Received: {MAX_CONFIG_BYTES + 1} ({{path}})",
        ),
    ],
    ids=["key twice", "not UTF-8", "empty", "list", "no such date", "nested", "too large"],
)
def test_a_file_that_is_no_config_is_told_in_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == sentence.format(path=path)


def test_a_tag_that_would_run_code_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(ConfigError, match="could not determine a constructor for the tag"):
        load_config(write(tmp_path, f"name: !!python/object/apply:os.mkdir [{target}]\n".encode()))
    assert not target.exists()


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"the config cannot be read: No such file or directory ({path})"


def test_yaml_merge_keys_work(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            b"""
name: merged
sources: {impressions: {path: a.csv, format: csv, label: y, request_id: r}}
features:
  - &base {name: a, side: item, kind: categorical, vocabulary: {min_count: 3}}
  - {<<: *base, name: b}
evaluation: {thresholds: {auc: {min: 0.5}}}
""",
        )
    )
    assert [(f.name, f.side, f.vocabulary) for f in config.spec.features] == [
        (name, "item", config.spec.by_name["a"].vocabulary) for name in ("a", "b")
    ]


@pytest.mark.parametrize(("name", "features", "crosses"), [("app_store", 18, 5), ("frappe", 16, 0)])
def test_the_shipped_configs_load(name: str, features: int, crosses: int) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    assert (config.name, len(config.spec.features), len(config.spec.crosses)) == (name, features, crosses)


@pytest.mark.parametrize("name", ["app_store", "frappe"])
def test_a_config_survives_its_json(name: str) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    assert config.columns and config.spec.by_name  # what is cached on the config must not get into its JSON
    text = config.to_json()
    again = Config.from_json(text)
    assert again == config
    assert again.to_json() == text


def test_columns_follow_from_the_sources_and_features() -> None:
    config = small_config(
        ("sources.impressions.label", REMOVED),
        ("sources.impressions.timestamp", "time"),
        ("sources.impressions.impression_id", "id"),
        ("sources.installs", {**INSTALLS, "keys": ["user", "app"], "timestamp": "at"}),
        ("sources.tables.catalog.key", "package"),
        ("sources.tables.catalog.impression_key", "app"),
        ("features.1.column", "apps"),
        ("features.2.required", True),
    )
    assert config.columns == {
        "impressions": (
            Column("id", "string", True),
            Column("request", "string", True),
            Column("time", "timestamp", True),
            Column("app", "string", True),  # the catalog's key, an install's key and a feature: read once
            Column("user", "string", True),
            Column("apps", "list", False),
        ),
        "catalog": (Column("package", "string", True), Column("price", "float", True)),
        "installs": (
            Column("user", "string", True),
            Column("app", "string", True),
            Column("at", "timestamp", True),
        ),
    }


def test_a_column_of_two_kinds_is_read_twice() -> None:
    config = small_config(("sources.impressions.timestamp", "price"), ("features.2.source", "impressions"))
    assert Column("price", "timestamp", True) in config.columns["impressions"]
    assert Column("price", "float", False) in config.columns["impressions"]


def test_features_of_a_source() -> None:
    config = small_config()
    assert [f.name for f in config.features_of("catalog")] == ["price"]
    assert [f.name for f in config.features_of("impressions")] == ["app", "installed"]
