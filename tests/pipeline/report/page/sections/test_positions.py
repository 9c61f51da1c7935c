"""The position's curve on a run's page, and in the summary, by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from components.data_validation.evidence import SpanEvidence
from components.data_validation.positions import PositionCounts, PositionEvidence
from pipeline.report.page.parts import Block, Facts, Figure, Note
from pipeline.report.page.sections import positions, training
from pipeline.report.result.run import Reading
from tests.components.data_validation.hand_written import span
from tests.pipeline.report.console.summaries import lines_of, trained
from tests.pipeline.report.run_results import ended, run_result
from transform.positions import LearnedPositions

LEARNED = LearnedPositions(feature="position", values=("below 2", "2"), logits=(0.0, -0.75), fixed="below 2")
#: 100 of 1,000 and 50 of 1,000 by chance: log-odds of ln(100.5 / 900.5) and ln(50.5 / 950.5).
EVIDENCE = PositionEvidence(
    "position",
    (PositionCounts("below 2", 20_000, 4000, 1000, 0.1), PositionCounts("2", 20_000, 900, 1000, 0.05)),
)


def shown(evidence: PositionEvidence | None, learned: LearnedPositions | None) -> list[Block]:
    run = ended(run_result(training=trained(position=learned)))
    measured: Reading[SpanEvidence | None] = Reading.of(lambda: span(1, position=evidence))
    contents = dataclasses.replace(run.contents, evidence=measured)
    return list(positions.blocks(dataclasses.replace(run, contents=contents)))


def test_the_curve_by_chance_is_beside_the_models() -> None:
    (figure,) = shown(EVIDENCE, LEARNED)
    assert isinstance(figure, Figure)
    value = math.log(50.5 / 950.5) - math.log(100.5 / 900.5)  # -0.742
    error = math.sqrt(1 / 50.5 + 1 / 950.5 + 1 / 100.5 + 1 / 900.5)  # 0.1787
    contrast = positions.contrast(EVIDENCE.positions[1], EVIDENCE.positions[0])
    assert contrast == pytest.approx((value, error))
    assert [tuple(row) for row in figure.data.rows] == [
        ("below 2", "1,000 of 20,000", "+0.00 (+0.00 to +0.00)", "+0.00"),
        ("2", "1,000 of 20,000", "-0.74 (-1.09 to -0.39)", "-0.75"),
    ]
    assert "5.0 % of the impressions were placed by chance" in figure.words


def test_without_chance_at_the_fixed_position_there_is_no_curve() -> None:
    bare = dataclasses.replace(EVIDENCE.positions[0], by_chance=0.0, share=0.0)
    (note,) = shown(dataclasses.replace(EVIDENCE, positions=(bare, EVIDENCE.positions[1])), LEARNED)
    assert isinstance(note, Note)
    assert note.text.startswith("No impression at position below 2")


def test_weights_have_their_effective_size() -> None:
    weighted = LearnedPositions(feature="position", num_weighted=1000, effective_size=55.5, num_clipped=3)
    facts, figure = shown(EVIDENCE, weighted)
    assert isinstance(facts, Facts)
    assert dict(facts.items)["clipped weights"] == "3"
    assert dict(facts.items)["effective sample size"].startswith("56, ")
    assert isinstance(figure, Figure)
    assert [row[-1] for row in figure.data.rows] == ["–", "–"]


def test_a_run_without_a_position_shows_nothing_of_it() -> None:
    assert shown(None, None) == []
    run = ended(run_result())
    assert not any(isinstance(b, Figure) and b.title == "Position" for b in training.blocks(run))


def test_the_summary_has_the_curve_or_the_effective_size() -> None:
    assert "position below 2: +0.00, 2: -0.75" in lines_of(trained(position=LEARNED))
    weighted = LearnedPositions(feature="position", num_weighted=1000, effective_size=55.5, num_clipped=3)
    assert (
        "weighted 1,000 examples by the chance of their place, worth 56 of equal weight; 3 weights were clipped"
        in lines_of(trained(position=weighted))
    )
