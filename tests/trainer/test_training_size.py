"""The settings of a training that follow from the number of its examples."""

from __future__ import annotations

import pytest

from trainer.training_size import sized, sized_value
from transform.config.settings import DeepOptimizer, Ftrl, Training


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "num_epochs", "patience"),
    [
        (0, 64, 30, 2),
        (9_599, 64, 30, 2),
        (9_600, 128, 30, 2),  # 150 steps of 64, or 75 of 128
        (100_000, 1024, 30, 2),
        (1_000_000, 1024, 3, 2),
        (2_100_000, 1024, 1, 0),
        (10**9, 1024, 1, 0),
    ],
)
def test_what_is_left_out_follows_from_the_number_of_examples(
    num_examples: int, batch_size: int, num_epochs: int, patience: int
) -> None:
    found = sized(Training(), num_examples)
    assert (found.batch_size, found.num_epochs, found.patience) == (batch_size, num_epochs, patience)
    assert sized(found, 5) == found


@pytest.mark.parametrize(
    ("training", "accumulator"),
    [
        (Training(), 1 / 65_536),  # 25,600 examples: batches of 256
        (Training(batch_size=64), 1 / 4_096),
        (Training(batch_size=1000, wide_optimizer=Ftrl(l1=0.5)), 1e-6),
        (Training(wide_optimizer=Ftrl(initial_accumulator=0.1)), 0.1),
        (Training(wide_optimizer=Ftrl(initial_accumulator=0.0)), 0.0),
    ],
)
def test_ftrl_starts_from_the_square_of_one_examples_gradient(training: Training, accumulator: float) -> None:
    found = sized(training, 25_600).wide_optimizer
    assert found.initial_accumulator == pytest.approx(accumulator, rel=1e-12)
    assert (found.learning_rate, found.l1) == (training.wide_optimizer.learning_rate, training.wide_optimizer.l1)


def test_what_is_given_stays() -> None:
    given = Training(
        batch_size=7,
        num_epochs=3,
        patience=4,
        validation_fraction=0.25,
        wide_optimizer=Ftrl(initial_accumulator=0.02),
        deep_optimizer=DeepOptimizer(learning_rate=0.3),
    )
    assert sized(given, 100_000) == given


def test_one_epoch_has_no_early_stopping_whatever_is_written() -> None:
    found = sized(Training(patience=3, validation_fraction=0.25), 10**9)
    assert (found.num_epochs, found.patience, found.validation_fraction) == (1, 0, 0.0)


def test_settings_that_are_not_sized_are_told() -> None:
    with pytest.raises(ValueError, match=r"^`training.batch_size` must be set; `sized` sets it$"):
        sized_value(Training(num_epochs=1).batch_size, "batch_size")
    assert sized_value(0.0, "wide_optimizer.initial_accumulator") == 0.0
