"""Pools the differences of several spans, and judges a bound by them.

The uncertainty of one day's difference exceeds the loss that must be detected, so the differences of the last spans are
pooled, each weighted by its precision, which is 1 / its variance and counts at most as much as the last span's, and by
its recency (the newest of 7 counts seven times the oldest).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from components.evaluation.metrics.paired import PairedDifference
from components.gate_records import Finding
from components.quality_gate.judgement import GATE
from transform.config.evaluation import HIGHER_IS_BETTER, kind_of

#: A difference of more than this many standard errors is beyond chance: it occurs on one good day in 740. A rule that
#: also requires a minimum loss refuses fewer days; `python -m benchmarks.gate_replay` counts them over all rules.
BEYOND_CHANCE = 3.0


def pool(differences: Sequence[PairedDifference]) -> PairedDifference:
    """Returns the weighted mean of spans' differences, given oldest first, at least one.

    A span's weight is its position, 1 for the oldest, divided by its variance or by the last span's, whichever is
    larger. For two spans with -0.010 and -0.004, both with a standard error of 0.003, the mean is
    (1 · -0.010 + 2 · -0.004) / 3 = -0.006, and its standard error is 0.003 · √(1² + 2²) / 3 = 0.0022.

    On a span where two models scored nearly alike, the standard error is tiny or 0: by its own variance, that span
    would decide alone, though it says nothing about the last span's model.
    """
    least = max(differences[-1].standard_error, 1e-9)  # 0 for equal scores: the weight would be infinite
    weights = [place / max(d.standard_error, least) ** 2 for place, d in enumerate(differences, start=1)]
    total = sum(weights)
    pairs = list(zip(weights, differences, strict=True))
    estimate = sum(weight * d.estimate for weight, d in pairs) / total
    variance = sum((weight * d.standard_error) ** 2 for weight, d in pairs) / total**2
    return PairedDifference(estimate, math.sqrt(variance))


def judged(
    subject: str,
    rule: str,
    bound: float,
    words: str,
    *,
    rows: int,
    num_spans: int,
    own: PairedDifference | None,
    before: Sequence[PairedDifference | None],
) -> Iterator[Finding]:
    """Judges a bound by the pooled differences of several spans.

    A refusal requires a loss above the bound on this span too, so that after a repair the earlier spans do not refuse
    the model.

    Args:
      subject: The metric, with the slice if there is one.
      rule: The config's key of the bound.
      bound: The largest worsening allowed.
      words: The bound as text.
      rows: The number of this span's rows.
      num_spans: The largest number of spans pooled.
      own: This span's difference; None if there are too few examples.
      before: Those of earlier spans, oldest first.
    """
    words = f"{words} ({rule})"
    if own is None:
        sentence = f"{words}: cannot be judged, with too few examples of either label"
        yield Finding(GATE, rule, "cannot_judge", subject, None, bound, rows, sentence)
        return
    sign = 1 if HIGHER_IS_BETTER[kind_of(subject.split(" ", 1)[0])] else -1
    known = [difference for difference in before if difference is not None]
    last = [*known, own][-num_spans:]
    pooled = pool(last)
    loss, own_loss, half_width = -sign * pooled.estimate, -sign * own.estimate, BEYOND_CHANCE * pooled.standard_error
    if min(loss, own_loss) > bound and loss > half_width:
        sentence = (
            f"{words}. Received: worse by {own_loss:.4f} on this span's {rows:,} examples, and by {loss:.4f} ± "
            f"{half_width:.4f} over {count_of_spans(len(last))}"
        )
        yield Finding(GATE, rule, "refuse", subject, loss, bound, rows, sentence)
    elif half_width > bound:
        sentence = (
            f"{words}: cannot be judged yet: with {len(last)} of {num_spans} spans, only a difference "
            f"above {half_width:.4f} is beyond chance"
        )
        yield Finding(GATE, rule, "cannot_judge", subject, loss, bound, rows, sentence)


def count_of_spans(number: int) -> str:
    """Returns a number of spans as text."""
    return "1 span" if number == 1 else f"{number} spans"
