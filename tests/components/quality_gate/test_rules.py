"""The quality gate's decisions over several spans, on hand-written inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding, GateRecord, read_record, write_record
from components.quality_gate.inputs import EarlierSpan, QualityInputs, Rival, earlier_spans
from components.quality_gate.pooling import pool
from components.quality_gate.rules import becomes_anchor, decide
from tests.components.quality_gate.quality_inputs import against_anchor, inputs
from transform.config.evaluation import Evaluation, SliceThreshold, Threshold
from transform.config.quality import Quality

BOUNDS = Evaluation(thresholds={"auc": Threshold(min=0.6)})


def days(*found: QualityInputs, refused: Sequence[int] = ()) -> list[EarlierSpan]:
    """Returns earlier spans 1, 2, …"""
    return [EarlierSpan(span, of_day, span in refused) for span, of_day in enumerate(found, start=1)]


def decided(
    current: QualityInputs,
    earlier: Sequence[EarlierSpan] = (),
    severity: str = "refuse",
    evaluation: Evaluation = BOUNDS,
    **settings: Any,
) -> list[Finding]:
    found = decide(current, len(earlier) + 1, earlier, Quality(**settings), evaluation)
    return [finding for finding in found if finding.severity == severity]


def test_differences_are_pooled_by_variance_and_recency() -> None:
    two = pool([PairedDifference(-0.010, 0.003), PairedDifference(-0.004, 0.003)])
    assert two.estimate == pytest.approx((1 * -0.010 + 2 * -0.004) / 3)
    assert two.standard_error == pytest.approx(0.003 * math.sqrt(5) / 3)
    # A span with twice the standard error has a quarter of the weight: 1 / 4 to 2.
    unequal = pool([PairedDifference(0.009, 0.006), PairedDifference(0.0, 0.003)])
    assert unequal.estimate == pytest.approx(0.009 * 0.25 / 2.25)
    assert pool([PairedDifference(0.1, 0.0)]).estimate == pytest.approx(0.1)  # equal scores: a standard error of 0


def test_an_earlier_span_counts_at_most_as_the_last_one_by_its_variance() -> None:
    """Two models with nearly equal scores on one span have a tiny standard error there."""
    for error in (0.0, 1e-6):
        pooled = pool([PairedDifference(0.0, error), PairedDifference(-0.012, 0.003)])
        assert pooled.estimate == pytest.approx((1 * 0 + 2 * -0.012) / 3)
        assert pooled.standard_error == pytest.approx(2 * 0.003 / 3, rel=1e-6)


def test_a_model_with_the_scores_of_the_anchor_does_not_hide_the_losses_of_the_next_ones() -> None:
    earlier = days(inputs("m/1", against_anchor(0.0, error=0.0)))
    (found,) = decided(inputs(anchor=against_anchor(-0.02)), earlier)
    assert found.rule == "quality.max_auc_loss"
    assert found.value == pytest.approx(2 * 0.02 / 3)


def test_small_losses_add_up_against_the_anchor() -> None:
    """A loss of 0.0019 a day is within chance of a single day, 3 · 0.003, but not over several days."""
    earlier: list[EarlierSpan] = []
    found: list[Finding] = []
    refused_on = None
    for day in range(1, 11):
        current = inputs(f"m/{day}", against_anchor(-0.0019 * day))
        found = decided(current, earlier)
        if found:
            refused_on = day
            break
        earlier = [*earlier, EarlierSpan(day, current, refused=False)]
    # Day 5: 0.0095 on that day; pooled 0.0019 · (1 + 4 + 9 + 16 + 25) / 15 = 0.00697 ± 3 · 0.003 · √55 / 15 = 0.00445.
    assert refused_on == 5
    assert found[0].sentence == (
        "auc may be worse than the anchor's (version 1) by at most 0.006, all days since its push together "
        "(quality.max_auc_loss). Received: worse by 0.0095 on this span's 20,000 examples, and by 0.0070 ± 0.0044 over "
        "5 spans"
    )
    assert (found[0].rule, found[0].subject, found[0].bound, found[0].rows) == (
        "quality.max_auc_loss", "auc", 0.006, 20_000
    )  # fmt: skip


def test_a_repaired_model_is_not_refused_for_the_days_before_it() -> None:
    earlier = days(*(inputs(f"m/{day}", against_anchor(-0.02)) for day in range(1, 7)))
    assert decided(inputs(anchor=against_anchor(-0.02)), earlier)
    assert decided(inputs(anchor=against_anchor(-0.004)), earlier) == []


def test_a_refused_day_tells_of_the_same_config_and_code_alone() -> None:
    earlier = days(*(inputs(f"m/{day}", against_anchor(-0.02)) for day in range(1, 7)), refused=range(1, 7))
    assert decided(inputs(anchor=against_anchor(-0.008)), earlier)
    assert decided(inputs(anchor=against_anchor(-0.008), recipe="mended"), earlier) == []


def test_days_against_another_anchor_do_not_count() -> None:
    earlier = days(*(inputs(f"m/{day}", against_anchor(-0.02, uri="m/old")) for day in range(1, 7)))
    assert decided(inputs(anchor=against_anchor(-0.008)), earlier) == []


def test_a_rise_of_the_log_loss_is_a_loss() -> None:
    (found,) = decided(inputs(anchor=against_anchor(0.0, logloss=0.006)))
    assert found.rule == "quality.max_logloss_rise"
    assert found.value == pytest.approx(0.006)
    assert found.bound == pytest.approx(0.02 * 0.25)
    assert decided(inputs(anchor=against_anchor(0.0, logloss=-0.006))) == []


def test_what_cannot_be_told_yet_is_said_and_refuses_nothing() -> None:
    current = inputs(anchor=against_anchor(-0.010, error=0.008))
    assert decided(current) == []
    sentences = [f.sentence for f in decided(current, severity="cannot_judge")]
    assert any(
        "cannot be judged yet: with 1 of 7 spans, only a difference above 0.0240 is beyond chance" in s
        for s in sentences
    )
    few = inputs(anchor=against_anchor(-0.5), positives=29)
    assert decided(few) == []
    assert any("too few examples of either label" in f.sentence for f in decided(few, severity="cannot_judge"))


def test_an_anchor_that_cannot_score_the_rows_is_said_and_replaced() -> None:
    current = inputs(anchor=Rival("m/0", 1, problem="the model cannot score the rows: no feature x"))
    assert decided(current) == []
    assert any("no feature x" in f.sentence for f in decided(current, severity="cannot_judge"))
    assert becomes_anchor(current)


@pytest.mark.parametrize(
    ("anchor", "becomes"),
    [
        (None, True),
        (against_anchor(0.0104), False),  # below 3.5 · 0.003
        (against_anchor(0.0106), True),
        (against_anchor(0.0106, logloss=0.001), False),
        (against_anchor(-0.02), False),
    ],
)
def test_only_a_better_model_replaces_the_anchor(anchor: Rival | None, becomes: bool) -> None:
    assert becomes_anchor(inputs(anchor=anchor)) == becomes


def test_a_model_forced_past_the_anchor_is_the_anchor() -> None:
    current = inputs(anchor=against_anchor(-0.02))
    assert becomes_anchor(current, decided(current))
    low = [Finding("quality", "evaluation.thresholds.auc.min", "refuse", "auc", 0.5, 0.6, 10, "auc is low")]
    assert not becomes_anchor(current, low)


def changed(value: float, error: float, positives: int = 1400) -> dict[str, Any]:
    return {"serving": "m/8", "change": Estimate(value, error), "positives": positives}


def test_a_worsening_that_one_span_cannot_tell_is_pooled() -> None:
    bounds = Evaluation(thresholds={"auc": Threshold(min=0.6, max_worsening=0.02)})
    earlier = days(*(inputs(f"m/{day}", **changed(-0.03, 0.02)) for day in range(1, 7)))
    (found,) = decided(inputs(**changed(-0.03, 0.02)), earlier, evaluation=bounds)
    assert found.rule == "evaluation.thresholds.auc.max_worsening"
    assert "worse by 0.0300 on this span's 20,000 examples, and by 0.0300 ±" in found.sentence
    assert decided(inputs(**changed(-0.03, 0.02)), earlier[:1], evaluation=bounds) == []


BOUNDS_BY_COUNTRY = Evaluation(
    thresholds={"auc": Threshold(min=0.6)},
    slices=("country",),
    slice_thresholds={"auc": SliceThreshold(max_worsening=0.05)},
)

#: A small slice that the candidate model ranks worse than the baseline: by chance on one day, but not every day.
INVERTED = EvaluationResult(
    200, {"auc": 0.4}, {"auc": 0.6}, {"auc": Estimate(-0.2, 0.09)}, num_positives=14, num_units=20
)


def test_a_small_slice_that_is_worse_every_day_is_refused_in_the_end() -> None:
    def day(number: int) -> QualityInputs:
        return inputs(f"m/{number}", serving="m/0", slices={"country = br": INVERTED})

    assert decided(day(1), evaluation=BOUNDS_BY_COUNTRY) == []
    earlier = days(*(day(number) for number in range(1, 5)))
    (found,) = decided(day(5), earlier, evaluation=BOUNDS_BY_COUNTRY)
    assert found.subject == "auc where country = br"
    assert found.rule == "evaluation.slice_thresholds.auc.max_worsening"


def test_a_day_on_which_a_slice_has_one_positive_does_not_hide_its_loss() -> None:
    """Both models rank the one positive alike in every replicate: a change of 0 ± 0."""
    alike = EvaluationResult(200, {"auc": 1.0}, {"auc": 1.0}, {"auc": Estimate(0.0, 0.0)}, num_positives=1)
    slices = [INVERTED, INVERTED, INVERTED, INVERTED, alike, INVERTED]
    *earlier, last = (
        inputs(f"m/{day}", serving="m/0", slices={"country = br": of_day}) for day, of_day in enumerate(slices, 1)
    )
    (found,) = decided(last, days(*earlier), evaluation=BOUNDS_BY_COUNTRY)
    assert found.subject == "auc where country = br"
    assert found.value == pytest.approx(0.2)
    assert "over 5 spans" in found.sentence


def pushed_daily(number: int, own: float, unseen: float, recipe: str = "one") -> list[EarlierSpan]:
    """Returns days on each of which the model of the day before serves, with calibrations `own` and `unseen`."""
    found = [inputs("m/1", recipe=recipe, own={"calibration": own})]
    for day in range(2, number + 1):
        serving, calibration = f"m/{day - 1}", {"calibration": own}
        found.append(
            inputs(f"m/{day}", recipe=recipe, serving=serving, own=calibration, unseen={"calibration": unseen})
        )
    return days(*found)


def test_models_that_are_worse_on_unseen_days_are_held_back() -> None:
    earlier = pushed_daily(5, own=1.05, unseen=1.4)
    current = inputs("m/6", serving="m/5", unseen={"calibration": 1.4})
    (found,) = decided(current, earlier)
    assert found.rule == "quality.max_unseen_calibration_loss"
    assert found.value == pytest.approx(math.log(1.4) - math.log(1.05))
    assert "over 5 spans" in found.sentence
    assert decided(current, earlier, max_unseen_calibration_loss=0.3) == []


def test_too_few_unseen_days_judge_nothing_and_say_so() -> None:
    current = inputs("m/5", serving="m/4", unseen={"calibration": 1.4})
    assert decided(current, pushed_daily(4, own=1.05, unseen=1.4)) == []
    sentences = [f.sentence for f in decided(current, pushed_daily(4, own=1.05, unseen=1.4), severity="cannot_judge")]
    assert any(s.endswith("cannot be judged yet: 4 of 5 spans (quality.min_spans)") for s in sentences)


def test_another_config_or_code_is_not_held_back_and_a_rollback_is_recommended() -> None:
    current = inputs("m/6", recipe="mended", serving="m/5", unseen={"calibration": 1.4})
    earlier = pushed_daily(5, own=1.05, unseen=1.4)
    assert decided(current, earlier) == []
    (warning,) = decided(current, earlier, severity="warn")
    assert "`wdr models rollback --reason TEXT` may be right" in warning.sentence


def test_a_day_of_more_installs_does_not_look_like_a_loss() -> None:
    """Any model's log loss rises with the label's rate, so it is measured as a share of the label's entropy."""

    def entropy(rate: float) -> float:
        return -rate * math.log(rate) - (1 - rate) * math.log(1 - rate)

    own = {"mean_label": 0.05, "logloss": 0.9 * entropy(0.05)}
    sale = {"mean_label": 0.10, "logloss": 0.9 * entropy(0.10)}
    found = [inputs("m/1", own=own)]
    found += [inputs(f"m/{day}", serving=f"m/{day - 1}", own=own, unseen=sale) for day in range(2, 6)]
    assert decided(inputs("m/6", serving="m/5", unseen=sale), days(*found)) == []


def test_inputs_are_read_as_they_were_recorded(tmp_path: Path) -> None:
    undefined = EvaluationResult(5, {"auc": math.nan}, {}, {"auc": Estimate(math.nan, math.nan)})
    current = inputs(anchor=against_anchor(-0.02), serving="m/8", slices={"country = br": undefined})
    write_record(str(tmp_path), GateRecord("quality", 4, current.to_json(), tuple(decided(current))))
    (read,) = earlier_spans([read_record(str(tmp_path))])
    assert (read.span, read.refused) == (4, True)
    assert read.inputs.anchor == current.anchor
    assert math.isnan(read.inputs.measured["country = br"].metrics["auc"])
    assert read.inputs.whole == current.whole
    assert earlier_spans([GateRecord("quality", 4, {})]) == []


def test_an_auc_that_leaps_is_refused_until_a_model_like_it_serves() -> None:
    """A refused model is no reference; a model that a person force-pushed serves, and so is one."""
    leap, usual = {"auc": 0.95}, days(inputs("m/1"), inputs("m/2"))
    assert [f.rule for f in decided(inputs(own=leap, serving="m/2"), usual)] == ["quality.max_auc_rise"]
    refused = days(inputs("m/1"), inputs("m/2", own=leap), refused=[2])
    assert [f.rule for f in decided(inputs(own=leap, serving="m/1"), refused)] == ["quality.max_auc_rise"]
    assert decided(inputs(own=leap, serving="m/2", unseen=leap), refused) == []
    assert decided(inputs(own=leap), usual, max_auc_rise=0.5) == []
