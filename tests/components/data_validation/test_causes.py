"""Rules that name the cause of a bad day: values, ids, requests, slices and labels that are not as before."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from components.data_validation.decision import decide
from components.data_validation.distributions import Distribution, measure_numbers, measure_tokens
from components.data_validation.evidence import Labelled, ModelEvidence, SpanEvidence
from components.data_validation.feature_rules.new_values import new_values
from components.data_validation.label_rules.by_model import model_findings
from components.gate_records import Finding
from components.ingestion.evidence import SketchValue, TableEvidence
from tests.components.data_validation.hand_written import good, span, stops
from transform.config.drift import Drift


def said(current: SpanEvidence, earlier: Sequence[SpanEvidence]) -> list[tuple[str, str]]:
    """Returns severity and subject of each finding."""
    return [(f.severity, f.subject) for f in decide(current, earlier, Drift())]


def sentence(current: SpanEvidence, earlier: Sequence[SpanEvidence]) -> str:
    (found,) = decide(current, earlier, Drift())
    return found.sentence


def with_features(earlier: Sequence[SpanEvidence], **features: Distribution) -> list[SpanEvidence]:
    return [dataclasses.replace(e, features=features) for e in earlier]


def counts(**values: int) -> Distribution:
    return measure_tokens(values, 0, sum(values.values()))


def test_a_new_value_of_a_fifth_at_most_warns_where_the_others_are_as_before() -> None:
    days = with_features(good(8), country=counts(de=8000, fr=2000))
    opened = span(9, features={"country": counts(de=6800, fr=1700, tr=1500)})
    assert said(opened, days) == [("warn", "country")]
    assert sentence(opened, days).endswith("the cause is tr, which no span before has, or hardly any: this only warns")
    rare = with_features(good(8), country=counts(de=8000, fr=1900, tr=100))
    assert said(opened, rare) == [("warn", "country")]
    now, seldom, often = counts(de=85, tr=15), counts(de=99, tr=1), counts(de=98, tr=2)
    assert new_values(now, [seldom]) == {}
    assert new_values(now, [seldom], growth=10) == {"tr": 0.15}
    assert new_values(now, [seldom, often], growth=10) == {}
    assert stops(span(9, features={"country": counts(de=5600, fr=1400, tr=3000)}), days) == ["drift.divergence_floor"]
    renamed = span(9, features={"country": counts(de=8000, FR=2000)})  # all of the old value is gone
    assert stops(renamed, days) == ["drift.divergence_floor"]


def test_values_that_only_another_feature_had_are_swapped() -> None:
    usual = {"country": counts(de=8000, fr=2000), "language": counts(en=5000, es=5000)}
    days = with_features(good(8), **usual)
    swapped = {
        "country": counts(de=7800, fr=1900, en=150, es=150),
        "language": counts(en=4850, es=4850, de=200, fr=100),
    }
    (found,) = decide(span(9, features=swapped), days, Drift())
    assert (found.severity, found.subject) == ("stop", "country and language")
    assert found.sentence == (
        "3.0% of the values of country are ones that only language had before (en, es), and 3.0% of those of language "
        "ones that only country had (de, fr): in some rows the two may be swapped"
    )
    one_way = {"country": swapped["country"], "language": usual["language"]}
    assert stops(span(9, features=one_way), days) == []


def prices(*values: float) -> Distribution:
    return measure_numbers(np.array(values * 100), 100 * len(values))


def test_prices_that_are_all_0_for_a_day_warn_where_the_serving_model_foresees_the_installs() -> None:
    days = with_features(good(8), price=prices(0.0, 0.0, 0.0, 1.0, 2.0))
    free = span(9, positives=900, predicted=900, features={"price": prices(*[0.0] * 5)})
    assert stops(free, days) == []
    assert ("warn", "price") in said(free, days)
    assert stops(span(9, predicted=900, features=free.features), days) == ["drift.divergence_floor"]
    assert stops(span(9, features={"price": prices(*[1.0] * 5)}), days) == ["drift.divergence_floor"]


def users(**more: int) -> Distribution:
    """Returns 200 users of 40 to 60 examples each, and others."""
    return measure_tokens({**{f"u{n}": 40 + n % 21 for n in range(200)}, **more}, 0, 2000)


def test_a_few_ids_that_have_more_of_the_examples_than_before_are_named() -> None:
    days = [dataclasses.replace(e, features={"user": users()}, ids=("user",)) for e in good(8)]
    bots = span(9, features={"user": users(bot1=300, bot2=300, bot3=300, bot4=300)}, ids=("user",))
    # 200 users have 9,962 examples, so 1,200 of 11,162 are the bots'; four users had at most 4 · 60 = 240, 2.4 %.
    assert sentence(bots, days).startswith(
        "4 ids have 10.8% of the examples by user (bot1, bot2, bot3, …), where as many had 2.4% in the nearest span: "
    )
    default = span(9, features={"user": users(**{"0": 1000})}, ids=("user",))
    assert sentence(default, days).startswith("one id has 9.1% of the examples by user (0), where as many had 0.6% ")
    # A quarter of the users: each has a larger share, but no more examples.
    few = measure_tokens({f"u{n}": 40 + n % 21 for n in range(50)}, 0, 500)
    assert not [s for s in said(span(9, features={"user": few}, ids=("user",)), days) if "most frequent" in s[1]]
    # With one reference span: 4 users have 2.4 % more of the examples, or those of one bot are a tenth more of them.
    more, most = users(bot1=150, bot2=150, bot3=150, bot4=150), users(bot1=1300)
    assert [s for s in said(span(9, features={"user": more}, ids=("user",)), days) if "most frequent" in s[1]]
    of_two_days = [[s[1] for s in said(span(9, features={"user": u}, ids=("user",)), days[:1])] for u in (more, most)]
    assert [("most frequent user" in subjects) for subjects in of_two_days] == [False, True]


def test_requests_with_fewer_examples_than_usual_are_said() -> None:
    cut = span(9, rows=8000, positives=560, predicted=560)  # 10 examples a request before
    assert said(dataclasses.replace(cut, num_requests=1000), good(8)) == [("warn", "examples per request")]
    assert said(cut, good(8)) == []


def test_missing_rows_of_label_0_are_named() -> None:
    halved = span(9, rows=5350, positives=700, predicted=375, num_requests=535)
    (found,) = [f for f in decide(halved, good(8), Drift()) if f.subject == "label"]
    assert found.severity == "warn"
    assert found.sentence.endswith("; there is about as much label 1 as usual, but 0.50 times label 0")
    sale = span(9, positives=1400, predicted=700)
    assert "label 0" not in next(f for f in decide(sale, good(8), Drift()) if f.subject == "label").sentence


@pytest.mark.parametrize(("lost", "warns"), [(0.2, True), (0.1, False)])
def test_labels_that_are_lost_in_the_first_days_warn(lost: float, warns: bool) -> None:
    """ln 0.8 = -0.22, and 3 · √(2 / 1600 + 0.04²) = 0.16 is due to chance."""
    first = [span(n, rows=30_000, positives=2000, predicted=2000) for n in (1, 2)]
    third = span(3, rows=30_000, positives=round(2000 * (1 - lost)), predicted=2000)
    assert stops(third, first) == []
    assert (("warn", "label") in said(third, first)) == warns


def with_slices(evidence: SpanEvidence, slices: dict[str, Labelled], **aucs: float) -> SpanEvidence:
    assert evidence.model is not None
    model = ModelEvidence(evidence.model.whole, evidence.model.auc, {f"country = {c}": auc for c, auc in aucs.items()})
    return dataclasses.replace(evidence, slices=slices, model=model)


def test_a_slice_that_the_serving_model_ranks_at_random_stops() -> None:
    slices = {"country = de": Labelled(8000, 500), "country = fr": Labelled(2000, 200)}
    days = [with_slices(e, slices, de=0.69 + 0.01 * (e.span % 3), fr=0.69 + 0.01 * (e.span % 3)) for e in good(8)]
    (found,) = model_findings(with_slices(span(9), slices, de=0.7, fr=0.5), days, Drift())
    assert (found.severity, found.subject, found.rows) == ("stop", "auc where country = fr", 2000)
    assert found.sentence == (
        "where country = fr, the baseline's AUC is 0.500, usually 0.700: labels or features there may be joined "
        "to the wrong rows"
    )
    (of_first_days,) = model_findings(with_slices(span(9), slices, de=0.7, fr=0.5), days[:6], Drift())
    assert of_first_days.severity == "warn"
    # The standard error is 0.028 with 200 positives, so 4.5 of them are 0.13; 0.6 of the lead are 0.12.
    assert not list(model_findings(with_slices(span(9), slices, de=0.7, fr=0.59), days, Drift()))
    few = slices | {"country = fr": Labelled(200, 20)}
    assert not list(model_findings(with_slices(span(9), few, de=0.7, fr=0.5), days, Drift()))
    # Two labels before, which the model ranked near the top by chance.
    lucky = [with_slices(e, slices | {"country = fr": Labelled(20, 2)}, de=0.7, fr=0.98) for e in good(3)]
    assert not list(model_findings(with_slices(span(9), slices, de=0.7, fr=0.62), lucky, Drift()))


def test_a_value_that_only_examples_of_label_1_have_stops() -> None:
    slices = {"page = home": Labelled(9000, 630), "page = search": Labelled(1000, 70)}
    days = [dataclasses.replace(e, slices=slices) for e in good(8)]
    leak = {"page = home": Labelled(8800, 430), "page = search": Labelled(1000, 70), "page = own": Labelled(200, 200)}
    (found,) = [f for f in decide(span(9, slices=leak), days, Drift()) if f.severity == "stop"]
    assert found.subject == "label where page = own"
    assert found.sentence.startswith("where page = own, 200 of 200 impressions have label 1, where 14 are usual ")
    sale = {"page = home": Labelled(9000, 630), "page = search": Labelled(1000, 170)}  # 2.4 times
    assert stops(span(9, positives=800, predicted=800, slices=sale), days) == []


def test_a_feature_that_predicts_the_label_better_than_is_usual_warns() -> None:
    days = [dataclasses.replace(e, label_aucs={"page": 0.55, "size": 0.6}) for e in good(8)]
    # 3 · √(2 · 10,001 / (12 · 700 · 9300)) = 0.048
    assert said(span(9, label_aucs={"page": 0.6, "size": 0.6}), days) == [("warn", "page")]
    assert said(span(9, label_aucs={"page": 0.59, "size": 0.6}), days) == []


def catalog(number: int, values: Mapping[int, SketchValue]) -> SpanEvidence:
    table = TableEvidence(100, 0, ("value",), {key: (value,) for key, value in values.items()})
    ingested = dataclasses.replace(span(number).ingested, tables={"catalog": table})
    return dataclasses.replace(span(number), ingested=ingested)


def of_value(current: SpanEvidence, earlier: Sequence[SpanEvidence]) -> list[Finding]:
    return [f for f in decide(current, earlier, Drift()) if f.subject == "value"]


def test_numbers_that_are_a_multiple_of_those_before_warn() -> None:
    """They grow by 0.4 % a day, so that 1.2 % is the bound, and 1 % at least."""

    def day(number: int, factor: float = 1.0) -> SpanEvidence:
        return catalog(number, {key: factor * 100 * key * 1.004**number for key in range(1, 101)})

    days = [day(n) for n in range(1, 9)]
    assert of_value(day(9), days) == []
    (found,) = of_value(day(9, 1.3), days)
    assert found.severity == "warn"
    assert found.sentence.startswith(
        "the values of value are 1.31 times those of the same keys of `catalog` before, in the median, usually at most "
        "1.004 times: "
    )


def test_missing_values_that_all_have_one_at_once_warn() -> None:
    values = {key: None if key % 10 == 0 else float(key) for key in range(1, 101)}
    days = [catalog(n, values) for n in range(1, 9)]
    (found,) = of_value(catalog(9, {key: value or 0.0 for key, value in values.items()}), days)
    assert (found.severity, found.value) == ("warn", 1.0)
    assert of_value(catalog(9, values | {10: 3.0, 20: 4.0}), days) == []


def test_strings_of_a_quarter_of_the_keys_that_belong_to_others_warn() -> None:
    values = {key: key % 10 for key in range(1, 101)}
    days = [catalog(n, values) for n in range(1, 9)]
    (found,) = of_value(catalog(9, values | {key: (key + 1) % 10 for key in range(1, 26)}), days)
    assert found.severity == "warn"
    assert found.sentence.startswith("some values of value belong to other keys of `catalog` than before: ")


def test_half_the_labels_of_a_small_slice_warn_and_are_no_second_sign_for_the_serving_model() -> None:
    """For a Poisson variable with a mean of 96 / 2, P(X <= 45 // 2) is 2.2e-5, and P(X <= 57 // 2) is 1.3e-3."""
    slices = {"country = de": Labelled(9000, 630), "country = es": Labelled(1000, 96)}
    days = [dataclasses.replace(e, slices=slices) for e in good(8)]
    lost = slices | {"country = es": Labelled(1000, 45)}
    assert said(span(9, slices=lost), days) == [("warn", "label where country = es")]
    assert stops(span(9, predicted=900, slices=lost), days) == []
    assert said(span(9, slices=slices | {"country = es": Labelled(1000, 57)}), days) == []
