"""Every mistake in a config gives one sentence; a config survives its JSON; columns are derived from features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.transform.config.config_mistakes import INSTALLS, MISTAKES
from tests.transform.config.evaluation_mistakes import EVALUATION_MISTAKES
from tests.transform.small_config import FILE, REMOVED, changed, small_config
from transform.config.columns import Column
from transform.config.config import Config
from transform.config.config_file import load_config, parse_config
from transform.config.sources import LabelRule
from transform.errors import ConfigError

ROOT = Path(__file__).parents[3]


ALL_MISTAKES = [*MISTAKES, *EVALUATION_MISTAKES]


@pytest.mark.parametrize(("changes", "sentence"), ALL_MISTAKES, ids=[str(m[0])[:60] for m in ALL_MISTAKES])
def test_a_mistake_is_told_in_one_sentence(changes: list[tuple[str, Any]], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(*changes), FILE)
    assert str(caught.value) == sentence


def test_values_of_the_label_rule_differ_as_ingestion_trims_them() -> None:
    rule = {"positive": ["yes"], "negative": ["\u00a0yes"]}  # ingestion keeps a space that is not an ASCII one
    config = small_config(("sources.impressions.label_rule", rule))
    assert config.sources.impressions.label_rule == LabelRule(positive=("yes",), negative=("\u00a0yes",))


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


@pytest.mark.parametrize(("name", "features", "crosses"), [("app_store", 18, 5), ("frappe", 16, 0)])
def test_the_shipped_configs_load(name: str, features: int, crosses: int) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    assert (config.name, len(config.spec.features), len(config.spec.crosses)) == (name, features, crosses)


@pytest.mark.parametrize("name", ["app_store", "frappe"])
def test_a_config_survives_its_json(name: str) -> None:
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    # Cached properties of the config must not enter its JSON.
    assert config.columns
    assert config.spec.by_name
    text = config.to_json()
    again = Config.from_json(text)
    assert again == config
    assert again.to_json() == text


def test_columns_follow_from_the_sources_and_features() -> None:
    config = small_config(
        ("sources.impressions.label", REMOVED),
        ("sources.impressions.weight", "importance"),
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
            Column("importance", "weight", True),
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


def test_a_column_is_trimmed_unless_a_feature_of_it_says_that_its_spaces_count() -> None:
    log = small_config(("features.0.trim", False)).columns["impressions"]
    assert {c.name: c.trim for c in log if c.kind in ("string", "list")} == {
        "request": True, "app": False, "installed": True,
    }  # fmt: skip


def test_a_column_of_two_kinds_is_read_twice() -> None:
    config = small_config(("sources.impressions.timestamp", "price"), ("features.2.source", "impressions"))
    assert Column("price", "timestamp", True) in config.columns["impressions"]
    assert Column("price", "float", False) in config.columns["impressions"]


def test_a_list_of_one_hot_columns_reads_each_of_them() -> None:
    changes = [("features.1.one_hot", ["b", "a"]), ("features.1.required", True), ("features.0.column", "a")]
    config = small_config(*changes)
    (genres,) = (column for column in config.columns["impressions"] if column.kind == "one_hot")
    assert (genres.name, genres.required, genres.names) == ("installed", True, ("b", "a"))
    assert genres.flags == (Column("b", "flag", False), Column("a", "flag", False))
    assert Column("a", "string", False) in config.columns["impressions"]
    assert Config.from_json(config.to_json()) == config


def test_features_of_a_source() -> None:
    config = small_config()
    assert [f.name for f in config.features_of("catalog")] == ["price"]
    assert [f.name for f in config.features_of("impressions")] == ["app", "installed"]


@pytest.mark.parametrize(
    ("sections", "user"),
    [
        ({}, "user_id"),  # the context feature by which installs are joined
        ({"user": "country"}, "country"),
        ({"gauc_by": "language"}, "language"),
        ({"gauc_by": "language", "user": "country"}, "country"),
    ],
)
def test_the_user_is_named_or_what_installs_are_joined_by(sections: dict[str, str], user: str) -> None:
    raw = yaml.safe_load((ROOT / "configs" / "app_store.yaml").read_text())
    del raw["evaluation"]["user"]
    raw["evaluation"] |= sections
    for feature in raw["features"]:
        feature["required"] = True
    assert parse_config(raw, "app_store.yaml").user == user


def test_without_installs_no_feature_is_taken_for_the_user() -> None:
    assert small_config().user is None
