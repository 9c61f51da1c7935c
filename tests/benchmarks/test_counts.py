"""Counts do not leak labels: short forms of `benchmarks.counts`."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.counts import config_of, few_rows, longer_windows, no_signal, read_label_counts, trained
from transform.example_keys import NO_FOLD, NUM_FOLDS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("num_spans", [1, 2])
def test_where_there_is_no_signal_counts_have_none(num_spans: int) -> None:
    train_log, eval_log = no_signal(1, 20_000 * num_spans, num_spans)
    assert eval_log.labels.sum() > 2000
    config = config_of(("user", "item"), (("user", "item"), ("user",)), "wide", num_epochs=1)
    model = trained(config, train_log, eval_log, seed=1)
    # About 1,700 pairs with a positive: a standard deviation of 0.29 / √1700 = 0.007.
    assert model.result.validation.auc == pytest.approx(0.5, abs=0.025)


def test_counts_that_see_other_impressions_of_the_same_install_tell_the_label() -> None:
    train_log, eval_log = no_signal(1, 20_000, withhold=False)
    each_alone = dataclasses.replace(train_log, folds=np.arange(train_log.labels.size) % NUM_FOLDS)
    no_folds = dataclasses.replace(eval_log, folds=np.full_like(eval_log.folds, NO_FOLD))
    config = config_of((), (("user", "item"),), "wide", num_epochs=1)
    auc = trained(config, each_alone, no_folds, seed=1).result.validation.auc
    assert auc is not None
    assert auc > 0.95


def test_counts_that_say_nothing_new_do_no_harm() -> None:
    logs = few_rows(1)
    without, with_counts = (
        trained(config_of(("item",), counts), *logs, seed=1).result.validation for counts in ((), (("item",),))
    )
    assert (with_counts.auc or 0.0) >= (without.auc or 1.0)
    assert (with_counts.logloss or 1.0) <= (without.logloss or 0.0)


def test_weights_of_two_spans_are_right_for_the_counts_of_seven() -> None:
    log = longer_windows(1, 8, rows=20_000)
    last, none = log.where(log.spans == 7), log.where(log.spans == 8)
    config = config_of((), (("item",),), "wide")
    model = trained(config, log.where(log.spans <= 1), last.where(last.labels.cumsum() < 9), seed=1)
    short, long = (
        model.evaluate(last, read_label_counts(config, log.where((log.spans < 7) & (log.spans >= 7 - number)), none))
        for number in (1, 7)
    )
    assert (long[0].logloss or 1.0) < (short[0].logloss or 0.0)
    assert long[1] == pytest.approx(1, abs=0.1)
