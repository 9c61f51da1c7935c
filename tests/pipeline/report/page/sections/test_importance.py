"""The importance of features on a run's page and in its model card."""

from __future__ import annotations

from components.quality_gate.inputs import AucFalls
from pipeline.report.page.model_card import model_card
from pipeline.report.page.parts import Figure, Note
from pipeline.report.page.sections import importance
from tests.pipeline.report.run_results import ended, run_result


def shown(falls: AucFalls) -> tuple[list[tuple[str, ...]], list[str]]:
    """Returns the rows of the section's table, and its sentences."""
    found = list(importance.blocks(ended(run_result(auc_falls=falls))))
    (figure,) = (block for block in found if isinstance(block, Figure))
    return [tuple(row) for row in figure.data.rows], [block.text for block in found if isinstance(block, Note)]


def test_importance_is_by_feature_with_its_interval() -> None:
    """1.96 standard errors are 0.0196 and 0.0392: the second feature's interval reaches zero."""
    falls = AucFalls(20, 0.75, {"other": 0.01, "app": 0.1}, errors={"app": 0.01, "other": 0.02})
    rows, sentences = shown(falls)
    assert rows == [("app", "+0.1000", "+0.0804 to +0.1196"), ("other", "+0.0100", "−0.0292 to +0.0492")]
    assert sentences[1:] == ["No use is shown of other: the interval reaches zero."]
    assert "| app | +0.1000 | +0.0804 to +0.1196 |" in model_card(ended(run_result(auc_falls=falls)))


def test_importance_that_an_earlier_release_measured_for_a_rule_has_no_interval() -> None:
    rows, sentences = shown(AucFalls(20, 0.75, {"app": 0.1}))
    assert rows == [("app", "+0.1000", "–")]
    assert len(sentences) == 1
