"""Tuned values on their way from the Tuner to the Trainer; a choice goes as JSON text, since a list may be one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def encoded(choices: Sequence[Any]) -> list[str]:
    """A range's choices as KerasTuner takes them."""
    return [json.dumps(choice) for choice in choices]


def decoded(values: Mapping[str, Any]) -> dict[str, Any]:
    """KerasTuner's values, by the setting's place, as `transform.config.tuning.with_values` takes them."""
    return {place: json.loads(value) if isinstance(value, str) else value for place, value in values.items()}
