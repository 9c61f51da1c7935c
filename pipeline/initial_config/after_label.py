"""Finds the columns of a sample that are probably known only after the label, such as the revenue of an install."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.data_validation.columns import Columns, Floats, Ints, Tokens, read_tokens
from components.data_validation.label_aucs import label_aucs
from pipeline.initial_config.column_names import AUXILIARIES, EVENT_WORDS, afterwards_words, split_words
from pipeline.initial_config.features import Guess
from pipeline.initial_config.samples.sample import Column, Sample, shown
from transform.feature_kinds import KINDS

#: With fewer rows of a label, chance can look like a cause.
_MIN_ROWS = 100

#: A feature that is known before the label seldom has a larger AUC by itself.
_MAX_AUC = 0.95

#: Values of a tenth of one label's rows, and of so few of the other's, follow from the label.
_MIN_SHARE, _MAX_RATIO = 0.1, 0.01

_Rows = npt.NDArray[np.bool_]


class _Shares(NamedTuple):
    """The share of the positive rows, and of the others, in which something holds."""

    positive: float
    others: float

    def __str__(self) -> str:
        return f"in {self.positive:.0%} of the positive rows and {self.others:.0%} of the others"

    @property
    def is_decisive(self) -> bool:
        return max(self) >= _MIN_SHARE and min(self) <= _MAX_RATIO * max(self)


def columns_after_label(
    sample: Sample, labels: Sequence[int | None], guesses: Sequence[Guess], nulls: Sequence[str], separator: str
) -> dict[str, str]:
    """Returns the columns of features that are probably known only after the label, with the reason of each.

    Args:
      sample: The first rows of a file.
      labels: Each row's label, 0 or 1; None for a row without one.
      guesses: What each column is.
      nulls: The texts that mean "no value".
      separator: The separator of lists.

    Returns:
      Reasons by column. By its name is a column of votes or propensities (`afterwards_words`), and one of 0 and 1 of
      another event than the label's; by its values none if one of the two labels has fewer than `_MIN_ROWS` rows.
    """
    columns = {column.name: column for column in sample.columns}
    roles = {guess.column for guess in guesses if guess.role not in ("feature", "left_out")}
    features = [guess for guess in guesses if guess.role == "feature" and guess.column not in roles]
    values = {guess.column: {*columns[guess.column].singles} - {*nulls} for guess in features}
    by_name = {name: why_after_label(name, of_column) for name, of_column in values.items()}
    found = {name: f"{why}; declare it if it is known before" for name, why in by_name.items() if why}
    rows, label, request = labelled_rows(sample, labels, guesses)
    for guess in features:
        if guess.column not in found:
            texts = row_values(columns[guess.column], guess, rows, nulls, separator)
            is_numeric = KINDS[guess.kind].column == "float"
            numbers = numbers_of(texts) if is_numeric else None
            if reason := why_label_in(tokens_of(texts), numbers, label, request):
                found[guess.column] = f"{reason}: known after the label?"
    return found


def labelled_rows(
    sample: Sample, labels: Sequence[int | None], guesses: Sequence[Guess]
) -> tuple[list[int], Ints, Ints]:
    """Returns the places of the rows with a label, their labels, and codes of their requests, or else of themselves."""
    rows = [at for at, label in enumerate(labels) if label is not None]
    request = np.arange(len(rows), dtype=np.int64)
    names = {guess.column for guess in guesses if guess.role == "request_id"}
    for column in sample.columns:
        if column.name in names and rows:
            request = np.unique([column.texts[at][0] for at in rows], return_inverse=True)[1]
    return rows, np.array([labels[at] for at in rows], np.int64), request


def why_after_label(name: str, values: Collection[str]) -> str:
    """Returns why a column is known only afterwards by its name; an empty text if it is not.

    Args:
      name: The column's name.
      values: Its values, without texts that mean "no value".
    """
    words = [word for word in split_words(name) if word not in AUXILIARIES]
    if afterwards := list(map(shown, afterwards_words(name))):
        what = "words" if len(afterwards) > 1 else "word"
        return f"by the {what} {' and '.join(afterwards)} in its name known only after the label"
    if len(words) == 1 and {*words} <= EVENT_WORDS and {*values} == {"0", "1"}:
        return "by its name an event after the impression, as the label is"
    return ""


def row_values(
    column: Column, guess: Guess, rows: Sequence[int], nulls: Sequence[str], separator: str
) -> list[tuple[str, ...]]:
    """Returns a feature's values in some rows, as texts; a row without one has none, one of a list may have several."""
    values = (tuple(text for text in column.texts[at] if text and text not in nulls) for at in rows)
    if KINDS[guess.kind].is_list and column.stored != "list":
        return [tuple(item.strip() for text in texts for item in text.split(separator)) for texts in values]
    return list(values)


def tokens_of(values: Sequence[tuple[str, ...]]) -> Tokens:
    """Returns the `row_values` of a feature as tokens."""
    return read_tokens(pa.array(values, pa.list_(pa.large_string())))


def numbers_of(values: Sequence[tuple[str, ...]]) -> Floats:
    """Returns the `row_values` of a numeric feature, float64 `[rows]`; NaN for a row without one."""
    return np.array([float(texts[0]) if texts else np.nan for texts in values])


def why_label_in(tokens: Tokens, numbers: Floats | None, label: Ints, request: Ints) -> str:
    """Returns why the label, or what follows it, is in a feature's values; an empty text if it is not.

    Args:
      tokens: The values of n rows, those of a number as texts.
      numbers: Of a numeric feature: float64 [n], NaN for none.
      label: int64 [n], 0 or 1; an empty text is returned if one of both has fewer than `_MIN_ROWS` rows.
      request: int64 [n], a code of the request.
    """
    if min(label.sum(), len(label) - label.sum()) < _MIN_ROWS:
        return ""
    num_values = np.bincount(tokens.rows, minlength=tokens.num_rows)
    has_value = _shares(num_values > 0, label)
    if has_value.is_decisive:
        return f"has a value {has_value}"
    if not max(has_value):  # only rows without a label have one
        return ""
    usual = int(np.bincount(tokens.codes).argmax())
    unusual = _shares((num_values != 1) | (tokens.of_rows() != usual), label)
    # Not the other way round: a value that no positive row has, such as a country, may well be known before.
    if unusual.is_decisive and unusual.positive > unusual.others:
        return f"is not {shown(tokens.values[usual])} {unusual}"
    values = ({"": tokens}, {}) if numbers is None else ({}, {"": numbers})
    auc = label_aucs(Columns(label, request, *values))[""]
    return f"tells the label alone with an AUC of {auc:.3f}" if auc > _MAX_AUC else ""


def _shares(holds: _Rows, label: Ints) -> _Shares:
    return _Shares(float(holds[label == 1].mean()), float(holds[label == 0].mean()))
