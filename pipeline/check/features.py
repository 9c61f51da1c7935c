"""Checks of `wdr check` of the features: what a person would doubt who reads the config beside the rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from components.data_validation.columns import Ints, read_numbers, read_tokens
from pipeline.check.first_rows import ReadRows
from pipeline.initial_config.after_label import why_after_label, why_label_in
from pipeline.initial_config.column_names import MEASURED_WORDS, TIME_WORDS, entity_of, is_rank, split_words
from pipeline.initial_config.features import are_whole, id_by_name
from pipeline.initial_config.ids import find_ids
from pipeline.initial_config.row_times import RowTimes, find_row_times
from transform.config.columns import ColumnKind
from transform.config.config import Config
from transform.feature import IMPRESSIONS, Feature

_Values = Mapping[tuple[str, ColumnKind], pa.Array]

#: Larger numbers are not exact whole numbers in float64.
_MAX_WHOLE = 2.0**53


def doubtful_features(config: Config, impressions: ReadRows) -> list[str]:
    """Finds features that are probably not what the config says of them.

    By the rules of `wdr init`: numbers that are an id, by name or values, or times, and columns that are known only
    after the label, by name, or because they predict it too well. Without a label in the log, as with installs, names
    alone decide. Features of tables, derived ones and one with `at_serving` are judged by their side only.

    Args:
      config: The config.
      impressions: The first impressions.

    Returns:
      One sentence for each doubt.
    """
    return [*_one_side(config), *_by_values(config, impressions.values())]


def _one_side(config: Config) -> Iterator[str]:
    """Yields a sentence if all features are of one side; a table without items and requests has contexts alone."""
    sides = {feature.side for feature in config.spec.features}
    if sides == {"item"}:
        yield (
            "all features are `side: item`, so that items are ranked alike for every user and request; what a request "
            "knows of its user, its place and its time is `side: context`"
        )
    log = config.sources.impressions
    items = [f for f in config.spec.features if entity_of(f.source_column) == "item"]
    if sides == {"context"} and (items or log.request_id is not None):
        such = f", such as `{items[0].name}`" if items else ""
        yield (
            "all features are `side: context`, so that the candidates of a request have one score and cannot be "
            f"ranked; what each candidate has for itself{such}, is `side: item`"
        )


def _by_values(config: Config, values: _Values) -> Iterator[str]:
    log = config.sources.impressions
    features = [f for f in config.features_of(IMPRESSIONS) if f.derive is None and f.at_serving is None]
    arrays = {f.name: values[config.column_of(f).name, config.column_of(f).kind] for f in features}
    label = None if log.label is None else np.asarray(values[log.label, "label"]).astype(np.int64)
    num_rows = len(next(iter(values.values())))
    request = np.arange(num_rows)
    if log.request_id is not None:
        request = np.asarray(values[log.request_id, "string"].dictionary_encode().indices).astype(np.int64)
    known = [arrays[f.name].to_pylist() for f in features if f.is_one_text and entity_of(f.source_column) is not None]
    texts = {f.name: found for f in features if (found := _whole_numbers(f, arrays[f.name]))}
    by_name = {f.name: why for f in features if f.name in texts and (why := _by_name(f.source_column, texts[f.name]))}
    others = {name: of_rows for name, of_rows in texts.items() if name not in by_name}
    known += [texts[name] for name in by_name]
    ranks = log.request_id is not None or any(f.side == "item" for f in config.spec.features)
    ids = by_name if label is None else by_name | find_ids(others, known, range(num_rows), label, request)
    for feature in features:
        times = _times(feature.source_column, texts.get(feature.name, []), by_name.get(feature.name, ""))
        if times is not None:
            declare = "" if log.timestamp is not None or times.why_not else ", declare it as the `timestamp`"
            yield (
                f"`{feature.name}` is numeric, but its values are probably times, such as {times.example}, whose size "
                f"says little of later rows; leave it out{declare}, or take its hour and weekday with `derive`"
            )
        elif why := ids.get(feature.name, ""):
            yield (
                f"`{feature.name}` is numeric, but is probably an id: {why}. Of a number the model learns by its size; "
                "an id is `kind: categorical` with a `vocabulary`"
            )
        elif why := _why_not_known(feature, arrays[feature.name], label, request, ranks):
            yield (
                f"`{feature.name}` {why}: a model that learns from what a request cannot have is worse than its "
                "evaluation says; leave it out unless it is known when ranking"
            )


def _whole_numbers(feature: Feature, array: pa.Array) -> list[str]:
    """Returns a numeric feature's numbers as texts, an empty one for none, if they are whole; else nothing."""
    numbers = read_numbers(array) if feature.of_kind.column == "float" else np.zeros(0)
    present = numbers[~np.isnan(numbers)]
    if not len(present) or (np.abs(present) > _MAX_WHOLE).any() or (present != np.floor(present)).any():
        return []
    return ["" if math.isnan(number) else str(int(number)) for number in numbers.tolist()]


def _times(column: str, texts: Sequence[str], why_id: str) -> RowTimes | None:
    """Returns the times that numbers are, by the rule of `wdr init`; None if they are none, or an id by their name."""
    return None if why_id else find_row_times(texts, is_named=bool({*split_words(column)} & TIME_WORDS))


def _by_name(column: str, texts: Sequence[str]) -> str:
    num_values = len({*texts} - {""})
    if num_values < 2 or not id_by_name(column, num_values)[0]:
        return ""
    return f"by its name, and its {num_values:,} different values are whole numbers"


def _why_not_known(feature: Feature, array: pa.Array, label: Ints | None, request: Ints, ranks: bool) -> str:
    tokens = read_tokens(array)
    if why := why_after_label(feature.source_column, tokens.values):
        return f"is {why}"
    if ranks and is_rank(feature.source_column) and are_whole(tokens.values):
        return "is by its name the place at which the item was shown"
    if feature.side == "context" and (measured := sorted({*split_words(feature.source_column)} & MEASURED_WORDS)):
        return f'is by the word "{measured[0]}" in its name probably measured only after the impression'
    if label is None:
        return ""
    numbers = read_numbers(array) if feature.of_kind.column == "float" else None
    return why_label_in(tokens, numbers, label, request)
