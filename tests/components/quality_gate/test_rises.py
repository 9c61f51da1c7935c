"""A rise of the AUC beyond what is usual: refused with the same config and code, a warning after a change of either."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from components.evaluation.results import Estimate
from components.gate_records import Finding
from components.quality_gate.inputs import AucFalls, Case, EarlierSpan, QualityInputs
from components.quality_gate.rules import becomes_anchor, decide
from components.quality_gate.too_good import implausible_auc, usual_rise
from tests.components.quality_gate.quality_inputs import against_anchor, inputs
from transform.config.evaluation import Evaluation, Threshold
from transform.config.quality import Quality

BOUNDS = Evaluation(thresholds={"auc": Threshold(min=0.6)})


def day(number: int, auc: float, rise: float, error: float = 0.004, recipe: str = "one") -> QualityInputs:
    """A span's inputs whose model has `rise` more AUC than the baseline, on the same rows."""
    own, unseen = {"auc": auc}, {"auc": auc - rise}
    serving = f"m/{number - 1}"
    return inputs(f"m/{number}", recipe=recipe, serving=serving, own=own, unseen=unseen, change=Estimate(rise, error))


#: Rises of 0.001, 0.003 and 0.002: the largest is 0.003, and three standard deviations count as 0.03.
USUAL = [day(1, 0.730, 0.001), day(2, 0.735, 0.003), day(3, 0.7366, 0.002)]


def decided(current: QualityInputs, before: Sequence[QualityInputs]) -> list[Finding]:
    earlier = [EarlierSpan(span, of_day, False) for span, of_day in enumerate(before, start=1)]
    found = decide(current, len(earlier) + 1, earlier, Quality(), BOUNDS)
    of_rule = [f for f in found if f.rule == "quality.max_auc_rise" or f.severity == "refuse"]
    return [f for f in of_rule if f.severity != "cannot_judge"]


def test_what_is_usual_is_the_largest_rise_and_three_standard_deviations() -> None:
    assert usual_rise(USUAL) == pytest.approx(0.003 + 3 * 2 * 0.005)
    # 0.01, 0.04 and 0.07 have a standard deviation of 0.03.
    assert usual_rise([day(n, 0.7, 0.01 + 0.03 * n) for n in range(3)]) == pytest.approx(0.07 + 3 * 0.03)
    assert usual_rise([day(n, 0.7, -0.001) for n in range(7)]) == pytest.approx(3 * 0.005)
    assert usual_rise(USUAL[:1]) is None


def test_a_leap_with_the_same_config_and_code_is_refused() -> None:
    """The leap of 0.0896 is below `max_auc_rise`."""
    (found,) = decided(day(4, 0.8262, 0.0896), USUAL)
    assert (found.severity, found.subject) == ("refuse", "auc")
    assert found.value == pytest.approx(0.0896)
    assert found.bound == pytest.approx(0.033)
    assert found.sentence == (
        "auc may be higher than the baseline's by at most 0.0330 beyond chance, by the last spans with the same "
        "config and code (quality.max_auc_rise). Received: 0.0896 ± 0.0078, to 0.8262: too good to be true, as if a "
        "feature contained the label. `wdr run --force-push --reason TEXT` pushes it anyway"
    )


@pytest.mark.parametrize(
    ("auc", "rise", "error"),
    [
        (0.7800, 0.0449, 0.004),  # up to 0.033 + 3 * 0.004 = 0.045 may be chance
        (0.8262, 0.0896, 0.020),  # 0.033 + 3 * 0.020 = 0.093
        (0.7660, 0.0896, 0.004),  # the baseline lost; 0.7366 + 3 * 0.01 = 0.7666 is an AUC as before
        (0.8262, 0.0100, 0.004),  # a day on which the baseline ranks better, too
    ],
)
def test_what_may_be_chance_or_another_day_or_a_repair_passes(auc: float, rise: float, error: float) -> None:
    assert decided(day(4, auc, rise, error), USUAL) == []


def test_the_bound_needs_two_spans_that_had_a_baseline() -> None:
    first = inputs("m/1", own={"auc": 0.735})
    assert decided(day(3, 0.8262, 0.0896), [first, USUAL[1]]) == []
    assert decided(day(4, 0.8262, 0.0896), [first, *USUAL[1:]]) != []
    before = [EarlierSpan(1, first, False), EarlierSpan(2, USUAL[1], False)]
    case = Case(day(3, 0.73, 0.001), 3, before, Quality(), BOUNDS)
    assert [(f.severity, f.sentence) for f in implausible_auc(case)] == [
        (
            "cannot_judge",
            "whether auc rises by more than is usual cannot be judged: it takes 2 of the last spans that had a "
            "baseline; only a rise of more than 0.1 is refused (quality.max_auc_rise)",
        )
    ]


def changed(number: int, rise_over_anchor: float) -> QualityInputs:
    """A span's inputs after a change of the config; the baseline has the new one, too, from the second span on."""
    return inputs(
        f"m/{number}",
        against_anchor(rise_over_anchor),
        recipe="two",
        serving=f"m/{number - 1}",
        own={"auc": 0.7366 + rise_over_anchor},
        change=Estimate(0.0, 0.003),
    )


def test_a_leap_after_a_change_of_the_config_warns_and_is_not_the_anchor_for_the_pooled_spans() -> None:
    """So the repair, at the old anchor's AUC, is not refused."""
    before = list(USUAL)
    for number in range(4, 10):
        current = changed(number, 0.0896)
        (found,) = decided(current, before)
        assert (found.severity, found.rule) == ("warn", "quality.max_auc_rise")
        assert found.sentence.startswith(
            "auc is higher than the anchor's by 0.0896 ± 0.0059, to 0.8262, while 0.0330 was usual before the config "
            "or the code was changed (quality.max_auc_rise): the change may be the cause, or a feature contains"
        )
        assert not becomes_anchor(current, [found])
        before.append(current)
    assert decided(inputs("m/10", against_anchor(0.001), recipe="three", own={"auc": 0.7376}), before) == []
    # With fewer than two spans of before the change among the last seven, the new level is what is usual.
    last = changed(10, 0.0896)
    assert decided(last, before) == []
    assert becomes_anchor(last)


def test_a_small_gain_after_a_change_of_the_config_becomes_the_anchor() -> None:
    current = changed(4, 0.0400)  # 0.033 + 3 * 0.003 = 0.042
    assert decided(current, USUAL) == []
    assert becomes_anchor(current)


def falls(app: float, leak: float) -> AucFalls:
    """An AUC of 0.82, and of the anchor 0.74, which falls by 0.12 without `app`."""
    return AucFalls(4000, 0.82, {"app": app, "leak": leak}, 0.74, {"app": 0.12, "leak": 0.0})


@pytest.mark.parametrize(
    ("app", "leak", "words"),
    [
        # Of a rise of 0.08, `app` has 0.14 - 0.12, and `leak` all of its fall.
        (0.14, 0.07, "`leak` carries the rise: with its values permuted among 4,000 rows, auc falls by 0.0700, the "
                     "anchor's by 0.0000"),
        (0.14, 0.03, "No feature alone carries half of the rise, `leak` the largest part: with its values permuted "
                     "among 4,000 rows, auc falls by 0.0300, the anchor's by 0.0000"),
        (0.20, 0.03, "`app` carries the rise: with its values permuted among 4,000 rows, auc falls by 0.2000, the "
                     "anchor's by 0.1200"),
    ],
)  # fmt: skip
def test_the_feature_is_named_that_the_model_relies_on_more_than_the_anchor(
    app: float, leak: float, words: str
) -> None:
    before = [EarlierSpan(span, of_day, False) for span, of_day in enumerate(USUAL, start=1)]
    for current in (changed(4, 0.0896), day(4, 0.8262, 0.0896), day(4, 0.95, 0.2)):
        case = Case(dataclasses.replace(current, auc_falls=falls(app, leak)), 4, before, Quality(), BOUNDS)
        (named,) = implausible_auc(case)
        (unnamed,) = implausible_auc(case._replace(current=current))
        assert named.sentence == f"{unnamed.sentence}. {words}"
        assert dataclasses.replace(named, sentence=unnamed.sentence) == unnamed


def test_without_an_anchor_below_it_the_largest_part_of_the_auc_is_named() -> None:
    before = [EarlierSpan(span, of_day, False) for span, of_day in enumerate(USUAL, start=1)]
    for anchor_auc in (None, 0.83):
        measured = dataclasses.replace(falls(0.14, 0.07), anchor_auc=anchor_auc)
        current = dataclasses.replace(day(4, 0.95, 0.2), auc_falls=measured)
        (found,) = implausible_auc(Case(current, 4, before, Quality(), BOUNDS))
        assert found.sentence.endswith(
            ". `app` carries the largest part of the auc: with its values permuted among 4,000 rows, auc falls by "
            "0.1400"
        )


def test_of_good_days_hardly_one_in_a_thousand_is_refused() -> None:
    """Days differ by 0.01, samples by 0.014, which both models share; the models themselves by 0.004."""
    draw = np.random.default_rng(1)
    refused, before = 0, list[EarlierSpan]()
    for span in range(2000):
        auc = 0.72 + draw.normal(0, 0.01) + draw.normal(0, 0.014)
        current = day(span, auc, draw.normal(0, 0.004))
        case = Case(current, span, before[-9:], Quality(), BOUNDS)
        found = [f for f in implausible_auc(case) if f.severity == "refuse"]
        refused += bool(found)
        before.append(EarlierSpan(span, current, bool(found)))
    assert refused <= 2
