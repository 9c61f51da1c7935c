"""The rule on the hours of a span's timestamps: none is missing, and the clock is right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from components.data_validation.evidence import Reference, SpanEvidence
from components.data_validation.findings import EXAMPLES_PER_KEY, each_with_others, finding, spans_before
from components.gate_records import Finding

#: The name of the distribution of the timestamps' hours, in addition to those of the features.
HOUR_OF_DAY = "hour of timestamp"

#: Hours are missing if this many independent examples are expected of them: none occurs by chance once in a million.
_MIN_MISSING = 14.0

#: The hours of the day are moved if their log-likelihood is larger by this.
_MIN_GAIN = 10.0

#: The gain allowed, as a multiple of the largest one among the reference spans.
_TIMES_USUAL = 3.0


def hour_findings(current: SpanEvidence, earlier: Reference, *, is_found: bool) -> Iterator[Finding]:
    """Finds hours without an example, and hours of the day that fit those before better if they are moved.

    Of hours whose distribution `is_found` to be another one, only those without an example are the cause.
    """
    now, before = _rows_by_hour(current), [rows for e in earlier if (rows := _rows_by_hour(e))]
    whole = sum(now.values())
    empty = sorted(set.intersection(*map(set, before)) - set(now))
    missing = min(sum(rows[hour] for hour in empty) / sum(rows.values()) for rows in before)
    if missing * whole / EXAMPLES_PER_KEY > _MIN_MISSING:
        hours = ", ".join(f"{hour:02d}" for hour in empty)
        yield finding(
            "reference_spans",
            "warn",
            HOUR_OF_DAY,
            f"no example is of the hours {hours} (UTC), of which each of {spans_before(len(before))} has at least "
            f"{missing:.1%} of its examples: a part of the log may be missing",
            value=0,
            rows=whole,
        )
        return
    if is_found or len(before) == 1:  # by how much the hours of two spans usually differ is not known of one
        return
    gain, shift = _gain(now, before)
    bound = max(_MIN_GAIN, _TIMES_USUAL * max(_gain(rows, others)[0] for rows, others in each_with_others(before)))
    if gain > bound:
        yield finding(
            "reference_spans",
            "warn",
            HOUR_OF_DAY,
            f"an hour {'earlier' if shift < 0 else 'later'}, the examples' times would fit those of an earlier span "
            f"better, by a log-likelihood of {gain:.0f} (usual: at most {bound:.0f}): a clock may be an hour off, or "
            "daylight saving time has begun or ended",
            value=gain,
            bound=bound,
            rows=whole,
        )


def _rows_by_hour(evidence: SpanEvidence) -> dict[int, int]:
    return {int(hour): of_hour.rows for hour, of_hour in evidence.hours.items() if of_hour.rows}


def _gain(rows: Mapping[int, int], others: Sequence[Mapping[int, int]]) -> tuple[float, int]:
    """Returns by how much the log-likelihood of a span's hours rises if they are moved, and the move: -1 or 1 hour.

    The likelihood is by the shares of hours in another span, of all others the one by which it is highest. Examples
    count as fewer independent ones (`EXAMPLES_PER_KEY`).
    """

    def likelihood(move: int) -> float:
        return max(
            sum(n * math.log(max(of.get((hour + move) % 24, 0), 1) / sum(of.values())) for hour, n in rows.items())
            for of in others
        )

    highest, move = max((likelihood(move), move) for move in (-1, 1))
    return (highest - likelihood(0)) / EXAMPLES_PER_KEY, move
