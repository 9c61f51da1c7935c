"""The rule on ids: a few users or items have no larger part of a span than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from components.data_validation.distributions import NUM_TOP_VALUES, Distribution
from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import each_with_others, finding
from components.gate_records import Finding
from transform.config.drift import Drift

#: A larger part of a span that its most frequent ids have than before is found if it is at least this share of the
#: examples, and this many times the usual difference among the reference spans.
_MIN_EXCESS, _TIMES_USUAL = 0.02, 3.0

#: The same share with a single reference span, by which the usual difference is not known.
_MIN_EXCESS_OVER_ONE_SPAN = 0.1

#: So many ids are named.
_NUM_NAMED = 3


def id_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds ids that have a larger part of the examples than as many ids had before: a bot's, or a default value."""
    del settings
    for name in current.ids:
        before = [e.features[name] for e in earlier if name in e.features]
        if name not in current.features or not before:
            continue
        now = current.features[name]
        for measure in (_excess, _excess_of_one):
            excess, frequent, usual = measure(now, before)
            bound = _bound([measure(one, others)[0] for one, others in each_with_others(before) if others])
            if excess > bound:
                break
        else:
            continue
        number = len(frequent)
        share = sum(now.top[value] for value in frequent) / now.num_values
        of_ids = "one id has" if number == 1 else f"{number} ids have"
        named = ", ".join(frequent[:_NUM_NAMED]) + (", …" if number > _NUM_NAMED else "")
        yield finding(
            "reference_spans",
            "warn",
            f"most frequent {name}",
            f"{of_ids} {share:.1%} of the examples by {name} ({named}), where as many had {usual:.1%} in the nearest "
            "span: the rows may be a bot's, or the id a default value, and explain other findings",
            value=share,
            bound=usual + bound,
            rows=now.num_values,
        )


def _bound(usual: Sequence[float]) -> float:
    """Returns the largest excess allowed, by those of each reference span over the others; none for a single one."""
    return max(_MIN_EXCESS, _TIMES_USUAL * max(usual)) if usual else _MIN_EXCESS_OVER_ONE_SPAN


def _excess_of_one(one: Distribution, others: Sequence[Distribution]) -> tuple[float, list[str], float]:
    """Returns by how much one value exceeds itself in the other where it is most frequent; else as `_excess` does.

    A value that is not among the most frequent ones of the other may have as many examples as the last of these.
    """
    found = []
    for value, number in one.top.items():
        before = [(other.top.get(value, min(other.top.values(), default=0)), other.num_values) for other in others]
        shares = [(n / max(of, 1), n) for n, of in before]
        excess = min(min(number / one.num_values - share, (number - n) / one.num_values) for share, n in shares)
        found.append((excess, [value], max(shares)[0]))
    return max(found, default=(0.0, [], 0.0))


def _excess(one: Distribution, others: Sequence[Distribution]) -> tuple[float, list[str], float]:
    """Returns by how much the k most frequent values of `one` exceed those of the nearest of the others, at most.

    The excess is in shares of the examples and in examples alike, whichever is less: a span of few users has larger
    shares, and one of many examples larger numbers.

    Returns:
      The excess as a share of the examples of `one`, these values, and the share that k values have in that other.
    """
    found = []
    counts, ordered = _cumulative(one), sorted(one.top, key=lambda value: (-one.top[value], value))
    for other in others:
        before = _cumulative(other)
        share_before = before / max(other.num_values, 1)
        excess = np.minimum(counts / max(one.num_values, 1) - share_before, (counts - before) / max(one.num_values, 1))
        k = int(np.argmax(excess))
        found.append((float(excess[k]), ordered[: k + 1], float(share_before[k])))
    return min(found)


def _cumulative(distribution: Distribution) -> np.ndarray:
    """Returns the examples of the k most frequent values, int64 [50], for k from 1 on."""
    counts = np.zeros(NUM_TOP_VALUES, dtype=np.int64)
    ordered = sorted(distribution.top.values(), reverse=True)
    counts[: len(ordered)] = ordered
    return np.cumsum(counts)
