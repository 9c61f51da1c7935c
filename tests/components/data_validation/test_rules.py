"""The data gate's rules, span after span, on hand-written evidence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest

from components.data_validation.decision import decide, decide_inputs
from components.data_validation.distributions import measure_tokens
from components.data_validation.evidence import Labelled, ModelEvidence, SpanEvidence
from components.data_validation.findings import auc_error, poisson_tail, spread
from components.data_validation.label_rules.leaks import leak_findings
from components.data_validation.label_rules.lost_labels import unsliced_findings
from components.gate_records import Finding
from components.ingestion.evidence import LabelCount
from tests.components.data_validation.hand_written import good, span, stops
from transform.config.drift import Drift


def warnings(current: SpanEvidence, earlier: Sequence[SpanEvidence]) -> list[Finding]:
    return [f for f in decide(current, earlier, Drift()) if f.severity == "warn"]


def days_until_stopped(days: Sequence[SpanEvidence], num_good: int = 8) -> int:
    """Returns how many days, after good days, are let through before one is stopped."""
    earlier = good(num_good)
    for number, day in enumerate(days):
        if stops(day, earlier):
            return number
        earlier.append(day)
    raise AssertionError("none was stopped")


def test_a_first_span_is_let_through_and_says_that_it_could_not_be_judged() -> None:
    found = decide(span(1), [], Drift())
    assert {f.severity for f in found} == {"cannot_judge"}
    assert "drift cannot be judged: there is no earlier span that was let through" in [f.sentence for f in found]


def test_a_good_day_after_good_days_says_nothing() -> None:
    assert decide(span(9, positives=705), good(8), Drift()) == []
    few = decide(span(3), good(2), Drift())
    assert [f.sentence for f in few] == [
        "drift is judged by the 2 spans before it only; until there are 7, bounds are wider, and "
        "labels that are lost a little each day are not found"
    ]


def test_the_decision_of_recorded_inputs_is_the_same() -> None:
    current, earlier = span(9, positives=300), good(8)
    inputs = [e.to_inputs() for e in earlier]
    assert decide_inputs(current.to_inputs(), inputs, Drift()) == decide(current, earlier, Drift())
    assert SpanEvidence.from_inputs(current.to_inputs()) == current


def test_a_third_of_the_labels_lost_stops_where_the_serving_model_says_so_too() -> None:
    lost = span(9, positives=490)
    assert stops(lost, good(8)) == ["drift.max_miscalibration"]
    assert decide(lost, good(8), Drift())[0].sentence == (
        "labels are missing: the baseline predicts 1.43 times the label 1 that the span has, usually 1.00 times "
        "(drift.max_miscalibration: 1.15); and the share of label 1 is 0.0490, 0.70 times the usual 0.0700 "
        "(allowed: 0.6 to 2.5 times the median of the 8 spans before it; drift.min_label_ratio)"
    )


def test_a_holiday_that_the_model_foresees_only_warns() -> None:
    found = decide(span(9, positives=490, predicted=490), good(8), Drift())
    assert [(f.severity, f.rule) for f in found] == [("warn", "drift.min_label_ratio")]


def test_a_model_that_is_off_by_itself_only_warns() -> None:
    found = decide(span(9, predicted=1000), good(8), Drift())
    assert [(f.severity, f.rule) for f in found] == [("warn", "drift.max_miscalibration")]


def test_a_sale_only_warns() -> None:
    """Half as many installs again: more than the model predicts, and more than usual."""
    assert stops(span(9, positives=1050), good(8)) == []
    assert len(warnings(span(9, positives=1050), good(8))) == 2


def test_installs_without_an_impression_are_evidence_for_a_baseline_that_is_off() -> None:
    broken = span(9, predicted=1000, orphans=700)
    assert stops(broken, good(8)) == ["drift.max_miscalibration"]
    assert (
        "50.0% of 1,400 installs match no impression, of an earlier span at most 12.7%"
        in decide(broken, good(8), Drift())[0].sentence
    )


def test_labels_that_go_a_fifth_at_a_time_are_stopped_before_half_is_gone() -> None:
    days = [span(9 + n, positives=round(700 * 0.8 ** (n + 1))) for n in range(5)]
    assert days_until_stopped(days) == 0


def test_labels_that_go_a_fifth_at_a_time_in_a_small_store_are_stopped_on_the_third_day() -> None:
    """280 examples with label 1 a day; the model of each day is trained on the day before."""
    small = [span(n, rows=4000, positives=280 + 10 * (n % 3 - 1)) for n in range(1, 9)]
    days = [span(9 + n, rows=4000, positives=round(280 * 0.8 ** (n + 1)), predicted=280 * 0.8**n) for n in range(5)]
    assert [bool(stops(days[n], [*small, *days[:n]])) for n in range(3)] == [False, False, True]
    assert warnings(days[1], [*small, days[0]])


def test_labels_that_halve_each_day_are_stopped_at_once_without_a_model() -> None:
    day = span(9, positives=350, model=None)
    assert stops(day, good(8)) == ["drift.min_label_ratio"]


def test_labels_that_halve_are_one_finding_with_what_the_model_predicts() -> None:
    (found,) = decide(span(9, positives=350, orphans=50), good(8), Drift())
    assert (found.severity, found.rule) == ("stop", "drift.min_label_ratio")
    assert found.sentence.endswith(
        "drift.min_label_ratio); the baseline predicts 2.00 times the label 1 that the span has, usually 1.00 "
        "times (drift.max_miscalibration: 1.15)"
    )


def test_rows_that_fall_to_a_ninth_each_day_are_stopped_at_once() -> None:
    day = span(9, rows=10_000 // 9, positives=700 // 9)
    (stop,) = [f for f in decide(day, good(8), Drift()) if f.severity == "stop"]
    assert stop.sentence == (
        "a span must have at least 0.2 times the median number of examples of the 8 spans before it, 10,000 "
        "(drift.min_rows_ratio). Received: 1,111"
    )
    assert stops(day, good(8), min_rows_ratio=0.1) == []


def test_another_recipe_of_the_label_needs_another_version() -> None:
    """For example `attribution_seconds: 300` instead of 3600, which loses a third of the labels."""
    changed = span(9, positives=400, label_recipe="b")
    assert stops(changed, good(8)) == ["sources.label_version"]
    # A person may accept it without a new version; the next span is then compared with that span only.
    assert not stops(span(10, positives=410, predicted=400, label_recipe="b"), [*good(8), changed])
    new_version = dataclasses.replace(changed, label_version=2)
    found = decide(new_version, good(8), Drift())
    assert [f.severity for f in found if f.rule == "drift.min_label_ratio"] == ["cannot_judge"]
    assert not stops(new_version, good(8))
    # From then on, days are compared with days of the new version.
    anew = [span(n, positives=400, predicted=400, label_recipe="b", label_version=2) for n in (10, 11, 12)]
    assert not stops(anew[-1], [*good(8), new_version, *anew[:-1]])


def slices(de: int, fr: int) -> dict[str, Labelled]:
    return {"country = de": Labelled(8000, de), "country = fr": Labelled(2000, fr)}


def test_a_country_without_labels_is_found_and_a_small_one_over_four_days() -> None:
    usual = [dataclasses.replace(e, slices=slices(560, 140)) for e in good(8)]
    gone = span(9, positives=560, predicted=700, slices=slices(560, 0))
    found = [f for f in decide(gone, usual, Drift()) if f.severity == "stop"]
    assert [f.sentence for f in found] == [
        "where country = fr, 0 of 2,000 impressions have label 1, where 140 are usual"
    ]
    few = {"country = li": Labelled(200, 14)}
    none = {"country = li": Labelled(200, 0)}
    usual = [dataclasses.replace(e, slices=few) for e in good(8)]
    days = [span(9 + n, slices=none) for n in range(4)]
    assert [bool(stops(day, [*usual, *days[:n]])) for n, day in enumerate(days)] == [False, False, False, True]


def test_slices_that_lost_no_more_than_all_examples_are_part_of_one_finding() -> None:
    def day(number: int, kept: float, kept_in_fr: float) -> SpanEvidence:
        """Returns 100,000 rows, 7 % of which have label 1 where all are kept; a fifth of the rows is French."""
        fr, de = round(1400 * kept_in_fr), round(5600 * kept)
        of_slices = {
            **{f"category = c{n:02d}": Labelled(5000, round((fr + de) / 20)) for n in range(20)},
            "country = fr": Labelled(20_000, fr),
            "country = de": Labelled(80_000, de),
        }
        model = ModelEvidence(Labelled(100_000, fr + de, float(fr + de)), 0.7)
        orphans = (fr + de) // 7
        return span(number, rows=100_000, positives=fr + de, orphans=orphans, slices=of_slices, model=model)

    days = [day(n, 1 + 0.02 * (n % 3 - 1), 1 + 0.02 * (n % 3 - 1)) for n in range(1, 9)]
    (found,) = decide(day(9, 0.5, 0.5), days, Drift())
    assert (found.severity, found.subject) == ("stop", "label")
    assert found.sentence.startswith("the share of label 1 is 0.0350, 0.50 times the usual 0.0700 ")
    assert found.sentence.endswith("; this explains the lack of label 1 in 22 slices, such as where category = c00")
    # Where one country has lost all, it is named: half of the labels outside of it do not explain that.
    found, of_fr = decide(day(9, 0.5, 0.0), days, Drift())
    assert found.sentence.endswith("this explains the lack of label 1 in 21 slices, such as where category = c00")
    assert (of_fr.severity, of_fr.subject) == ("stop", "label where country = fr")


def hours(*, without: Sequence[int] = (), a_day: int = 700) -> dict[int, LabelCount]:
    return {h: LabelCount(400, 0 if h in without else a_day // 24) for h in range(24)}


def test_hours_without_labels_stop_where_there_should_be_many() -> None:
    usual = [dataclasses.replace(e, ingested=dataclasses.replace(e.ingested, labels_by_hour=hours())) for e in good(8)]
    found = [
        f for f in decide(span(9, positives=650, labels_by_hour=hours(without=(22, 23))), usual, Drift())
        if f.severity == "stop"
    ]  # fmt: skip
    assert [f.sentence for f in found] == ["no impression of the hours 22, 23 (UTC) has label 1, where 54 are usual"]
    usual = [
        dataclasses.replace(e, ingested=dataclasses.replace(e.ingested, labels_by_hour=hours(a_day=72)))
        for e in good(8)
    ]
    assert not stops(span(9, labels_by_hour=hours(a_day=72, without=(3, 4, 5))), usual)  # 9 are usual


def test_a_feature_that_knows_the_label_of_a_sudden_stops() -> None:
    days = [dataclasses.replace(e, label_aucs={"page": 0.55}) for e in good(8)]
    assert stops(span(9, label_aucs={"page": 0.86}), days) == ["drift.max_label_auc_increase"]
    assert stops(span(9, label_aucs={"page": 0.6}), days) == []
    assert stops(span(9, label_aucs={"new": 0.86}), days) == []  # nothing to compare it with


def test_several_features_that_know_the_label_of_a_sudden_are_one_finding() -> None:
    """A bot shows one app only, so the app's id, developer and size each mark the rows of the bot."""
    usual = {"app": 0.65, "developer": 0.6, "page": 0.55, "size": 0.6}
    days = [dataclasses.replace(e, label_aucs=usual) for e in good(8)]
    current = span(9, label_aucs={"app": 0.9, "developer": 0.8, "page": 0.56, "size": 0.85})
    (found,) = decide(current, days, Drift())
    assert (found.severity, found.subject, found.value) == ("stop", "app", 0.9)
    assert found.sentence == (
        "app alone predicts the label with an AUC of 0.900, in earlier spans at most 0.650 "
        "(drift.max_label_auc_increase: 0.1): and so do 2 others far better than before (size, developer): as if they "
        "were written after the fact, or as if rows of one user or item, such as a bot's, had one label"
    )


def test_examples_of_one_label_say_that_a_leak_cannot_be_found() -> None:
    days = [dataclasses.replace(e, label_aucs={"page": 0.55}) for e in good(8)]
    assert [f.sentence for f in leak_findings(span(9, sample=Labelled(500, 0)), days, Drift())] == [
        "whether a feature leaks the label cannot be judged: the 500 examples measured have one label"
    ]


def test_a_feature_that_has_no_slices_any_more_is_said() -> None:
    many, one = (measure_tokens({f"c{n:03d}": 10 for n in range(number)}, 0, 1000) for number in (100, 1))
    slices = {"country = de": Labelled(8000, 560), "country = fr": Labelled(2000, 140)}
    earlier = [span(8, slices=slices)]

    def said(current: SpanEvidence) -> list[str]:
        return [f.sentence for f in unsliced_findings(current, earlier, Drift())]

    assert said(span(9, features={"country": many})) == [
        "lost labels cannot be detected by country: it has 100 values, too many for slices"
    ]
    assert said(span(9, slices=slices)) == []
    assert said(span(9, features={"country": one})) == []  # its slice would be the span
    assert said(span(9, features={})) == []  # a feature that the config no longer has


def test_chance_in_a_leak_is_that_of_the_measured_examples() -> None:
    """With 100 positives of 200,000 rows, an AUC's standard error is √(2 / (12 · 100)) = 0.041; with 10,000, 0.0041."""
    days = [dataclasses.replace(e, label_aucs={"page": 0.55}) for e in good(8)]
    settings = Drift(max_label_auc_increase=0.15)

    def leaks(auc: float, sample: Labelled | None) -> list[Finding]:
        current = span(9, rows=20_000_000, positives=10_000, label_aucs={"page": auc}, sample=sample)
        return [f for f in leak_findings(current, days, settings) if f.severity == "stop"]

    for sample in (Labelled(200_000, 100), None):  # None: of an earlier release
        assert leaks(0.81, sample) == []
        (found,) = leaks(0.83, sample)
        assert found.bound == pytest.approx(0.55 + 0.15 + 3 * math.sqrt(2 / 1200), abs=1e-4)
        assert found.rows == 200_000


def test_a_baseline_that_ranks_at_random_stops_and_one_that_is_a_little_worse_does_not() -> None:
    assert stops(span(9, auc=0.5), good(8)) == ["drift.max_auc_loss"]
    assert stops(span(9, auc=0.65), good(8)) == []


def test_a_span_that_no_serving_model_has_scored_says_so() -> None:
    one_label = ModelEvidence(Labelled(50, 0, 3.5), None)
    for model, why in (
        (None, "no baseline has scored the span"),
        (one_label, "the 50 examples that the baseline has scored have one label"),
    ):
        (found,) = decide(span(9, model=model), good(8), Drift())
        assert (found.severity, found.subject) == ("cannot_judge", "baseline")
        assert found.sentence.startswith(f"{why}: lost labels, ")


def test_the_error_of_an_auc_is_that_of_hanley_and_mcneil() -> None:
    """At 0.5 it is √((P + N + 1) / 12 P N), the standard error of a rank sum, times √2 for correlated examples."""
    assert auc_error(0.5, Labelled(1000, 100)) == pytest.approx((2 * 1001 / (12 * 100 * 900)) ** 0.5, rel=0.001)


def test_the_spread_leaves_out_one_in_ten() -> None:
    assert spread([0.0] * 13 + [5.0], 0.01) == 0.01
    assert spread([0.0, 0.2] * 7, 0.01) == pytest.approx(0.2 / 2.56)
    assert spread([1.0], 0.01) == pytest.approx(0.02)
    assert poisson_tail(1, 2.0) == pytest.approx(3 * 2.718281828**-2)
