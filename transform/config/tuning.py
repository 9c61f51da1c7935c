"""Settings to tune: checks that a config accepts their values, and returns a config with values replaced.

A choice is passed from the Tuner to the Trainer as JSON text, because it may be a list.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from transform.config.settings import Range
from transform.config.validation_errors import rule, short

Section = TypeVar("Section")


def with_values(section: Section, values: Mapping[str, Any]) -> Section:
    """Returns a copy of a config, or of a section of it, with other values for some settings, validated together.

    Args:
      section: The dataclass. It has no `tuning`, whose ranges are checked against a config's own values.
      values: By the setting's place in it, such as `training.deep_optimizer.learning_rate`.

    Raises:
      ValidationError: If a setting does not accept its value, or two values do not go together.
    """
    changed: dict[str, Any] = {}
    within: dict[str, dict[str, Any]] = {}
    for place, value in values.items():
        name, _, rest = place.partition(".")
        if rest:
            within.setdefault(name, {})[rest] = value
        else:
            changed[name] = value
    changed |= {name: with_values(getattr(section, name), inner) for name, inner in within.items()}
    return dataclasses.replace(section, **changed)  # type: ignore[type-var]


def value_at(section: Any, place: str) -> Any:
    """Returns a setting's value in a config, or in a section of it; `place` is as in `with_values`."""
    return functools.reduce(getattr, place.split("."), section)


def encoded(choices: Sequence[Any]) -> list[str]:
    """A range's choices in KerasTuner's form."""
    return [json.dumps(choice) for choice in choices]


def decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """KerasTuner's values, by the setting's place, in the form that `with_values` takes."""
    return {place: json.loads(value) if isinstance(value, str) else value for place, value in values.items()}


def number_type(config: Any, place: str) -> type[int] | type[float] | None:
    """The type of number that a setting accepts: int, float, or None if it accepts no number."""
    *way, name = place.split(".")
    hint = typing.get_type_hints(type(functools.reduce(getattr, way, config)))[name]
    options = (hint,) if typing.get_origin(hint) in (None, tuple) else typing.get_args(hint)
    return next((kind for kind in (int, float) if kind in options), None)


def check_ranges(config: Any, ranges: Mapping[str, Range]) -> None:
    """Raises ValueError if a range names no setting, or if a setting does not accept a bound or a choice."""
    for place, tried in ranges.items():
        _check_place(config, place)
        if tried.choices is None and number_type(config, place) is None:
            raise ValueError(f"`tuning.ranges.{place}` must have `choices`, as it is no number")
        for value in tried.bounds:
            try:
                with_values(config, {place: value})
            except ValidationError as error:
                detail, *_ = error.errors()
                broken = rule(detail)
                link = " " if broken.startswith("must") else ": "
                received = f"Received: {short(detail['input'])}"
                raise ValueError(f"`tuning.ranges.{place}`{link}{broken}. {received}") from error


def _check_place(section: Any, place: str) -> None:
    way: list[str] = []
    for name in place.split("."):
        names = _names(section)
        if name not in names:
            raise ValueError(f"`tuning.ranges.{place}` is no setting: `{'.'.join(way)}` has {names or 'nothing in it'}")
        section = getattr(section, name)
        way.append(name)
    if _names(section):
        raise ValueError(f"`tuning.ranges.{place}` is no setting, but has some: {_names(section)}")


def _names(section: Any) -> list[str]:
    return sorted(f.name for f in dataclasses.fields(section)) if dataclasses.is_dataclass(section) else []
