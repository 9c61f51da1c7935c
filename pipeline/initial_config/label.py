"""Guesses which column of a sample is the label, and which of its values are positive."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.initial_config.features import split_words
from pipeline.initial_config.sample import Column, Sample, is_number, shown
from transform.errors import InputError

#: Words in the name of a label's column, the likeliest first.
_LABEL_WORDS = (
    "label", "target", "clicked", "click", "installed", "acquired", "converted", "conversion", "purchased", "purchase",
    "bought", "liked", "churn", "default", "response", "outcome", "class", "y", "income", "rating", "stars", "score",
)  # fmt: skip
_GRADE_WORDS = frozenset({"rating", "stars", "score", "grade"})
_POSITIVE_WORDS = frozenset({"yes", "y", "true", "t", "positive", "pos", "good", "click", "clicked"})
_MAX_GRADES = 21

#: Words before a label's word that leave the name a label's: `is_installed`.
_AUXILIARIES = frozenset({"is", "was", "has", "did"})

#: Behind all ranks of a column; and behind those of a column that has one value but is like a label in name or value.
_NO_RANK, _LEAST_RANK = (3, 0), (2, 0)


@dataclasses.dataclass(frozen=True)
class Label:
    """The label.

    Attributes:
      column: Its column.
      reason: Why this column.
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
    if its name is a rating's and it has a few numbers. The first choice is the one with the likeliest name and values,
    then the last column, then the only possible one.

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
                f"rows. Received: {name!r} ({sample.path})"
            )
        return _with_missing(label, sample, nulls)
    possible = [label for column in sample.columns if (label := _of(column, "", nulls)) is not None]
    named = [(rank, label) for label in possible if (rank := _rank(label.column, label.rule is None)) is not None]
    likeliest = min((rank for rank, _ in named), default=_NO_RANK)
    for column in sample.columns:
        value = _only_value(column, sample, nulls)
        if value is not None and (_rank(column.name, _is_0_or_1(value)) or _NO_RANK) < min(likeliest, _LEAST_RANK):
            raise _has_one_value(column.name, value, sample)
    if not possible:
        raise InputError(
            f"no column of the first {sample.num_rows:,} rows has two different values or is a rating; `--label` names "
            f"the label's column ({sample.path})"
        )
    if named:
        label = min(named, key=lambda item: item[0])[1]
        reason = "by its name"
    elif possible[-1].column == sample.columns[-1].name:
        label, reason = possible[-1], "the last column, which has two different values"
    else:
        label = possible[-1]
        reason = f"one of {len(possible)} columns with two different values" if len(possible) > 1 else "has two values"
    return _with_missing(dataclasses.replace(label, reason=reason), sample, nulls)


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


def _has_one_value(column: str, value: str, sample: Sample) -> InputError:
    return InputError(
        f"the label must have two different values in the rows read. Received: only {shown(value)} in the first "
        f"{sample.num_rows:,} rows of {column!r}; `--rows` reads more rows, `--label` names another column, and a log "
        f"that is sorted by its label needs its rows in another order ({sample.path})"
    )


def _with_missing(label: Label, sample: Sample, nulls: Sequence[str]) -> Label:
    """Adds to a label's reason the number of rows without one, which ingestion rejects."""
    column = next(column for column in sample.columns if column.name == label.column)
    missing = sample.num_rows - sum(text not in nulls for text in column.singles)
    if not missing:
        return label
    reason = f"{label.reason}; {missing:,} of the {sample.num_rows:,} rows have none and would be rejected"
    return dataclasses.replace(label, reason=reason)


def _rank(column: str, is_0_or_1: bool) -> tuple[int, int] | None:
    """Returns how likely a column is the label by its name and values, the smallest the likeliest; None without a word.

    A name with other words beside the label's, and other values than 0 and 1, each make it less likely.
    """
    words = [word for word in split_words(column) if word not in _AUXILIARIES]
    ranks = [_LABEL_WORDS.index(word) for word in words if word in _LABEL_WORDS]
    return ((len(words) > 1) + (not is_0_or_1), min(ranks)) if ranks else None


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
        is_grade = bool(_GRADE_WORDS & {*split_words(column.name)}) and len(numbers) <= _MAX_GRADES
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
    return Label(
        column, reason, {"at_least": at_least}, f"{positives[grade] / total:.0%} of the rows are positive then"
    )


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
    share = numbers[positive] / sum(numbers.values())
    rule = {"positive": forms[positive], "negative": forms[negative]}
    return Label(column.name, reason, dict(rule), f"{why}; {share:.1%} of the rows are positive then")
