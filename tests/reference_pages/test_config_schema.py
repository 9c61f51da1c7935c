"""`configs/schema.json`, by which editors check a config: it is up to date, and it knows good configs from bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.reference_pages.config_keys import SCHEMA, json_schema, schema_text
from tests.reference_pages.tutorial_configs import TUTORIAL_PAGE, yaml_examples

CONFIGS = sorted(SCHEMA.parent.rglob("*.yaml"))
VALIDATOR = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))


def errors(document: Any) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(document)]


def app_store() -> Any:
    return yaml.safe_load((SCHEMA.parent / "app_store.yaml").read_text(encoding="utf-8"))


def test_the_schema_is_what_the_generator_writes() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `python -m tests.reference_pages --write`"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_names_the_schema_and_follows_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    line = text.partition("\n")[0]
    assert line.startswith("# yaml-language-server: $schema=")
    assert (path.parent / line.partition("=")[2]).resolve() == SCHEMA
    # To the language server a date is a text, as in YAML 1.2.
    assert errors(json.loads(json.dumps(yaml.safe_load(text), default=str))) == []


def test_the_configs_of_the_tutorial_follow_it() -> None:
    assert [errors(example) for example in yaml_examples()] == [[]] * 4, TUTORIAL_PAGE


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ([], "modell"),
        (["sources"], "instals"),
        (["sources", "tables", "catalog"], "kee"),
        (["features", 0], "knd"),
        (["features", 0, "vocabulary"], "min_counts"),
        (["crosses", 0], "hash_buckets"),
        (["model"], "drop_out"),
        (["training", "deep_optimizer"], "learning-rate"),
        (["evaluation", "thresholds"], "aucc"),
        (["evaluation", "thresholds", "auc"], "minimum"),
        (["drift", "max_divergence"], "Label"),
    ],
    ids=str,
)
def test_a_misspelt_key_does_not_follow_it(section: list[str | int], key: str) -> None:
    document = app_store()
    node = document
    for name in section:
        node = node[name]
    node[key] = 0.1
    found = errors(document)
    assert len(found) == 1
    assert key in found[0]


def test_a_key_that_is_missing_and_a_value_out_of_bounds_do_not_follow_it() -> None:
    document = app_store()
    del document["features"][0]["kind"]
    document["model"]["dropout"] = 1
    assert len(errors(document)) == 2


def test_every_key_has_a_description() -> None:
    bare = [
        (name, key)
        for name, node in definitions().items()
        for key, value in node["properties"].items()
        if not value.get("description") and "$ref" not in value
    ]
    assert bare == []


def definitions() -> dict[str, Any]:
    schema = json_schema()
    return {"": schema, **schema["$defs"]}
