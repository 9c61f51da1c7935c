"""Warns before a run where a config's settings leave quality on the table."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.check.source_report import SourceReport
from trainer.training_size import SMALLEST_BATCH, sized_value
from transform.config.config import Config
from transform.config.effective import effective_training

#: With fewer steps than this, most weights are still near where they began.
_FEWEST_STEPS = 500

#: Adam moves each weight by about its rate in each step; above this it jumps over the minimum.
_HIGHEST_ADAM_RATE = 0.01

#: An example adds at most (1 / batch size)² to FTRL's accumulator. One that starts at more than so many examples' worth
#: hides the gradients of values with fewer examples.
_MOST_INITIAL_EXAMPLES = 300


def training_warnings(config: Config) -> Iterator[str]:
    """Yields a sentence for each rate or accumulator of the config with which a training probably learns little."""
    deep = effective_training(config.training, bool(config.spec.count_encodings)).deep_optimizer
    rate = sized_value(deep.learning_rate, "deep_optimizer.learning_rate")
    if deep.name == "adam" and rate > _HIGHEST_ADAM_RATE and config.model.parts != "wide":
        yield (
            f"Adam with a rate of {rate:g} hardly learns; rates from 0.0005 to 0.005 do "
            "(training.deep_optimizer.learning_rate)"
        )
    yield from _large_accumulator(config)


def num_training_rows(config: Config, report: SourceReport) -> float | None:
    """Estimates how many rows a run trains on.

    Args:
      config: The config.
      report: What `check_rows` found in the impressions' first rows.

    Returns:
      The number; None if the impressions have more rows than were read.
    """
    if not report.is_whole:
        return None
    log = config.sources.impressions
    share = 1.0 if log.splits is not None or config.ingestion.split_by == "time" else 1 - config.ingestion.eval_fraction
    return (report.num_rows - report.num_rejected) * share * config.ingestion.window_spans


def few_steps(config: Config, num_rows: float | None) -> Iterator[str]:
    """Yields a sentence if the training that the config asks for has few steps.

    Args:
      config: The config.
      num_rows: How many rows it is trained on; None if it is not known.
    """
    training = config.training
    if training.num_epochs is None or training.batch_size is None or num_rows is None:
        return
    num_steps = round(training.num_epochs * num_rows / training.batch_size)
    if num_steps < _FEWEST_STEPS:
        yield (
            f"{training.num_epochs} epochs of about {num_rows:,.0f} rows in batches of {training.batch_size} are "
            f"{num_steps:,} steps, in which little is learned; without `training.num_epochs` and `training.batch_size` "
            "both follow from the number of rows"
        )


def _large_accumulator(config: Config) -> Iterator[str]:
    ftrl = config.training.wide_optimizer
    if ftrl.initial_accumulator is None or ftrl.learning_rate_power == 0 or config.model.parts == "deep":
        return
    batch_size = config.training.batch_size or SMALLEST_BATCH
    num_examples = ftrl.initial_accumulator * batch_size**2
    if num_examples > _MOST_INITIAL_EXAMPLES:
        or_more = "" if config.training.batch_size else " or more"
        yield (
            f"FTRL's initial accumulator of {ftrl.initial_accumulator:g} is the sum of {num_examples:,.0f} examples' "
            f"squared gradients{or_more}, in batches of {batch_size:,}{or_more}: weights of values with fewer examples "
            "hardly move; left out, it follows from the batch size "
            "(training.wide_optimizer.initial_accumulator)"
        )
