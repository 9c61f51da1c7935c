"""What texts of a sample mean by convention: no value, a list of values, a decimal comma, a list of flags."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from pipeline.initial_config.samples.sample import NULL_WORDS, Column, Sample

#: Separators of the values of a list.
_SEPARATORS = ("|", ";", ",")

#: So many neighbouring columns of 0 and 1 may be one list.
_MIN_FLAGS = 3

#: A number with a decimal comma, or a whole number beside such ones.
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?", re.ASCII)

#: A number with a sign of money or of percent before or after it.
_WITH_UNIT = re.compile(r"[+-]?([$€£¥] ?\d[\d.,]*|\d[\d.,]* ?[$€£¥%])")

#: A number whose commas part thousands; with one comma, it may be a decimal comma too.
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+", re.ASCII)


def null_words(sample: Sample) -> tuple[str, ...]:
    """Returns the texts in a sample that mean "no value"."""
    found = {text for column in sample.columns for text in column.singles if text in NULL_WORDS}
    return tuple(sorted(found))


def list_separator(sample: Sample, nulls: Sequence[str]) -> str:
    """Returns the separator of lists in most columns that have some; a bar if none has."""
    delimiter = sample.text.delimiter or ("\t" if sample.format == "tsv" else ",")
    numbers = {
        separator: sum(is_list(values_in(column, nulls), separator) for column in sample.columns)
        for separator in _SEPARATORS
        if separator != delimiter or sample.text.quoting is not False
    }
    return max(numbers, key=lambda separator: (numbers[separator], separator == "|"))


def values_in(column: Column, nulls: Sequence[str]) -> list[str]:
    """Returns a column's values without those that mean "no value"."""
    return [text for text in column.singles if text not in nulls]


def has_decimal_commas(values: Sequence[str]) -> bool:
    """Returns whether all texts are numbers, some with a decimal comma."""
    return any("," in text for text in values) and all(map(_DECIMAL_COMMA.fullmatch, values))


def may_be_thousands(values: Sequence[str]) -> bool:
    """Returns whether each comma of numbers with commas may part thousands, as in `52,155`."""
    return all(map(_THOUSANDS.fullmatch, (text for text in values if "," in text)))


def have_units(values: Sequence[str]) -> bool:
    """Returns whether all texts are numbers with a sign of money or of percent, such as `$9.50` and `12%`."""
    return bool(values) and all(map(_WITH_UNIT.fullmatch, values))


def is_list(values: Sequence[str], separator: str) -> bool:
    """Returns whether texts are lists: many have the separator, and their items come back more often than they do."""
    if separator == "," and has_decimal_commas(values):
        return False
    parted = [text for text in values if separator in text]
    if len(parted) < 0.2 * len(values) or len(parted) < 2:
        return False
    items = {item.strip() for text in values for item in text.split(separator)}
    return len(items) < 0.5 * len(set(values)) and not any(len(item) > 60 for item in items)


def flag_runs(sample: Sample, skipped: Collection[str], nulls: Sequence[str], separator: str) -> list[list[str]]:
    """Returns the names of neighbouring columns, three or more, of 0 and 1 alone, which can be read as one list.

    Args:
      sample: The first rows of a file.
      skipped: The names of columns that are no part of a list, such as the label's.
      nulls: The texts that mean "no value".
      separator: The separator of lists.
    """
    runs: list[list[str]] = [[]]
    for column in sample.columns:
        values = {*values_in(column, nulls)}
        is_name = bool(column.name) and column.name == column.name.strip() and column.name not in nulls
        is_name = is_name and separator not in column.name  # see `Config`: each name is a value of the list
        if is_name and column.name not in skipped and column.stored != "list" and values and values <= {"0", "1"}:
            runs[-1].append(column.name)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) >= _MIN_FLAGS]
