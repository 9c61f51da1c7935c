"""The rule for each feature's raw values: whether they are trimmed, and which of them mean "no value"."""

from __future__ import annotations

import dataclasses

from transform.config.component_settings import DataSettings
from transform.raw_texts import null_numbers, null_words


@dataclasses.dataclass(frozen=True)
class RawRule:
    """The rule for one feature.

    Attributes:
      trim: Whether the feature's texts are trimmed.
      words: The texts that mean "no value", if its values are texts.
      numbers: The numbers that mean "no value", if its values are numbers.
    """

    trim: bool
    words: tuple[str, ...]
    numbers: tuple[float, ...]


def raw_rules(config: DataSettings) -> dict[str, RawRule]:
    """The rule for each feature, from its source's `null_values` and its own `trim`."""
    rules = {}
    for feature in config.spec.features:
        nulls = config.sources.of(feature.source).null_values
        words = tuple(sorted(null_words(nulls, trim=feature.trim)))
        rules[feature.name] = RawRule(feature.trim, words, tuple(sorted(null_numbers(nulls))))
    return rules
