"""The numbers of a page as text."""

from __future__ import annotations

import math

from components.evaluation.results import Estimate


def count(number: float) -> str:
    """Returns a whole number with separators, such as `12,345`."""
    return f"{number:,.0f}"


def share(part: float, whole: float) -> str:
    """Returns a percentage, such as `12.3 %`; a dash if there is no whole."""
    return percent(part / whole) if whole else "–"


def plural(number: int, name: str) -> str:
    """Returns a number and what it counts, such as `1 epoch` or `2 epochs`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def percent(fraction: float) -> str:
    """Returns a percentage with one decimal; a positive share that would round to zero is `< 0.1 %`."""
    if math.isnan(fraction):
        return "–"
    if fraction in (0, 1):
        return f"{100 * fraction:.0f} %"
    return "< 0.1 %" if 0 < fraction < 0.0005 else f"{100 * fraction:.1f} %"


def metric(value: float) -> str:
    """Returns a metric with four decimals; a dash if it is undefined."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def signed(value: float) -> str:
    """Returns a difference with its sign and four decimals; a dash if it is undefined."""
    return "–" if math.isnan(value) else f"{value:+.4f}".replace("-", "−")


def with_interval(estimate: Estimate) -> str:
    """Returns a metric and its 95 % interval, which stays within the metric's range."""
    if math.isnan(estimate.standard_error):
        return metric(estimate.value)
    return f"{metric(estimate.value)} ({metric(estimate.low)} to {metric(estimate.high)})"


def between(low: float, high: float) -> str:
    """Returns the 95 % interval of a difference."""
    return "–" if math.isnan(low) or math.isnan(high) else f"{signed(low)} to {signed(high)}"


def short(value: float) -> str:
    """Returns a number of any size with four digits, such as a feature's mean."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    whole = abs(value) < 1e15 and (value == int(value) or abs(value) >= 1000)
    return (f"{value:,.0f}" if whole else f"{value:,.4g}").replace("-", "−")


def seconds(value: float) -> str:
    """Returns a duration, such as `0.4 s`, `42 s` or `3 min 20 s`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes = round(value)
    if minutes < 7200:
        return f"{minutes // 60} min {minutes % 60} s"
    return f"{minutes // 3600} h {minutes % 3600 // 60} min"
