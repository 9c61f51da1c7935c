"""Warnings of `wdr check` and `wdr run` about the training."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.check.source_report import Rejections, SourceReport
from pipeline.check.training import few_steps, num_training_rows, training_warnings
from tests.transform.small_config import small_config

#: 10,000 of 12,500 rows that are kept are for training.
REPORT = SourceReport("impressions", 1, 13_000, {"bad_label": Rejections(500, "x")})
STEPS = (
    "1 epochs of about 10,000 rows in batches of 512 are 20 steps, in which little is learned; without "
    "`training.num_epochs` and `training.batch_size` both follow from the number of rows"
)
RATE = "Adam with a rate of 0.05 hardly learns; rates from 0.0005 to 0.005 do (training.deep_optimizer.learning_rate)"
#: 0.1 · 64² and 0.1 · 512².
ACCUMULATOR = (
    "FTRL's initial accumulator of 0.1 is the sum of 410 examples' squared gradients or more, in batches of 64 or "
    "more: weights of values with fewer examples hardly move; left out, it follows from the batch size "
    "(training.wide_optimizer.initial_accumulator)"
)
ACCUMULATOR_OF_512 = ACCUMULATOR.replace("410", "26,214").replace("64", "512").replace(" or more", "")


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ([], []),
        ([("training.num_epochs", 1)], []),
        ([("training.num_epochs", 1), ("training.batch_size", 512)], [STEPS]),
        ([("training.num_epochs", 26), ("training.batch_size", 512)], []),
        ([("training.deep_optimizer", {"name": "adam", "learning_rate": 0.05})], [RATE]),
        ([("training.deep_optimizer", {"name": "adam", "learning_rate": 0.005})], []),
        ([("model.parts", "wide"), ("training.deep_optimizer", {"name": "adam", "learning_rate": 0.05})], []),
        ([("training.deep_optimizer", {"name": "adam"})], []),
        ([("training.wide_optimizer", {"l1": 0.001})], []),
        ([("training.wide_optimizer", {"initial_accumulator": 0.1})], [ACCUMULATOR]),
        (
            [("training.wide_optimizer", {"initial_accumulator": 0.1}), ("training.batch_size", 512)],
            [ACCUMULATOR_OF_512],
        ),
        ([("training.wide_optimizer", {"initial_accumulator": None})], []),
        # 0.001 · 512² = 262, and 0.00115 · 512² = 301
        ([("training.wide_optimizer", {"initial_accumulator": 0.001}), ("training.batch_size", 512)], []),
        (
            [("training.wide_optimizer", {"initial_accumulator": 0.00115}), ("training.batch_size", 512)],
            [ACCUMULATOR_OF_512.replace("0.1 ", "0.00115 ").replace("26,214", "301")],
        ),
        ([("training.wide_optimizer", {"learning_rate_power": 0, "initial_accumulator": 0.1})], []),
        ([("model.parts", "deep"), ("training.wide_optimizer", {"initial_accumulator": 0.1})], []),
    ],
)
def test_settings_that_leave_quality_on_the_table(changes: list[tuple[str, Any]], warnings: list[str]) -> None:
    config = small_config(*changes)
    assert [*few_steps(config, num_training_rows(config, REPORT)), *training_warnings(config)] == warnings


def test_of_a_log_that_was_not_read_to_its_end_the_steps_are_not_known() -> None:
    config = small_config(("training.num_epochs", 1), ("training.batch_size", 512))
    report = SourceReport("impressions", 1, 100, {}, is_whole=False)
    assert num_training_rows(config, report) is None
    assert list(few_steps(config, None)) == []
