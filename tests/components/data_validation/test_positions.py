"""What a log can tell of the position: counts and errors by hand, and the rule that stops or warns."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from components.data_validation.columns import Columns, Tokens
from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from components.data_validation.positions import (
    PositionCounts,
    PositionEvidence,
    log_odds_error,
    measure_positions,
)
from tests.components.data_validation.hand_written import good, span
from tests.transform.small_config import small_config
from transform.config.component_configs import for_data_validation
from transform.config.component_settings import EvaluationSettings
from transform.config.drift import Drift


def settings(says: str = "randomized", kind: str = "numeric") -> EvaluationSettings:
    rule: dict[str, Any] = {"kind": "numeric", "boundaries": [2, 3]} | {"at_serving": {"fixed": 1}}
    if kind == "categorical":
        rule = {"kind": "categorical", "vocabulary": {}, "at_serving": {"fixed": "1"}}
    position = {"name": "position", "side": "item", **rule}
    config = small_config((f"sources.impressions.{says}", "drawn"), ("features.3", position))
    return EvaluationSettings.from_json(for_data_validation(config).to_json())


def columns(placement: list[float] | None, position: list[float]) -> Columns:
    label = np.array([1, 0, 0, 1, 0, 0, 0, 1])
    return Columns(
        label=label,
        request=np.arange(8),
        tokens={},
        numbers={"position": np.array(position)},
        placement=None if placement is None else np.array(placement),
    )


def test_examples_are_counted_by_position() -> None:
    drawn = columns([1, 1, 0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 3, 4, 9, math.nan])
    found = measure_positions(drawn, settings(), 8)
    assert found == PositionEvidence(
        "position",
        (PositionCounts("below 2", 4, 2, 2.0, 0.5), PositionCounts("3 or more", 3, 0, 2.0, 0.0)),  # none at 2
    )
    assert (found.rows, found.by_chance, found.positives_by_chance) == (7, 4.0, 1.0)
    whole = measure_positions(drawn, settings(), 80)  # of which the 8 are a sample
    assert whole is not None
    assert whole.positions[0] == PositionCounts("below 2", 40, 20, 20.0, 0.5)


def test_an_inverse_chance_is_a_weight_and_a_chance_of_1_tells_nothing() -> None:
    found = measure_positions(
        columns([0.5, 0.25, 1, 1, 1, 1, 1, 1], [1, 1, 1, 3, 3, 3, 3, 3]), settings("propensity"), 8
    )
    assert found is not None
    first, last = found.positions
    # Weights of 2 and 4: (2 + 4)² / (4 + 16), and the label of the first.
    assert [first.by_chance, first.share] == pytest.approx([1.8, 1 / 3])
    assert (last.rows, last.by_chance, last.share) == (5, 0, 0)
    assert math.isinf(found.error)


def test_texts_that_are_numbers_are_in_their_order() -> None:
    values = ("2", "10", "1", "9")
    tokens = Tokens(values, np.array([0, 1, 2, 3, 1]), np.array([0, 1, 2, 3, 5]), 6)
    found = measure_positions(
        Columns(np.array([0, 1, 0, 0, 0, 0]), np.arange(6), {"position": tokens}, {}, np.ones(6)),
        settings(kind="categorical"),
        6,
    )
    assert found is not None
    assert [(p.name, p.rows) for p in found.positions] == [("1", 1), ("2", 1), ("9", 1), ("10", 2)]


def test_without_at_serving_nothing_is_measured() -> None:
    assert measure_positions(columns(None, [1] * 8), for_data_validation(small_config()), 8) is None


def evidence(by_chance: float, share: float = 0.05) -> PositionEvidence:
    """20,000 impressions at each of two positions, of which some were placed by chance."""
    return PositionEvidence(
        "position",
        (
            PositionCounts("below 2", 20_000, 1_600, by_chance, 2 * share),
            PositionCounts("10 or more", 20_000, 400, by_chance, share),
        ),
    )


def test_the_error_of_the_contrast() -> None:
    # 1 / 50.5 + 1 / 950.5 and 1 / 100.5 + 1 / 900.5
    assert log_odds_error(1000, 0.05) == pytest.approx(math.sqrt(0.019802 + 0.0010521), rel=1e-4)
    expected = math.sqrt(0.019802 + 0.0010521 + 0.0099502 + 0.0011105)
    assert evidence(1000).error == pytest.approx(expected, rel=1e-4)
    low, high = evidence(1000).positions[1].interval
    assert (high + low) / 2 == pytest.approx(math.log(50.5 / 950.5))
    assert (high - low) / 2 == pytest.approx(1.96 * log_odds_error(1000, 0.05))


def test_the_least_share_is_what_has_the_error_that_is_asked_for() -> None:
    found = evidence(1000)  # 5 %, with an error of 0.1787
    least = found.least_share(0.1)
    assert least is not None
    assert least == pytest.approx(0.05 * (0.17865 / 0.1) ** 2, rel=1e-3)
    assert evidence(20_000 * least).error == pytest.approx(0.1, rel=0.01)
    # Without chance, from the labels as the policy placed them: 1,600 and 400 of 20,000.
    bare = math.sqrt(1 / 1600.5 + 1 / 18400.5 + 1 / 400.5 + 1 / 19600.5)
    assert evidence(0).least_share(0.1) == pytest.approx((bare / 0.1) ** 2)
    assert evidence(0).least_share(0.01) is None


def found_by(position: PositionEvidence | None, **bounds: float) -> list[tuple[str, str]]:
    current = span(9, position=position)
    recorded = SpanEvidence.from_inputs(json.loads(json.dumps(current.to_inputs(), sort_keys=True)))
    assert recorded == current
    found = decide(recorded, good(8), Drift(**bounds))  # type: ignore[arg-type]
    return [(f.severity, f.sentence) for f in found if f.rule == "drift.max_position_error"]


def test_a_log_without_chance_stops_the_run_and_is_told_the_least_that_would_do() -> None:
    ((severity, sentence),) = found_by(evidence(0))
    assert severity == "stop"
    assert sentence == (
        "no model learns the effect of `position`: none of 40,000 impressions was placed by chance, and only those "
        "tell a position's effect from the relevance of the items that were put there; at least 32 % of the "
        "impressions, placed by chance, would do for 0.1 (drift.max_position_error)"
    )


def test_a_log_with_little_chance_warns_or_stops() -> None:
    ((severity, sentence),) = found_by(evidence(1000))
    assert severity == "warn"
    assert sentence == (
        "little is known of `position`: 5 % of 40,000 impressions were placed by chance, about 2,000 with 150 labels "
        "of 1, so that the effect of position 10 or more against below 2 has a standard error of 0.18 in logit; at "
        "least 16 % of the impressions, placed by chance, would do for 0.1 (drift.max_position_error)"
    )
    assert found_by(evidence(1000), max_position_error=0.2) == []
    assert found_by(evidence(19_000)) == []
    ((severity, sentence),) = found_by(evidence(50))  # 2.5 + 0.5 of label 1: √(1 / 3 + 1 / 48 + …)
    assert severity == "stop"
    assert "0.25 % of 40,000 impressions were placed by chance" in sentence


def test_one_position_alone_cannot_be_compared() -> None:
    one = PositionEvidence("position", evidence(100).positions[:1])
    ((severity, sentence),) = found_by(one)
    assert severity == "stop"
    assert "the log has it at 1 position, and two are needed to compare" in sentence
    assert found_by(None) == []
