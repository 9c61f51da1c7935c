"""Values of tuned settings, set in a config."""

from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from tests.transform.small_config import small_config
from transform.config.config import Config
from transform.config.tuning import number_type, with_values


def test_values_are_put_in_their_places_and_nothing_else_changes() -> None:
    config = small_config(("training.deep_optimizer", {"name": "adam"}))
    values = {"model.hidden_units": [7, 5], "training.deep_optimizer.learning_rate": 0.25, "training.patience": 3}
    changed = with_values(config, values)
    assert (changed.model.hidden_units, changed.training.patience) == ((7, 5), 3)
    assert changed.training.deep_optimizer == dataclasses.replace(config.training.deep_optimizer, learning_rate=0.25)
    back = {
        "model.hidden_units": config.model.hidden_units,
        "training.deep_optimizer.learning_rate": config.training.deep_optimizer.learning_rate,
        "training.patience": None,
    }
    assert with_values(changed, back) == config
    assert with_values(config, {}) == config


@pytest.mark.parametrize("places", [["patience", "validation_fraction"], ["validation_fraction", "patience"]])
def test_values_are_judged_together_in_any_order(places: list[str]) -> None:
    # A validation fraction goes without `patience: 0`.
    config = small_config(("training", {"num_epochs": 10, "patience": 0, "validation_fraction": 0.0}))
    together = {"patience": 2, "validation_fraction": 0.125}
    changed = with_values(config, {f"training.{place}": together[place] for place in places})
    assert (changed.training.patience, changed.training.validation_fraction) == (2, 0.125)


def test_a_value_that_a_setting_does_not_take_is_refused() -> None:
    with pytest.raises(ValidationError, match="less than 1"):
        with_values(small_config(), {"model.dropout": 1.0})


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("model.dropout", float),
        ("model.embedding_dim_factor", float),
        ("training.deep_optimizer.learning_rate", float),
        ("training.num_epochs", int),
        ("training.patience", int),
        ("model.hidden_units", None),
        ("model.batch_norm", None),
        ("model.parts", None),
    ],
)
def test_what_numbers_a_setting_takes(place: str, expected: type | None) -> None:
    assert number_type(small_config(), place) is expected


def test_a_config_with_ranges_survives_its_json() -> None:
    ranges = {
        "model.hidden_units": {"choices": [[8, 4], [16]]},
        "training.patience": {"choices": [None, 2]},
        "training.deep_optimizer.learning_rate": {"min": 0.001, "max": 0.1, "scale": "log"},
    }
    config = small_config(("tuning", {"ranges": ranges, "search": "random"}))
    assert config.tuning is not None
    assert Config.from_json(config.to_json()) == config
