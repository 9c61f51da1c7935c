"""The effective config: the value of each key that a config leaves out.

A key has one default, and writing a key changes no other one's. Null is the default of a key whose value follows from
other values, by the rules of `FOLLOWS`. The nodes and the Tuner read it as null, and apply the rule to the values that
they train with: the Tuner may have chosen another optimizer than the config names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import yaml
from pydantic import TypeAdapter

from transform.config.settings import DeepOptimizerName, Training, Tuning
from transform.config.tuning import value_at, with_values
from transform.example_keys import NUM_FOLDS
from transform.feature_spec import FeatureSpec

#: The deep part's step size, by its optimizer.
DEEP_LEARNING_RATES: Mapping[DeepOptimizerName, float] = {"adagrad": 0.05, "adam": 0.001}

#: Epochs without a better one before training stops.
_PATIENCE = 2

_VALIDATION_FRACTION = 1 / NUM_FOLDS

#: By the place of a key whose default is null: what its value follows from. `effective_training` applies the rules, but
#: for those that need the number of training examples, which are applied by `trainer.training_size.sized`.
FOLLOWS: Mapping[str, str] = {
    "training.batch_size": "the power of two from 64 to 1,024 with which an epoch has 75 to 150 steps",
    "training.num_epochs": "3,000,000 / the number of training examples, from 1 to 30",
    "training.patience": "2; 0 with one epoch",
    "training.validation_fraction": "1/8; 0 with `count_encodings`, one epoch or `patience: 0`",
    "training.wide_optimizer.initial_accumulator": "(1 / `batch_size`)²",
    "training.deep_optimizer.learning_rate": "; ".join(
        f"{rate:g} with `name: {name}`" for name, rate in sorted(DEEP_LEARNING_RATES.items())
    ),
}


class _Settings(Protocol):
    """Settings of a training with their features, such as a `Config`."""

    @property
    def spec(self) -> FeatureSpec: ...

    @property
    def training(self) -> Training: ...


_AnySettings = TypeVar("_AnySettings", bound=_Settings)


#: By the place in `training` of a key of `FOLLOWS`: the other keys of `training` that its rule reads.
_RULES_READ: Mapping[str, Sequence[str]] = {
    "patience": ("num_epochs",),
    "validation_fraction": ("num_epochs", "patience"),
    "deep_optimizer.learning_rate": ("deep_optimizer.name",),
}


def effective(config: _AnySettings) -> _AnySettings:
    """Returns a config in which null stands only where a training alone has the value.

    This is so where it follows from the number of training examples, or from a setting that the Tuner chooses.
    """
    training = effective_training(config.training, bool(config.spec.count_encodings))
    search: Tuning | None = getattr(config, "tuning", None)
    if search is not None:
        tuned = {place.removeprefix("training.") for place in search.ranges}
        left_out = [place for place in _RULES_READ if value_at(config.training, place) is None]
        training = with_values(training, {place: None for place in left_out if tuned.intersection(_RULES_READ[place])})
    return dataclasses.replace(config, training=training)  # type: ignore[type-var]


def effective_training(training: Training, has_counts: bool) -> Training:
    """Returns the settings of a training in which null stands only for what follows from the number of examples.

    Args:
      training: The settings.
      has_counts: Whether there are count encodings, whose tables are made of all training examples.
    """
    patience = _PATIENCE if training.patience is None else training.patience
    if training.num_epochs == 1:  # the one epoch is also the best
        patience = 0
    fraction = _VALIDATION_FRACTION if training.validation_fraction is None else training.validation_fraction
    if has_counts or not patience:
        fraction = 0.0
    deep = training.deep_optimizer
    if deep.learning_rate is None:
        deep = dataclasses.replace(deep, learning_rate=DEEP_LEARNING_RATES[deep.name])
    return dataclasses.replace(training, patience=patience, validation_fraction=fraction, deep_optimizer=deep)


def effective_yaml(config: Any) -> str:
    """Returns a `Config`'s effective form as YAML, which reads as the same config; beside each null is its rule."""
    plain = TypeAdapter(type(config)).dump_python(effective(config), mode="json")
    order = type(config).__annotations__  # the schema has the base classes' keys first
    sections = {name: plain[name] for name in order if name != "spec"} | plain["spec"]
    text = yaml.safe_dump(sections, sort_keys=False, allow_unicode=True, width=10_000)
    for place, rule in FOLLOWS.items():
        *_, name = place.split(".")
        text = text.replace(f" {name}: null\n", f" {name}: null  # {rule}\n")
    return text
