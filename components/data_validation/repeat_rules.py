"""Rules that detect an earlier span's rows delivered again: by their files, their contents and their times."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from components.data_validation.evidence import SKETCH_ROWS, Reference, SpanEvidence
from components.data_validation.findings import finding, spans_before
from components.gate_records import Finding
from transform.config.drift import Drift
from transform.feature import IMPRESSIONS

#: The largest share of a span's time that may overlap with an earlier span.
_MAX_TIME_OVERLAP = 0.5

#: The sources that are new in each span; a table may stay the same over many spans.
_LOGS = (IMPRESSIONS, "installs")

#: In hours: a date begins this long before its UTC midnight in the east (UTC+14), and ends this long after it in the
#: west (UTC-12).
_EAST, _WEST = 14, 12

_HOURS_PER_DAY = 24

#: The largest share of a date's rows that may be of other days, such as late rows.
_MAX_OUTSIDE_DATE = 0.1

#: Sketches with fewer rows are not compared.
_MIN_SKETCH = 50

#: The number of hashes that a row may have: 53 bits (`components.ingestion.sketches.key_hashes`).
_NUM_HASHES = 1 << 53

#: By how much the share of rows that a span has twice may be larger than before: the estimate of a sketch of 500 rows,
#: as a record has, has a standard error of 4.5 %, the difference of two 6.3 %, and this is three of these.
_MORE_REPEATED = 0.19

#: With fewer spans before, it is unknown whether a table is written anew for each span.
_MIN_RENEWED = 3


def repeat_findings(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    """Finds a span that repeats an earlier span's files, rows or times, or its own rows, or has rows of other days."""
    yield from _repeated_files(current, earlier)
    yield from _old_tables(current, earlier)
    yield from _repeated_rows(current, earlier, settings)
    yield from _repeated_within(current, earlier)
    yield from _repeated_time(current, earlier)
    yield from _outside_date(current)


def _repeated_files(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    for e in earlier:
        known = {file.sha256 for file in e.ingested.files if file.num_rows}
        if same := [f.path for f in current.ingested.files if f.source in _LOGS and f.sha256 in known]:
            yield finding(
                "reference_spans",
                "stop",
                "files",
                f"a span's files must not be an earlier span's. Received: {same[0]} has the contents of a file of span "
                f"{e.span}" + (f", and so have {len(same) - 1} others" if len(same) > 1 else ""),
                value=len(same),
                bound=0,
            )


def _old_tables(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds a table whose files are an earlier span's, where each span before had its own: it may be a day old."""
    for name in sorted(current.ingested.tables):
        now, before = _contents(current, name), [(_contents(e, name), e.span) for e in earlier]
        are_renewed = len(before) >= _MIN_RENEWED and len({contents for contents, _ in before}) == len(before)
        if now and are_renewed and now in dict(before):
            yield finding(
                "reference_spans",
                "warn",
                f"files of {name}",
                f"`{name}` has the contents that it had in span {dict(before)[now]}, where each of "
                f"{spans_before(len(before))} had its own: it may not have been written anew",
            )


def _contents(evidence: SpanEvidence, source: str) -> frozenset[str]:
    """Returns the checksums of a source's files."""
    return frozenset(file.sha256 for file in evidence.ingested.files if file.source == source)


def _repeated_rows(current: SpanEvidence, earlier: Reference, settings: Drift) -> Iterator[Finding]:
    shares = [(shared_rows(current.log.sketch, e.log.sketch), e.span) for e in earlier]
    found = [(share, span) for share, span in shares if share is not None]
    if not found:
        if earlier:
            ours, theirs = len(current.log.sketch), max(len(e.log.sketch) for e in earlier)
            yield finding(
                "max_repeated_rows",
                "cannot_judge",
                "rows",
                f"whether rows of an earlier span are repeated cannot be judged: it takes {_MIN_SKETCH} distinct rows"
                f", ids and times aside. Received: {ours}, and at most {theirs} of an earlier span",
                value=min(ours, theirs),
                bound=_MIN_SKETCH,
            )
        return
    share, span = max(found)
    among = [
        s
        for i, e in enumerate(earlier)
        for o in earlier[:i]
        if (s := shared_rows(e.log.sketch, o.log.sketch)) is not None
    ]
    usual = max(among, default=0.0)
    bound = max(settings.max_repeated_rows, usual + (1 - usual) / 2)
    if share > bound:
        yield finding(
            "max_repeated_rows",
            "stop",
            "rows",
            f"at most {bound:.0%} of a span's rows may be those of an earlier span, their ids and times aside "
            f"(drift.max_repeated_rows). Received: {share:.0%} are those of span {span}",
            value=share,
            bound=bound,
            rows=current.whole.rows,
        )


def _repeated_within(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    """Finds more rows than usual that the span has twice, such as requests that were logged again under new ids."""
    now = repeated_share(current)
    before = [share for e in earlier if (share := repeated_share(e)) is not None]
    if now is None or not before:
        return
    usual = statistics.median(before)
    bound = usual + _MORE_REPEATED
    if now > bound:
        yield finding(
            "max_repeated_rows",
            "stop",
            "rows of one span",
            f"about {now:.0%} of the span's rows are others of its rows again, their ids aside, usually "
            f"{usual:.0%} (allowed: {bound:.0%}; drift.max_repeated_rows): with new ids, one of them may train "
            "the model and another judge it",
            value=now,
            bound=bound,
            rows=_num_rows(current),
        )


def repeated_share(evidence: SpanEvidence) -> float | None:
    """Estimates the share of a span's rows that are equal to an earlier one of its rows, ids aside; None if unknown.

    Of D distinct rows, the k smallest hashes reach up to about k / D of the range of hashes, so D is (k - 1) divided by
    the largest of them as a part of the range (Bar-Yossef et al., 2002); its standard error is D / √k. A sketch of
    fewer than SKETCH_ROWS hashes has all of them.
    """
    sketch, rows = evidence.log.sketch[:SKETCH_ROWS], _num_rows(evidence)
    if len(sketch) < _MIN_SKETCH or rows < len(sketch):
        return None
    is_complete = len(sketch) < SKETCH_ROWS
    distinct = len(sketch) if is_complete else (len(sketch) - 1) * _NUM_HASHES / max(sketch)
    return max(1 - distinct / rows, 0.0)


def _num_rows(evidence: SpanEvidence) -> int:
    return sum(file.num_rows for file in evidence.ingested.files if file.source == IMPRESSIONS)


def shared_rows(one: Sequence[int], other: Sequence[int]) -> float | None:
    """Returns the share of the rows of `one` that are also in `other`, from sketches; None if there are too few hashes.

    Both sketches are complete up to the smaller of their two largest hashes, so only hashes up to it are compared.
    """
    if min(len(one), len(other)) < _MIN_SKETCH:
        return None
    limit = min(max(one), max(other))
    ours = {value for value in one if value <= limit}
    return len(ours & set(other)) / len(ours) if len(ours) >= _MIN_SKETCH else None


def _repeated_time(current: SpanEvidence, earlier: Reference) -> Iterator[Finding]:
    overlaps = [(_overlap(current, e), e.span) for e in earlier]
    overlap, span = max(overlaps, default=(0.0, 0))
    usual = max((_overlap(e, o) for i, e in enumerate(earlier) for o in earlier[:i]), default=0.0)
    if overlap > max(_MAX_TIME_OVERLAP, usual + (1 - usual) / 2):
        yield finding(
            "reference_spans",
            "stop",
            "timestamp",
            f"a span's timestamps must be its own. Received: {overlap:.0%} of its time is that of span {span}",
            value=overlap,
            bound=_MAX_TIME_OVERLAP,
        )


def _overlap(one: SpanEvidence, other: SpanEvidence) -> float:
    """Returns the share of the time of `one`, from its 1st to its 99th percentile, that overlaps that of `other`."""
    if not one.log.time_quantiles or not other.log.time_quantiles:
        return 0.0
    (start, *_, end), (other_start, *_, other_end) = one.log.time_quantiles, other.log.time_quantiles
    common = min(end, other_end) - max(start, other_start)
    return max(common, 0.0) / (end - start) if end > start else float(other_start <= start <= other_end)


def _outside_date(current: SpanEvidence) -> Iterator[Finding]:
    """Finds rows of another day than the span's date in every time zone; needs no earlier spans."""
    hours = current.log.rows_by_hour
    if not current.ingested.is_date or not hours:
        return
    first = current.span * _HOURS_PER_DAY
    of_date = range(first - _EAST, first + _HOURS_PER_DAY + _WEST)
    rows = sum(hours.values())
    share = sum(number for hour, number in hours.items() if hour not in of_date) / rows
    if share > _MAX_OUTSIDE_DATE:
        yield finding(
            "reference_spans",
            "stop",
            "timestamp",
            f"at most {_MAX_OUTSIDE_DATE:.0%} of the rows of a date may be of other days. Received: {share:.0%} of "
            f"those of span {current.span} are, whatever the time zone",
            value=share,
            bound=_MAX_OUTSIDE_DATE,
            rows=rows,
        )
