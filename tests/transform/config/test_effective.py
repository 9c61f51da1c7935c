"""The effective config: one default for each key, whichever other keys are written."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.transform.small_config import FILE, small_config, small_raw
from trainer.optimizers import DEEP_OPTIMIZERS
from trainer.training_size import sized
from transform.config import component_configs
from transform.config.config import Config
from transform.config.config_file import load_config, parse_config
from transform.config.effective import DEEP_LEARNING_RATES, FOLLOWS, effective, effective_training, effective_yaml
from transform.config.settings import DeepOptimizer, Ftrl, Model, Training
from transform.config.tuning import value_at, with_values

CONFIGS = Path(__file__).parents[3] / "configs"
SCHEMA = json.loads((CONFIGS / "schema.json").read_text(encoding="utf-8"))
PAGE = (CONFIGS.parent / "docs" / "reference" / "config.md").read_text(encoding="utf-8")

#: With a section of everything that the defaults once depended on.
PARTIAL = {"model": {"embedding_dim": 16}, "training": {"wide_optimizer": {"l1": 1e-6}, "num_epochs": 5}}


def documented(node: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each key of a schema's sections that has a default, or is a section without required keys: place and default."""
    if "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for name, child in node["properties"].items():
        if "$ref" in child:
            yield from documented(child, (*place, name))
            if not SCHEMA["$defs"][child["$ref"].rsplit("/", 1)[1]].get("required"):
                yield (*place, name), {}
        elif "default" in child:
            yield (*place, name), child["default"]


DOCUMENTED = dict(documented(SCHEMA))


def with_key(raw: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of a config's keys with one key more, unless it is there."""
    *way, last = place
    node = found = copy.deepcopy(raw)
    for name in way:
        node = node.setdefault(name, {})
    node.setdefault(last, value)
    return found


def bytes_of(raw: dict[str, Any]) -> str:
    return _bytes_of(json.dumps(raw))


@functools.cache  # the same config is compared with one for each key
def _bytes_of(raw: str) -> str:
    config = parse_config(json.loads(raw), FILE)
    return effective_yaml(config) + component_configs.recipe(config) + component_configs.for_push(config).to_json()


@pytest.mark.parametrize("place", DOCUMENTED, ids=".".join)
def test_a_key_written_with_its_documented_default_changes_nothing(place: tuple[str, ...]) -> None:
    for sections in ({}, PARTIAL, {"training": {"deep_optimizer": {"name": "adagrad"}}}):
        raw = small_raw() | sections
        assert bytes_of(with_key(raw, place, DOCUMENTED[place])) == bytes_of(raw)


def test_the_schema_has_the_keys_on_which_the_property_is_tested() -> None:
    assert {("model", "dropout"), ("training", "patience"), ("training", "deep_optimizer", "name")} < DOCUMENTED.keys()
    assert len(DOCUMENTED) > 90


@pytest.mark.parametrize("sections", [{}, PARTIAL])
@pytest.mark.parametrize("place", FOLLOWS)
def test_an_effective_value_written_changes_nothing(sections: dict[str, Any], place: str) -> None:
    raw = small_raw() | sections
    value = value_at(effective(parse_config(raw, FILE)), place)
    assert bytes_of(with_key(raw, tuple(place.split(".")), value)) == bytes_of(raw)


def test_null_stays_only_where_a_value_follows_from_the_number_of_examples() -> None:
    nulls = {place for place in FOLLOWS if value_at(effective(small_config()), place) is None}
    counted = {"training.batch_size", "training.num_epochs", "training.wide_optimizer.initial_accumulator"}
    assert nulls == counted
    whole = sized(Training(), 10_000)
    assert [p for p in FOLLOWS if value_at(whole, p.removeprefix("training.")) is None] == []


@pytest.mark.parametrize(
    ("training", "has_counts", "expected"),
    [
        (Training(), False, (2, 1 / 8, 0.001)),
        (Training(num_epochs=5), False, (2, 1 / 8, 0.001)),
        (Training(num_epochs=1, patience=3, validation_fraction=0.25), False, (0, 0.0, 0.001)),
        (Training(patience=0), False, (0, 0.0, 0.001)),
        (Training(patience=4), True, (4, 0.0, 0.001)),
        (Training(validation_fraction=0), False, (2, 0.0, 0.001)),
        (Training(deep_optimizer=DeepOptimizer(name="adagrad")), False, (2, 1 / 8, 0.05)),
        (Training(deep_optimizer=DeepOptimizer(schedule="cosine")), False, (2, 1 / 8, 0.001)),
        (Training(deep_optimizer=DeepOptimizer(learning_rate=0.3)), False, (2, 1 / 8, 0.3)),
    ],
)
def test_what_follows_from_other_keys(training: Training, has_counts: bool, expected: tuple[int, float, float]) -> None:
    found = effective_training(training, has_counts)
    assert (found.patience, found.validation_fraction, found.deep_optimizer.learning_rate) == expected
    assert effective_training(found, has_counts) == found


def test_a_section_that_is_named_keeps_the_defaults_of_its_other_keys() -> None:
    config = parse_config(small_raw() | PARTIAL, FILE)
    assert config.model == Model(embedding_dim=16, hidden_units=(256, 128, 64), dropout=0.2)
    assert config.training.wide_optimizer == Ftrl(learning_rate=0.1, l1=1e-6, initial_accumulator=None)


def test_each_optimizer_has_a_rate_in_the_documented_table() -> None:
    assert DEEP_LEARNING_RATES.keys() == DEEP_OPTIMIZERS.keys()
    for place, rule in FOLLOWS.items():
        assert f"| `{place}` | {rule} |" in PAGE


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_effective_config_reads_as_the_same_config(path: Path) -> None:
    config = load_config(path)
    text = effective_yaml(config)
    again = parse_config(yaml.safe_load(text), "effective.yaml")
    assert again == effective(config)
    assert effective_yaml(again) == text


def test_beside_each_null_that_follows_from_the_number_of_examples_is_its_rule() -> None:
    lines = effective_yaml(small_config()).splitlines()
    rule = "the power of two from 64 to 1,024 with which an epoch has 75 to 150 steps"
    assert f"  batch_size: null  # {rule}" in lines
    assert "    initial_accumulator: null  # (1 / `batch_size`)²" in lines
    assert lines[0] == "name: small"


def test_the_tuners_result_copied_into_the_config_is_the_same_training() -> None:
    tuned = {"model.dropout": 0.1, "training.deep_optimizer.name": "adagrad", "training.wide_optimizer.l1": 0.001}
    by_tuner = with_values(component_configs.for_trainer(small_config()), tuned)
    copied = component_configs.for_trainer(small_config(*tuned.items()))
    assert effective(by_tuner) == effective(copied)
    assert effective(by_tuner).training.deep_optimizer.learning_rate == 0.05


def test_what_follows_from_a_tuned_setting_stays_null() -> None:
    ranges = {
        "training.patience": {"choices": [0, 2]},
        "training.deep_optimizer.name": {"choices": ["adagrad", "adam"]},
    }
    found = component_configs.for_push(small_config(("tuning.ranges", ranges))).training
    assert (found.patience, found.validation_fraction, found.deep_optimizer.learning_rate) == (2, None, None)


@pytest.mark.parametrize("name", ["5_tuning", "6_airflow"])
def test_the_ranges_of_the_examples_include_the_defaults(name: str) -> None:
    config = load_config(CONFIGS / "examples" / f"{name}.yaml")
    assert config.tuning is not None
    for place, tried in config.tuning.ranges.items():
        default = value_at(effective(small_config()), place)
        if tried.choices is None:
            assert tried.min <= default <= tried.max
        else:
            assert list(default) in tried.choices


def earlier_json(**training: Any) -> str:
    """A config's JSON as releases before `schema_version` 2 wrote it, with some settings of the training."""
    plain = json.loads(small_config().to_json())
    del plain["schema_version"]
    plain["training"] |= training
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ({"num_epochs": 5, "patience": None, "validation_fraction": None}, (0, 0.0)),
        ({"num_epochs": 5, "patience": 3, "validation_fraction": None}, (3, 0.0)),
        ({"num_epochs": 5, "patience": 3, "validation_fraction": 0.25}, (3, 0.25)),
        ({"num_epochs": None, "patience": None, "validation_fraction": None}, (2, 1 / 8)),
    ],
)
def test_the_config_of_an_earlier_version_means_what_it_meant(
    training: dict[str, Any], expected: tuple[int, float]
) -> None:
    found = effective(Config.from_json(earlier_json(**training))).training
    assert (found.patience, found.validation_fraction) == expected


def test_what_an_earlier_version_monitored_stays() -> None:
    """All keys of all versions since 0.2.0 are written out, with what was then the default."""
    assert effective(Config.from_json(earlier_json(monitor="auc"))).training.monitor == "auc"
    assert effective(small_config()).training.monitor == "logloss"
    assert "  monitor: logloss\n" in effective_yaml(small_config())


def test_the_config_of_0_2_0_that_lacks_a_key_means_what_it_meant() -> None:
    plain = json.loads(earlier_json(num_epochs=5, patience=3))
    del plain["training"]["validation_fraction"]
    assert Config.from_json(json.dumps(plain)).training.validation_fraction == 0.0
    with pytest.raises(ValueError, match=r"must be 1 or 2\. Received: 3"):
        Config.from_json(json.dumps(plain | {"schema_version": 3}))
