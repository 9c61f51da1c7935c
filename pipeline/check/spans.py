"""Checks of `wdr check` across sources and spans: join keys without a row, and values that a window lacks."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from components.ingestion.spans import NoSpanError, SpanFiles, has_spans, resolve_span
from pipeline.check.first_rows import FirstRows, value_counts
from transform.config.config import Config
from transform.errors import InputError
from transform.feature import IMPRESSIONS, Feature

#: Maximum number of spans to read before the span being checked.
_MAX_EARLIER_SPANS = 13

#: A feature is reported if more than this share of a span's rows has a value that does not occur in its window.
_MAX_UNSEEN_SHARE = 0.5

#: Features with more distinct values are not checked: an id, for example, has new values in each span.
_MAX_VALUES = 50


def unmatched_joins(config: Config, found: SpanFiles, max_rows: int) -> list[str]:
    """Looks up the keys of the first impressions in each table. Its memory grows with them, not with the tables.

    Args:
      config: The config.
      found: The span's files.
      max_rows: Maximum number of impressions to read; of a table, all rows are read.

    Returns:
      One sentence for each table that lacks a key.

    Raises:
      InputError: If a table with `reject_unmatched` lacks the keys of more rows than may be rejected.
    """
    sentences = []
    if config.sources.are_served and (others := [f.name for f in config.spec.features if f.source != IMPRESSIONS]):
        sentences.append(
            "no table is joined to a log of served rankings, which has all features as they were scored: the `source` "
            f"of {', '.join(f'`{other}`' for other in others)} says only where a ranking finds them"
        )
    for name, table in config.sources.joined_tables.items():
        num_rows, missing = 0, collections.Counter[str]()
        for values in _column(config, found, IMPRESSIONS, table.log_column, max_rows):
            num_rows += len(values)
            missing.update(value_counts(values))
        for values in _column(config, found, name, table.key, None):
            for key in values.unique().to_pylist():
                missing.pop(key, None)
            if not missing:
                break
        if not missing:
            continue
        (key, _), number = missing.most_common(1)[0], missing.total()
        have = f"{number:,} of the first {num_rows:,} impressions have a key"
        what = f"{have} that `{name}` does not have, most often {key!r}"
        allowed = config.ingestion.max_rejected_fraction
        if table.reject_unmatched and number > allowed * num_rows:
            raise InputError(
                f"at most {allowed:.2%} of `impressions` may be rejected (ingestion.max_rejected_fraction), as those "
                f"are whose key is in no row of `{name}`. Received: {what}"
            )
        sentences.append(what)
    return sentences


def values_outside_windows(config: Config, data_root: str, found: SpanFiles, max_rows: int) -> list[str]:
    """Finds features whose values in a span differ from those in the window before it, such as a weekday.

    For each span whose `window_spans` preceding spans are all available, compares its first rows with theirs. If no
    span has a complete window, reports the features that have a single value in each span; this needs spans that were
    read completely.

    Args:
      config: The config.
      data_root: The folder below which the sources lie.
      found: The files of the span being checked.
      max_rows: Maximum number of rows to read, over all spans.

    Returns:
      One sentence for each such feature.
    """
    features = [f for f in config.features_of(IMPRESSIONS) if f.of_kind.column == "string"]
    if not features or not has_spans(config):
        return []
    spans = [found]
    for number in range(found.span - 1, max(-1, found.span - 1 - _MAX_EARLIER_SPANS), -1):
        try:
            spans.append(resolve_span(config, data_root, number))
        except (NoSpanError, InputError):  # an earlier day without logs is not an error of the span being checked
            continue
    rows = max(1, max_rows // len(spans))
    values = {span.span: _values(config, span, features, rows) for span in spans}
    return [s for f in features if (s := _sentence(f, {n: v[f.name] for n, v in values.items()}, config, rows))]


def _sentence(feature: Feature, values: Mapping[int, collections.Counter[str]], config: Config, max_rows: int) -> str:
    """Returns the sentence about a feature, from its value counts in each span; empty if there is nothing to report."""
    window = config.ingestion.window_spans
    last, counts = max(values), values[max(values)]
    if not counts or any(len(c) > _MAX_VALUES for c in values.values()):
        return ""
    complete = [n for n in values if all(n - back in values for back in range(1, window + 1))]
    for number in sorted(complete, reverse=True):
        seen = set().union(*(values[number - back] for back in range(1, window + 1)))
        unseen = sum(n for value, n in values[number].items() if value not in seen)
        if unseen > _MAX_UNSEEN_SHARE * values[number].total():
            return (
                f"`{feature.name}` has other values from span to span: {unseen:,} of {values[number].total():,} rows "
                f"of span {number} have one that the {window} spans before it do not have (ingestion.window_spans)"
            )
    is_one = all(len(c) == 1 for c in values.values()) and all(c.total() < max_rows for c in values.values())
    if not complete and is_one:
        return (
            f"`{feature.name}` has one value in each span, such as {next(iter(counts))!r} in span {last}: if it "
            f"changes from span to span, a window holds at most {window} of its values (ingestion.window_spans)"
        )
    return ""


def _values(
    config: Config, span: SpanFiles, features: Sequence[Feature], max_rows: int
) -> dict[str, collections.Counter[str]]:
    """Counts each value of some features in the first rows of a span."""
    names = [config.column_of(f).name for f in features]
    columns = [c for c in config.columns[IMPRESSIONS] if c.name in names and c.kind == "string"]
    found: dict[str, collections.Counter[str]] = {f.name: collections.Counter() for f in features}
    place = {c.name: i for i, c in enumerate(columns)}
    for block in FirstRows(config, span, IMPRESSIONS, columns, max_rows).blocks():
        for feature in features:
            found[feature.name].update(_counts(block.values[place[config.column_of(feature).name]], feature))
    return found


def _counts(texts: pa.Array, feature: Feature) -> Mapping[str, int]:
    """Returns how often each value of a feature occurs; of a derived one, the parts of its times."""
    counts = value_counts(texts)
    if feature.derive is None or not counts:
        return counts
    # Imported here only: it imports TensorFlow, which a check of other features does not need.
    from transform.graph.derived_times import derived

    parts, is_time = (tensor.numpy() for tensor in derived(list(counts), feature.derive))
    of_parts: collections.Counter[str] = collections.Counter()
    for part, number in itertools.compress(zip(parts, counts.values(), strict=True), is_time):
        of_parts[part.decode()] += number
    return of_parts


def _column(config: Config, span: SpanFiles, source: str, name: str, max_rows: int | None) -> Iterator[pa.Array]:
    """Yields the values of a key's column, without the rows that break its rule."""
    column = next(c for c in config.columns[source] if (c.name, c.kind) == (name, "string"))
    return (block.values[0] for block in FirstRows(config, span, source, [column], max_rows).blocks())
