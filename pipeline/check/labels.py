"""Checks of `wdr check` of the labels: how rare they are, and how many rows of each a split has."""

from __future__ import annotations

import collections
import math

import numpy as np

from components.ingestion.layout import Layout, are_for_evaluation, cut_of_fraction
from components.ingestion.spans import SpanFiles
from pipeline.check.first_rows import ReadRows
from pipeline.check.source_report import SourceReport
from transform.config.config import Config
from transform.feature import IMPRESSIONS

#: A label in a smaller share of the rows is rare.
_RARE = 0.03

#: With a larger share for evaluation, less than half of the rows would be trained on.
_MAX_EVAL_FRACTION = 0.5

#: The number of rows by split and label.
_Counts = collections.Counter[tuple[str, int]]


def rare_label(config: Config, report: SourceReport) -> list[str]:
    """Returns a sentence on what follows if one of the labels is rare.

    Args:
      config: The config.
      report: What `check_rows` found in the impressions' first rows.
    """
    total = sum(report.labels.values())
    if len(report.labels) < 2:
        return []
    label, number = min(report.labels.items(), key=lambda item: item[1])
    if number >= _RARE * total:
        return []
    return [
        f"`{config.sources.impressions.label}` is {label} in {number / total:.2%} of the rows ({number:,} of "
        f"{total:,}): whoever always says {1 - label} is right in the others, so that scores are compared with this "
        f"share and not with 0.5, and every metric is as sure as {number:,} rows make it; if these rows are not what "
        "is to be predicted, correct `label` or `label_rule`"
    ]


def small_splits(config: Config, found: SpanFiles, impressions: ReadRows, report: SourceReport) -> list[str]:
    """Returns a sentence for each split with too few rows of a label, if the log has labels and was read to its end.

    Args:
      config: The config.
      found: The span's files.
      impressions: The first impressions.
      report: What `check_rows` found in them.
    """
    if len(report.labels) < 2 or not report.is_whole:
        return []
    counts = _count_rows(config, found, impressions)
    for label in (0, 1):
        counts["train", label] *= config.ingestion.window_spans
    needed = config.evaluation.min_positives
    return [
        f"the {split} split has {counts[split, 1]:,} rows of label 1 and {counts[split, 0]:,} of label 0, and needs "
        f"{needed} of each (evaluation.min_positives): {_consequence(split)}; {_remedy(config, counts, split, needed)}"
        for split in ("train", "eval")
        if min(counts[split, 0], counts[split, 1]) < needed
    ]


def _count_rows(config: Config, found: SpanFiles, impressions: ReadRows) -> _Counts:
    layout, log = Layout(config), config.sources.impressions
    assert layout.label is not None
    splits = {path: split for split, paths in found.files[IMPRESSIONS].items() for path in paths}
    cut = 0.0
    if layout.split is not None and config.ingestion.is_split_by_time:
        times = [np.asarray(block.values[layout.split]) for _, block in impressions.blocks]
        cut = _cut(config, np.concatenate(times))
    counts: _Counts = collections.Counter()
    for path, block in impressions.blocks:
        labels = np.asarray(block.values[layout.label])
        if log.splits is not None:
            is_eval = np.full(len(labels), splits[path] == "eval")
        else:
            values = None if layout.split is None else block.values[layout.split]
            is_eval = are_for_evaluation(config.ingestion, path, block.numbers, values, cut)
        for split, rows in (("train", ~is_eval), ("eval", is_eval)):
            counts.update({(split, label): int((labels[rows] == label).sum()) for label in (0, 1)})
    return counts


def _cut(config: Config, times: np.ndarray) -> float:
    rule = config.ingestion
    if rule.split_by == "time":
        # Imported here only: it imports Beam, which a check of other splits does not need.
        from components.ingestion.stages.span_end import EndOfLog, count_minutes

        return EndOfLog().extract_output(count_minutes(times)) - rule.eval_seconds
    found, numbers = np.unique(times, return_counts=True)
    return cut_of_fraction(dict(zip(found.tolist(), numbers.tolist(), strict=True)), rule.eval_fraction)


def _consequence(split: str) -> str:
    if split == "train":
        return "little is learned from fewer"
    return "with fewer, a first model is pushed only if its AUC is above 0.5 beyond chance"


def _remedy(config: Config, counts: _Counts, split: str, needed: int) -> str:
    log, rule = config.sources.impressions, config.ingestion
    label = min((0, 1), key=lambda label: counts[split, label])
    if log.splits is not None:
        return f"add rows to the files of `splits.{split}`"
    if split == "train":
        return "add logs, or evaluate on fewer rows" if counts["eval", label] > needed else "add logs"
    if rule.split_by == "time":
        return "add logs, or set a longer `ingestion.eval_seconds`"
    number = counts["eval", label]
    fraction = math.ceil(100 * rule.eval_fraction * needed / number) / 100 if number else math.inf
    if fraction > _MAX_EVAL_FRACTION:
        return "add logs"
    return f"add logs, or set `ingestion.eval_fraction: {fraction:g}`"
