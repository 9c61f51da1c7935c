"""Guesses what each column of a sample is: a feature of some kind, an id, a time, or nothing to learn from."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from components.ingestion.columns.rule import MAX_FLOAT
from pipeline.initial_config.column_names import (
    ID_WORDS,
    ITEM_WORDS,
    REQUEST_WORDS,
    ROW_WORDS,
    TIME_WORDS,
    USER_WORDS,
    Entity,
    entity_of,
    feature_name,
    is_request_only,
    split_words,
)
from pipeline.initial_config.measured.scales import choose_scale
from pipeline.initial_config.row_times import find_row_times, text_forms
from pipeline.initial_config.samples.conventions import (
    has_decimal_commas,
    have_units,
    is_list,
    may_be_thousands,
    values_in,
)
from pipeline.initial_config.samples.sample import Column, Sample, is_number, shown
from pipeline.initial_config.times import parts_of_times
from transform.example_keys import RESERVED_NAMES
from transform.feature import Side
from transform.feature_kinds import KindName

#: A column of whole numbers with at most so many different ones is a code, not a quantity.
_MAX_CODES = 24

#: A text with more characters on average is prose.
_MAX_MEAN_LENGTH = 100

#: The name of an index column: pandas' in a CSV and in a Parquet file, and that of a column without a name.
_INDEX_NAME = re.compile(r"unnamed(: |_)\d+|__index_level_\d+__", re.ASCII | re.IGNORECASE)

#: What a comment says of whole numbers that are probably an id.
IF_A_QUANTITY = "; if it is a quantity: kind: numeric, num_quantiles: 20"

#: What a comment says of whole numbers that may be an id, and the least different values, and rows of each, of them.
_IF_AN_ID = "; if it is an id: kind: categorical, vocabulary: {min_count: 3, num_oov_buckets: 16}"
_MIN_ID_VALUES, _MIN_ID_ROWS = 100, 5

#: Larger whole numbers are not exact as float32.
_MAX_EXACT = 2**24

Role = Literal["feature", "timestamp", "request_id", "impression_id", "left_out"]


@dataclasses.dataclass(frozen=True)
class Guess:
    """What a column is.

    Attributes:
      column: The column's name in the file.
      role: Its role in the config.
      reason: Why, as a comment.
      name: Of a feature: its name.
      side: Of a feature: whose value it is.
      kind: Of a feature: its kind.
      rule: Of a feature: the keys of its vocabulary or its quantiles; of a time: that of its format.
      entity: Of a feature that is an id: whose.
      is_time: Of a column that is left out: whether it has times, though not such as rows can be split by.
    """

    column: str
    role: Role
    reason: str
    name: str = ""
    side: Side = "context"
    kind: KindName = "categorical"
    rule: dict[str, object] = dataclasses.field(default_factory=dict)
    entity: Entity | None = None
    is_time: bool = False


def guess_columns(
    sample: Sample, skipped: str | None, nulls: Sequence[str], separator: str, taken: Collection[str] = ()
) -> list[Guess]:
    """Guesses what each column but `skipped` is, by its own name and values.

    `nulls` are texts for "no value", and no feature has a name of `taken`.
    """
    roles: set[Role] = set()
    names = {*RESERVED_NAMES, *taken}
    guesses = []
    has_request = any(is_request_only(column.name) for column in sample.columns)
    for column in sample.columns:
        if column.name == skipped:
            continue
        guess = _guess(column, sample.num_rows, nulls, separator, not has_request or is_request_only(column.name))
        if guess.role in ("request_id", "impression_id") and guess.role in roles:
            guess = Guess(column.name, "left_out", f"{guess.reason}, as an earlier column is too")
        parts = _parts(column, guess, nulls)
        if guess.is_time or (parts and guess.role == "feature"):
            what = f"dates or times, {'of which parts are features' if parts else 'which no later row has'}"
            why_not = f"; not the rows': {guess.reason}" if guess.is_time else ""
            guess = Guess(column.name, "left_out", f"{what}{why_not}", is_time=guess.is_time)
        roles.add(guess.role)
        if guess.role == "feature":
            guess = dataclasses.replace(guess, name=feature_name(column.name, names))
        guesses.append(guess)
        guesses += [dataclasses.replace(part, name=feature_name(part.name, names)) for part in parts]
    return _with_one_time(guesses)


def _with_one_time(guesses: Sequence[Guess]) -> list[Guess]:
    """Leaves out all times but one: the first whose name says that it is a time, else the first."""
    times = [guess for guess in guesses if guess.role == "timestamp"]
    if len(times) < 2:
        return list(guesses)
    taken = next((guess for guess in times if {*split_words(guess.column)} & TIME_WORDS), times[0])
    why = f"; the rows' times are taken from {shown(taken.column)}"
    return [
        Guess(guess.column, "left_out", guess.reason + why) if guess in times and guess is not taken else guess
        for guess in guesses
    ]


def _parts(column: Column, guess: Guess, nulls: Sequence[str]) -> list[Guess]:
    """Returns the features that are parts of a column's dates or times; none of an id's, a list's or a boolean's."""
    is_single = column.stored not in ("list", "other", "boolean")
    if not column.name or not is_single or guess.role in ("request_id", "impression_id"):
        return []
    side: Side = "item" if {*split_words(column.name)} & ITEM_WORDS else "context"
    is_time, found_form = guess.is_time or guess.role == "timestamp", guess.rule.get("timestamp_format")
    values = values_in(column, nulls)
    forms = [str(found_form)] if found_form is not None else text_forms(next(iter(values), ""))
    return [
        Guess(column.name, "feature", found.reason, f"{column.name}_{found.part}", side, "categorical", found.rule)
        for found in parts_of_times(values, is_time=is_time, is_stored_time=column.stored == "time", text_forms=forms)
    ]


def _guess(column: Column, num_rows: int, nulls: Sequence[str], separator: str, may_be_request: bool) -> Guess:
    values = values_in(column, nulls)
    words = {*split_words(column.name)}
    counts = collections.Counter(values)
    if left_out := _why_left_out(column, values, counts):
        return Guess(column.name, "left_out", left_out)
    is_complete = len(values) == num_rows and column.stored != "list"
    if (times := _times(column, nulls)) is not None:
        return times
    if is_complete and column.stored != "number" and "id" in words | {column.name.lower()[-2:]}:
        if may_be_request and words & REQUEST_WORDS and len(counts) < num_rows:
            return Guess(column.name, "request_id", "by its name; it comes back in several rows")
        if len(counts) == num_rows and num_rows > 1 and (words & ROW_WORDS or words == {"id"}):
            return Guess(column.name, "impression_id", "by its name; each row has another value")
    if is_complete and words and words <= REQUEST_WORDS and are_whole(counts) and _MAX_CODES < len(counts) < num_rows:
        return Guess(column.name, "request_id", "by its name; its numbers come back in several rows")
    if is_complete and (left_out := _why_counter(column.name, values)):
        return Guess(column.name, "left_out", left_out)
    side: Side = "item" if words & ITEM_WORDS else "context"
    if column.stored == "list" or is_list(values, separator):
        return _list(column, values, separator, side)
    is_id, entity = id_by_name(column.name, len(counts))
    if column.stored == "number" or (all(map(is_number, values)) and not _is_code(is_id, counts, len(values))):
        return _numeric(column.name, values, counts, side)
    is_of_entity = entity is not None or ("id" in words and bool(words & ITEM_WORDS))
    if len(counts) > (0.9 if is_of_entity else 0.5) * len(values) and len(counts) > 20:
        return Guess(column.name, "left_out", f"{len(counts):,} of {len(values):,} values differ")
    reason = _frequent(counts, len(values))
    if entity is not None and "id" not in words:
        reason += f"; by its name the {entity}'s id{IF_A_QUANTITY if are_whole(counts) else ''}"
    return Guess(column.name, "feature", reason, "", side, "categorical", choose_rule(counts), entity)


def _times(column: Column, nulls: Sequence[str]) -> Guess | None:
    """Returns what a column of times is, by its name and values; None if it is none, or an id by its name."""
    words, is_stored = {*split_words(column.name)}, column.stored == "time"
    is_id = "id" in words or column.name.endswith(("Id", "ID")) or entity_of(column.name) is not None
    if column.stored == "list" or (is_id and not is_stored):
        return None
    owner = "item" if words & ITEM_WORDS else "user" if words & USER_WORDS else ""
    texts = ["" if text in nulls else text for (text,) in column.texts]
    times = find_row_times(texts, is_named=is_stored or bool(words & TIME_WORDS), owner=owner)
    if times is None:
        return Guess(column.name, "left_out", "times before 1970 or after 2099") if is_stored else None
    rule: dict[str, object] = {"timestamp_format": times.format} if times.format else {}
    if times.why_not:
        return Guess(column.name, "left_out", times.why_not, rule=rule, is_time=True)
    reason = f"each value is a time, such as {shown(texts[0])}{times.reason}"
    return Guess(column.name, "timestamp", reason, rule=rule)


def id_by_name(name: str, num_values: int) -> tuple[bool, Entity | None]:
    """Returns whether a column is an id by its name, and whose; with few different values only if it says `id`."""
    entity = entity_of(name) if "id" in split_words(name) or num_values > _MAX_CODES else None
    return entity is not None or "id" in split_words(name), entity


def _why_left_out(column: Column, values: Sequence[str], counts: collections.Counter[str]) -> str:
    if not column.name:
        return "has no name"
    if column.stored == "other":
        return column.reason or "of a type that is no feature's"
    if not values:
        return "no value"
    if len(counts) == 1 and column.stored != "list":
        return f"always {shown(values[0])}"
    if column.stored == "boolean":
        return "a boolean is no feature's value; write it as 0 and 1, or as a text"
    if has_decimal_commas(values):
        example = next(text for text in values if "," in text)
        if may_be_thousands(values):
            return f"numbers with commas, such as {shown(example)}; write thousands without one, decimals with a point"
        return f"numbers with a decimal comma, such as {shown(example)}; write them with a point"
    if have_units(values):
        return f"numbers with a unit, such as {shown(values[0])}; write the number alone"
    if sum(map(len, values)) > _MAX_MEAN_LENGTH * len(values):
        return f"texts of {sum(map(len, values)) / len(values):.0f} characters"
    return ""


def _why_counter(name: str, values: Sequence[str]) -> str:
    """Returns why the values of all rows are the rows' numbers, which say nothing of later rows; else an empty text."""
    if len(values) <= _MAX_CODES or not all(re.fullmatch(r"[+-]?\d{1,18}(\.0*)?", text) for text in values):
        return ""
    numbers = [int(text.partition(".")[0]) for text in values]
    if {later - earlier for earlier, later in itertools.pairwise(numbers)} in ({1}, {-1}):
        return "whole numbers that change by 1 from row to row: they count the rows"
    if len(set(numbers)) < len(numbers):
        return ""
    if numbers in (sorted(numbers), sorted(numbers, reverse=True)) and {*split_words(name)} & {"id", *ID_WORDS}:
        return "by its name an id of the row; each row has a larger one than the row before, or each a smaller one"
    return "an index by its name; each row has another whole number" if _INDEX_NAME.fullmatch(name) else ""


def _is_code(is_id: bool, counts: collections.Counter[str], num_values: int) -> bool:
    """Returns whether numbers are only names: an id's, or few whole numbers that come back often."""
    if not are_whole(counts):
        return False
    # As in 007 among other numbers of three digits, which are no quantities.
    has_zeros = len({len(text) for text in counts}) == 1 and any(re.match(r"-?0\d", text) for text in counts)
    return is_id or has_zeros or (len(counts) <= _MAX_CODES and num_values >= 20 * len(counts))


def _may_be_id(name: str, numbers: Sequence[float], counts: collections.Counter[str]) -> bool:
    """Returns whether whole numbers may be names: by a word, by their size, or as they come back."""
    if not are_whole(counts) or len(counts) <= _MAX_CODES:
        return False
    is_frequent = len(counts) > _MIN_ID_VALUES and len(numbers) >= _MIN_ID_ROWS * len(counts)
    return bool({*split_words(name)} & ID_WORDS) or max(map(abs, numbers)) > _MAX_EXACT or is_frequent


def are_whole(texts: Iterable[str]) -> bool:
    """Returns whether all texts are whole numbers, written as such."""
    return all(re.fullmatch(r"-?\d+", text) for text in texts)


def _list(column: Column, values: Sequence[str], separator: str, side: Side) -> Guess:
    items = values if column.stored == "list" else [i.strip() for text in values for i in text.split(separator)]
    counts = collections.Counter(item for item in items if item)
    what = "lists" if column.stored == "list" else f"values between {shown(separator)}"
    reason = f"{what}; {len(counts):,} different ones"
    return Guess(column.name, "feature", reason, "", side, "categorical_list", choose_rule(counts))


def _frequent(counts: collections.Counter[str], num_values: int) -> str:
    value, number = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{len(counts):,} different values, most often {shown(value)} ({number / num_values:.0%})"


def choose_rule(counts: collections.Counter[str]) -> dict[str, object]:
    """Returns a vocabulary's rule: many values, most of them rare, share ids behind the vocabulary's."""
    if len(counts) <= 100:
        return {"vocabulary": {}}
    return {"vocabulary": {"min_count": 3, "num_oov_buckets": 16}}


def _numeric(column: str, values: Sequence[str], counts: collections.Counter[str], side: Side) -> Guess:
    numbers = [float(text) for text in values]
    if odd := [text for text, value in zip(values, numbers, strict=True) if not abs(value) <= MAX_FLOAT]:
        return Guess(column, "left_out", f"has numbers that are not finite 32-bit ones, such as {shown(odd[0])}")
    value, number = min(counts.items(), key=lambda item: (-item[1], item[0]))
    # So many that a quantile has a hundred rows, and that the values beside the most frequent one have ten.
    share = number / len(values)
    needed = max(20.0, 10 / (1 - share) if share > 0.5 else 0.0, len(values) / 500)
    num_quantiles = int(min(needed, 100, max(len(values) / 50, 2), max(len(counts), 2)))
    reason = f"numbers from {min(numbers):g} to {max(numbers):g}, {len(counts):,} different ones"
    if share > 0.5:
        reason += f", {share:.0%} of them {value}"
    if _may_be_id(column, numbers, counts):
        reason += _IF_AN_ID
    rule: dict[str, object] = {"num_quantiles": max(2, math.floor(num_quantiles)), "scale": choose_scale(numbers)}
    return Guess(column, "feature", reason, "", side, "numeric", rule)
