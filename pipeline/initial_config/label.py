"""Guesses which column of a sample is the label, and which of its values are positive."""

from __future__ import annotations

import collections
import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.initial_config.column_names import AUXILIARIES, EVENT_WORDS, afterwards_words, split_words
from pipeline.initial_config.samples.sample import Column, Sample, is_number, shown
from pipeline.initial_config.source_lines import shell_word
from transform.errors import InputError

#: Words in the name of a label's column.
_LABEL_WORDS = EVENT_WORDS | {
    "label", "target", "y", "outcome", "response", "churn", "income", "revenue", "class", "default", "rating", "stars",
    "score", "overall", "survived", "canceled", "cancelled", "exited", "attrition", "fraud", "spam", "readmitted",
    "approved", "returned",
}  # fmt: skip

#: Those that are as often the name of a feature, such as whether a customer has been in default.
_WEAK_WORDS = frozenset({"class", "default", "score"})
_GRADE_WORDS = frozenset({"rating", "stars", "score", "grade", "overall"})
_POSITIVE_WORDS = frozenset({"yes", "y", "true", "t", "positive", "pos", "good", "click", "clicked"})
_MAX_GRADES = 21

#: The numbers of a rating that no name says to be one; each of them is in so many rows on average.
_RATINGS = frozenset(number / 2 for number in range(21))
_MAX_RATINGS, _MIN_RATED = 11, 10

#: A column with so many doubts is no label by its name alone.
_MANY_DOUBTS = 2

#: The most columns that are named beside the label.
_MAX_OTHERS = 5


@dataclasses.dataclass(frozen=True)
class Label:
    """The label.

    Attributes:
      column: Its column.
      reason: Why this column, the share of positive rows, and the other columns that it might have been.
      rule: The config's `label_rule`; None for a column of 0 and 1.
      rule_reason: Why this rule.
    """

    column: str
    reason: str
    rule: dict[str, object] | None = None
    rule_reason: str = ""


def guess_label(sample: Sample, name: str | None, nulls: Sequence[str]) -> Label:
    """Guesses the label.

    A column is a possible label if it has two values, where texts that differ by a full stop at their end are one, or
    if its name is a rating's and it has a few numbers. Taken is, of those with a usual name, the one with the fewest
    doubts (see `_doubts`), of equal ones the last. Without one of less than two doubts it is the file's last column if
    this is possible, then the last one with a usual name, then the last one of 0 and 1, then the last one. Without any,
    in a file without names, it is the only column that may be a rating by its values.

    Args:
      sample: The first rows of a file.
      name: The label's column if it is known.
      nulls: The texts that mean "no value".

    Raises:
      InputError: If there is no such column, or no column can be the label, or the likeliest one has a single value
        in the rows read, which are not all rows.
    """
    columns = {column.name: column for column in sample.columns}
    if name is not None:
        if name not in columns:
            raise InputError(f"`--label` names a column. Received: {name!r}; allowed: {list(columns)[:50]}")
        label = _of(columns[name], "named by --label", nulls, any_name=True)
        if label is None:
            if (value := _only_value(columns[name], sample, nulls)) is not None:
                raise _has_one_value(name, value, sample)
            raise InputError(
                f"a label's column must have two different values or a few numbers in the first {sample.num_rows:,} "
                f"rows. Received: {_values_of(columns[name], nulls)} ({sample.path})"
            )
        return _described(label, (), sample, nulls)
    possible = [label for column in sample.columns if (label := _of(column, "", nulls)) is not None]
    doubts = [_doubts(label.column, label.rule is None) for label in possible]
    for column in sample.columns:
        value = _only_value(column, sample, nulls)
        if value is not None and _doubts(column.name, _is_0_or_1(value)) < min([_MANY_DOUBTS, *doubts]):
            raise _has_one_value(column.name, value, sample)
    if not possible:
        graded = _graded(sample, nulls)
        if sample.text.columns and len(graded) == 1:
            return _described(graded[0], (), sample, nulls)
        likely = [f"; {_values_of(c, nulls)}" for c in sample.columns if _doubts(c.name, False) < _MANY_DOUBTS]
        for label in graded[:1]:
            likely.append(
                f"; {shown(label.column)} may be a rating by its values, and {_command(sample, label)} takes it"
            )
        raise InputError(
            "a label's column must have exactly two different values or be a rating by its name. Received: none in the "
            f"first {sample.num_rows:,} rows{''.join(likely)}; `--label` names the label's column, `--installs` the "
            f"log of installs from which labels are made ({sample.path})"
        )
    named = [label for number, label in zip(doubts, possible, strict=True) if number == min(doubts) < math.inf]
    is_last = possible[-1].column == sample.columns[-1].name
    if named and (min(doubts) < _MANY_DOUBTS or not is_last):
        label, reason = named[-1], "by its name"
    elif is_last:
        label, reason = possible[-1], "the last column, which has two different values"
    else:
        label = ([flag for flag in possible if flag.rule is None] or possible)[-1]
        reason = f"one of {len(possible)} columns with two different values" if len(possible) > 1 else "has two values"
    others = [other.column for other in possible if other is not label]
    return _described(dataclasses.replace(label, reason=reason), others, sample, nulls)


def read_labels(label: Label, sample: Sample, nulls: Sequence[str]) -> list[int | None]:
    """Returns each row's label, 0 or 1; None for a row that has none."""
    column = next(column for column in sample.columns if column.name == label.column)
    return [None if not text or text in nulls else int(_is_positive(text, label.rule)) for (text,) in column.texts]


def _is_positive(text: str, rule: Mapping[str, Any] | None) -> bool:
    if rule is None:
        return text == "True" or (is_number(text) and float(text) == 1)
    return text in rule["positive"] if "positive" in rule else float(text) >= rule["at_least"]


def _only_value(column: Column, sample: Sample, nulls: Sequence[str]) -> str | None:
    """Returns the value of a column that has one alone, in a sample that is not the whole file; None of any other."""
    if sample.is_whole or column.stored in ("list", "other"):
        return None
    values = {text for text in column.singles if text not in nulls}
    return values.pop() if len(values) == 1 else None


def _graded(sample: Sample, nulls: Sequence[str]) -> list[Label]:
    """Returns the columns that may be ratings by their values, those with the fewest first.

    They have 3 to 11 different numbers from 0 to 10, whole or halves, each in many rows; and two other columns, such as
    those of user and item, have more different values.
    """
    counts = {
        column.name: collections.Counter(
            float(text) if is_number(text) else text for text in column.singles if text not in nulls
        )
        for column in sample.columns
        if column.stored in ("text", "integer", "number")
    }
    found = []
    for name, of_column in sorted(counts.items(), key=lambda item: len(item[1])):
        if not 3 <= len(of_column) <= _MAX_RATINGS or of_column.total() < _MIN_RATED * len(of_column):
            continue
        others = sum(len(other) > _MAX_GRADES for other_name, other in counts.items() if other_name != name)
        if others >= 2 and of_column.keys() <= _RATINGS:
            numbers = collections.Counter({float(number): rows for number, rows in of_column.items()})
            reason = f"by its values, {len(numbers)} numbers up to {max(numbers):g}, a rating"
            found.append(_grades(name, reason, numbers))
    return found


def _command(sample: Sample, label: Label) -> str:
    return f"`wdr init {shell_word(sample.path)} --label {shlex.quote(label.column)}`"


def _values_of(column: Column, nulls: Sequence[str]) -> str:
    """Returns how many values a column has, and how many rows each of the most frequent ones."""
    counts = collections.Counter(text for text in column.singles if text not in nulls)
    most = ", ".join(f"{shown(text)} ({number:,} rows)" for text, number in counts.most_common(_MAX_OTHERS))
    return f"{shown(column.name)} has {len(counts):,} values{', most often' if counts else ''} {most}".rstrip()


def _has_one_value(column: str, value: str, sample: Sample) -> InputError:
    return InputError(
        f"the label must have two different values in the rows read. Received: only {shown(value)} in the first "
        f"{sample.num_rows:,} rows of {column!r}; `--rows` reads more rows, `--label` names another column, and a log "
        f"that is sorted by its label needs its rows in another order ({sample.path})"
    )


def _described(label: Label, others: Sequence[str], sample: Sample, nulls: Sequence[str]) -> Label:
    """Adds to a label's reason the rows without one, which ingestion rejects, the positive ones, and other columns."""
    labels = [value for value in read_labels(label, sample, nulls) if value is not None]
    reason = label.reason
    if missing := sample.num_rows - len(labels):
        reason += f"; {missing:,} of the {sample.num_rows:,} rows have none and would be rejected"
    reason += f"; {sum(labels) / len(labels):.1%} of the rows{' that have one' if missing else ''} are positive"
    if others:
        more = ", ..." if len(others) > _MAX_OTHERS else ""
        reason += f"; other columns that might be it: {', '.join(map(shown, others[:_MAX_OTHERS]))}{more}"
    return dataclasses.replace(label, reason=reason)


def _doubts(column: str, is_0_or_1: bool) -> float:
    """Returns the number of doubts that a column is the label, by its name and values; infinite without a usual word.

    Each of these is one: other words in the name, and other values than 0 and 1. A word that is as often a feature's,
    such as `default`, counts as two.
    """
    words = {word for word in split_words(column) if word not in AUXILIARIES}
    if not words & _LABEL_WORDS:
        return math.inf
    return (len(words) > 1) + (not is_0_or_1) + 2 * (words & _LABEL_WORDS <= _WEAK_WORDS)


def _is_0_or_1(text: str) -> bool:
    return text in ("True", "False") or (is_number(text) and float(text) in (0.0, 1.0))


def _of(column: Column, reason: str, nulls: Sequence[str], any_name: bool = False) -> Label | None:
    counts = collections.Counter(text for text in column.singles if text not in nulls)
    if column.stored == "boolean":
        return Label(column.name, reason) if len(counts) == 2 else None
    if column.stored not in ("text", "integer", "number"):
        return None
    if all(map(is_number, counts)):
        numbers = collections.Counter({float(text): 0 for text in counts})
        for text, number in counts.items():
            numbers[float(text)] += number
        if set(numbers) == {0.0, 1.0}:
            return Label(column.name, reason)
        words = {*split_words(column.name)}
        is_grade = bool(_GRADE_WORDS & words) and not afterwards_words(column.name) and len(numbers) <= _MAX_GRADES
        if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or not (any_name or is_grade or len(numbers) == 2):
            return None
        return _grades(column.name, reason, numbers)
    return _texts(column, reason, counts) if column.stored == "text" else None


def _grades(column: str, reason: str, numbers: collections.Counter[float]) -> Label:
    """Takes for positive what is at least a number, so that nearest to half of the rows are positive."""
    total, above = sum(numbers.values()), 0
    positives = {}
    for grade in sorted(numbers, reverse=True)[:-1]:
        above += numbers[grade]
        positives[grade] = above
    grade = min(positives, key=lambda g: (abs(2 * positives[g] - total), -g))
    at_least = int(grade) if grade == int(grade) else grade
    why = "nearest to half of the rows are positive then" if len(numbers) > 2 else "the larger of two numbers"
    return Label(column, reason, {"at_least": at_least}, why)


def _texts(column: Column, reason: str, counts: collections.Counter[str]) -> Label | None:
    forms: dict[str, list[str]] = {}
    for text in sorted(counts):
        forms.setdefault(text.rstrip("."), []).append(text)
    if len(forms) != 2:
        return None
    numbers = {form: sum(counts[text] for text in texts) for form, texts in forms.items()}
    by_word = [form for form in forms if form.lower() in _POSITIVE_WORDS]
    positive = by_word[0] if len(by_word) == 1 else min(forms, key=lambda form: (numbers[form], form))
    (negative,) = set(forms) - {positive}
    why = f"{shown(positive)} " + ("says so" if len(by_word) == 1 else "is the rarer value")
    rule = {"positive": forms[positive], "negative": forms[negative]}
    return Label(column.name, reason, dict(rule), why)
