"""Check of `wdr check` of how far a log can tell the effect of the position."""

from __future__ import annotations

import numpy as np

from components.data_validation.columns import Columns, read_numbers, read_tokens
from components.data_validation.feature_rules.positions import NO_EFFECT_TOLD, words
from components.data_validation.positions import measure_positions
from pipeline.check.first_rows import ReadRows
from transform.config.columns import column_of
from transform.config.config import Config


def told_of_positions(config: Config, impressions: ReadRows) -> list[str]:
    """Returns a sentence on what the first impressions tell of the position, by the data gate's rule.

    Args:
      config: The config.
      impressions: The first impressions.

    Returns:
      The sentence; nothing without a feature with `at_serving`.
    """
    feature, log = config.spec.at_serving, config.sources.impressions
    if feature is None:
        return []
    values = impressions.values()
    placement = read_numbers(
        values[log.randomized, "randomized"] if log.randomized else values[str(log.propensity), "propensity"]
    )
    if log.label is None:
        by_chance = int((placement < 1).sum() if log.propensity else placement.sum())
        return [
            f"{by_chance:,} of {len(placement):,} impressions were placed by chance; how far they tell the effect of "
            f"`{feature.name}` is known once they are joined with the installs, in a run"
        ]
    column = values[column_of(feature).name, column_of(feature).kind]
    columns = Columns(
        label=np.asarray(values[log.label, "label"]).astype(np.int64),
        request=np.arange(len(placement)),
        tokens={feature.name: read_tokens(column)} if feature.has_ids else {},
        numbers={} if feature.has_ids else {feature.name: read_numbers(column)},
        placement=placement,
    )
    found = measure_positions(columns, config, len(placement))
    assert found is not None  # there is such a feature
    stops = "a run would stop: " if found.error > NO_EFFECT_TOLD else ""
    return [f"{stops}`{feature.name}`: {words(found, config.drift.max_position_error)}"]
