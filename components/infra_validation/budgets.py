"""The budgets of a model's costs, and what else its machine did while they were measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psutil

from components.infra_validation.verdict import Measurements
from transform.config.infra_validation import InfraValidation

_MB = 2**20


class MissedBudget(NamedTuple):
    """A budget that a model exceeds.

    Attributes:
      what: The cost.
      sentence: The rule and the value received.
      excess: The value divided by the highest one allowed, above 1.
      varies: Whether the cost is a time or memory, which other processes on the machine change; the size does not vary.
    """

    what: str
    sentence: str
    excess: float
    varies: bool = True


def missed_budgets(
    settings: InfraValidation, candidate: Measurements, baseline: Measurements | None
) -> Iterator[MissedBudget]:
    """Yields each budget that the candidate model exceeds.

    Budgets relative to the baseline need its costs, measured in the same run.
    """
    best = candidate.best_latency
    way = f" at {best.threads} × {best.batch_size}"
    size = "the size of the model's files"
    for what, unit, limit, value, how in (
        ("the 95th percentile of the time for 200 candidates", "ms", settings.max_latency_ms, best.p95_ms, way),
        ("the memory of the model's process", "MB", settings.max_memory_mb, candidate.peak_memory_mb, ""),
        ("the time to load the model", "s", settings.max_load_seconds, candidate.load_seconds, ""),
        (size, "MB", settings.max_size_mb, candidate.size_mb, ""),
    ):
        if limit is not None and value > limit:
            sentence = f"{what} must be at most {limit:g} {unit}. Received: {value:.4g} {unit}{how}"
            yield MissedBudget(what, sentence, value / limit, what != size)
    if baseline is None:
        return
    medians = best.p50_ms, baseline.best_latency.p50_ms
    for what, unit, ratio, (value, before) in (
        ("the median time for 200 candidates", "ms", settings.max_latency_ratio, medians),
        ("the memory that the model adds", "MB", settings.max_memory_ratio, (candidate.memory_mb, baseline.memory_mb)),
        (size, "MB", settings.max_size_ratio, (candidate.size_mb, baseline.size_mb)),
    ):
        if ratio is not None and value > ratio * before:
            rule = f"{what} must be at most {ratio:g} times the baseline's"
            sentence = f"{rule}. Received: {value:.4g} {unit} after {before:.4g} {unit}"
            yield MissedBudget(f"{what}, relative", sentence, value / max(ratio * before, 1e-9), what != size)


class OtherLoad:
    """The load of other processes on this machine, from the time at which it is made.

    Source: `/proc/stat` and `/proc/meminfo`, by psutil. In a container they are those of the whole machine.
    """

    def __init__(self) -> None:
        self._all, self._own, self._busy = _cpu_seconds()

    def words(self) -> str:
        """Returns the mean number of cores that other processes used since then, and the memory that is free now."""
        then = self._all, self._own, self._busy
        total, own, busy = (end - start for start, end in zip(then, _cpu_seconds(), strict=True))
        cores = psutil.cpu_count() or 1
        others = cores * max(0.0, busy - own) / total if total > 0 else 0.0
        free = f"{psutil.virtual_memory().available / _MB:,.0f} MB of memory were free"
        return f"other processes used {others:.1f} of the machine's {cores} cores, and {free}"


def _cpu_seconds() -> tuple[float, float, float]:
    """Returns the seconds of all cores so far: in all, those of this process and its children, and those not idle."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # counted in `user`, too
    own = 0.0
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        try:
            used = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        own += used.user + used.system
    return total, own, total - times.idle - getattr(times, "iowait", 0.0)
