"""Budgets of a model's costs: absolute ones, and ones relative to the serving model, measured in the same run."""

from __future__ import annotations

from collections.abc import Iterator

from components.infra_validation.verdict import Measurements
from transform.config.infra_validation import InfraValidation


def missed_budgets(settings: InfraValidation, candidate: Measurements, baseline: Measurements | None) -> Iterator[str]:
    """Yields a sentence for each budget that the candidate model exceeds; relative budgets need a baseline."""
    best = candidate.best_latency
    way = f" at {best.threads} × {best.batch_size}"
    for what, unit, limit, value, how in (
        ("the 95th percentile of the time for 200 candidates", "ms", settings.max_latency_ms, best.p95_ms, way),
        ("the memory of the model's process", "MB", settings.max_memory_mb, candidate.peak_memory_mb, ""),
        ("the time to load the model", "s", settings.max_load_seconds, candidate.load_seconds, ""),
        ("the size of the model's files", "MB", settings.max_size_mb, candidate.size_mb, ""),
    ):
        if limit is not None and value > limit:
            yield f"{what} must be at most {limit:g} {unit}. Received: {value:.4g} {unit}{how}"
    if baseline is None:
        return
    medians = best.p50_ms, baseline.best_latency.p50_ms
    for what, unit, ratio, (value, before) in (
        ("the median time for 200 candidates", "ms", settings.max_latency_ratio, medians),
        ("the memory that the model adds", "MB", settings.max_memory_ratio, (candidate.memory_mb, baseline.memory_mb)),
        ("the size of the model's files", "MB", settings.max_size_ratio, (candidate.size_mb, baseline.size_mb)),
    ):
        if ratio is not None and value > ratio * before:
            yield (
                f"{what} must be at most {ratio:g} times the serving model's. "
                f"Received: {value:.4g} {unit} after {before:.4g} {unit}"
            )
