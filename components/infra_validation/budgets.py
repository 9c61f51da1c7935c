"""What a model may cost: absolute budgets, and budgets relative to the serving model as measured in the same run."""

from __future__ import annotations

from collections.abc import Iterator

from components.infra_validation.subject import Measurements
from transform.infra_settings import InfraValidation


def missed_budgets(settings: InfraValidation, candidate: Measurements, baseline: Measurements | None) -> Iterator[str]:
    """A sentence for each budget that the candidate does not keep; the relative ones need a baseline."""
    best = candidate.best_latency
    way = f"{best.threads} × {best.batch_size}"
    absolute = [
        ("the 95th percentile of the time for 200 candidates", best.p95_ms, settings.max_latency_ms, f" ms at {way}"),
        ("the memory of the model's process", candidate.peak_memory_mb, settings.max_memory_mb, " MB"),
        ("the time to load the model", candidate.load_seconds, settings.max_load_seconds, " s"),
        ("the size of the model's files", candidate.size_mb, settings.max_size_mb, " MB"),
    ]
    for what, value, limit, unit in absolute:
        if limit is not None and value > limit:
            yield f"{what} must be at most {limit:g}{unit[:3].rstrip()}. Received: {value:.4g}{unit}"
    if baseline is None:
        return
    relative = [
        (
            "the median time for 200 candidates",
            best.p50_ms,
            baseline.best_latency.p50_ms,
            settings.max_latency_ratio,
            "ms",
        ),
        ("the memory that the model adds", candidate.memory_mb, baseline.memory_mb, settings.max_memory_ratio, "MB"),
        ("the size of the model's files", candidate.size_mb, baseline.size_mb, settings.max_size_ratio, "MB"),
    ]
    for what, value, before, ratio, unit in relative:
        if ratio is not None and value > ratio * before:
            yield (
                f"{what} must be at most {ratio:g} times the serving model's. "
                f"Received: {value:.4g} {unit} after {before:.4g} {unit}"
            )
