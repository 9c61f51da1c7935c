"""Warns before a run where a config's settings leave quality on the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.source_report import SourceReport
from transform.config.config import Config
from transform.feature_spec import IMPRESSIONS

#: With fewer steps than this, most weights are still near where they began.
_FEWEST_STEPS = 500

#: Adam moves each weight by about its rate in each step; above this it jumps over the minimum.
_HIGHEST_ADAM_RATE = 0.01


def training_warnings(config: Config, reports: Sequence[SourceReport]) -> Iterator[str]:
    """Yields a sentence for each setting of the training that probably costs quality.

    Args:
      config: The config.
      reports: What `check_rows` found in the sources' first rows.
    """
    yield from _few_steps(config, next(report for report in reports if report.name == IMPRESSIONS))
    deep = config.training.deep_optimizer
    if deep.name == "adam" and deep.learning_rate > _HIGHEST_ADAM_RATE and config.model.parts != "wide":
        yield (
            f"Adam with a rate of {deep.learning_rate:g} hardly learns; rates from 0.0005 to 0.005 do "
            "(training.deep_optimizer.learning_rate)"
        )


def _few_steps(config: Config, report: SourceReport) -> Iterator[str]:
    training, log = config.training, config.sources.impressions
    if training.num_epochs is None or training.batch_size is None or not report.is_whole:
        return
    share = 1.0 if log.splits is not None or config.ingestion.split_by == "time" else 1 - config.ingestion.eval_fraction
    num_rows = (report.num_rows - report.num_rejected) * share * config.ingestion.window_spans
    num_steps = round(training.num_epochs * num_rows / training.batch_size)
    if num_steps < _FEWEST_STEPS:
        yield (
            f"{training.num_epochs} epochs of about {num_rows:,.0f} rows in batches of {training.batch_size} are "
            f"{num_steps:,} steps, in which little is learned; without `training.num_epochs` and `training.batch_size` "
            "both follow from the number of rows"
        )
