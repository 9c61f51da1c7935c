"""Passes tuned values from the Tuner to the Trainer; a choice is passed as JSON text, because it may be a list."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def encoded(choices: Sequence[Any]) -> list[str]:
    """A range's choices in KerasTuner's form."""
    return [json.dumps(choice) for choice in choices]


def decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """KerasTuner's values, by the setting's place, in the form that `transform.config.tuning.with_values` takes."""
    return {place: json.loads(value) if isinstance(value, str) else value for place, value in values.items()}
