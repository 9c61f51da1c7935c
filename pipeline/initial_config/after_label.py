"""Finds the columns of a sample that are probably known only after the label, such as the revenue of an install."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.data_validation.columns import Columns, Ints, read_tokens
from components.data_validation.label_aucs import label_aucs
from pipeline.initial_config.column_names import AFTERWARDS_WORDS, EVENT_WORDS, split_words
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
      Reasons by column. By its name is a column of votes or propensities (`AFTERWARDS_WORDS`), and one of 0 and 1 of
      another event than the label's; by its values none if one of the two labels has fewer than `_MIN_ROWS` rows.
    """
    columns = {column.name: column for column in sample.columns}
    roles = {guess.column for guess in guesses if guess.role not in ("feature", "left_out")}
    features = [guess for guess in guesses if guess.role == "feature" and guess.column not in roles]
    found = {guess.column: reason for guess in features if (reason := _by_name(columns[guess.column], nulls))}
    rows, label, request = labelled_rows(sample, labels, guesses)
    if min(label.sum(), len(label) - label.sum()) < _MIN_ROWS:
        return found
    for guess in features:
        if guess.column not in found:
            values = _values(columns[guess.column], guess, rows, nulls, separator)
            if reason := _reason(values, KINDS[guess.kind].column == "float", label, request):
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


def _by_name(column: Column, nulls: Sequence[str]) -> str:
    """Returns why a column is known only afterwards by its name; an empty text if it is not."""
    words = split_words(column.name)
    if afterwards := sorted({*words} & AFTERWARDS_WORDS):
        return f"by the word {shown(afterwards[0])} in its name known only after the label; declare it if it is not"
    if len(words) == 1 and {*words} <= EVENT_WORDS and {*column.singles} - {*nulls} == {"0", "1"}:
        return "by its name an event after the impression, as the label is; declare it if it is known before"
    return ""


def _values(
    column: Column, guess: Guess, rows: Sequence[int], nulls: Sequence[str], separator: str
) -> list[tuple[str, ...]]:
    values = (tuple(text for text in column.texts[at] if text and text not in nulls) for at in rows)
    if KINDS[guess.kind].is_list and column.stored != "list":
        return [tuple(item.strip() for text in texts for item in text.split(separator)) for texts in values]
    return list(values)


def _reason(values: Sequence[tuple[str, ...]], is_numeric: bool, label: Ints, request: Ints) -> str:
    """Returns why a feature's values, those of each row with a label, are known after it; an empty text if not."""
    has_value = _shares(np.array([bool(texts) for texts in values]), label)
    if has_value.is_decisive:
        return f"has a value {has_value}"
    if not max(has_value):  # only rows without a label have one
        return ""
    tokens = read_tokens(pa.array(values, pa.list_(pa.large_string())))
    usual = tokens.values[int(np.bincount(tokens.codes).argmax())]
    unusual = _shares(np.array([texts != (usual,) for texts in values]), label)
    # Not the other way round: a value that no positive row has, such as a country, may well be known before.
    if unusual.is_decisive and unusual.positive > unusual.others:
        return f"is not {shown(usual)} {unusual}"
    numbers = {"": np.array([float(texts[0]) if texts else np.nan for texts in values])} if is_numeric else {}
    auc = label_aucs(Columns(label, request, {} if is_numeric else {"": tokens}, numbers))[""]
    return f"tells the label alone with an AUC of {auc:.3f}" if auc > _MAX_AUC else ""


def _shares(holds: _Rows, label: Ints) -> _Shares:
    return _Shares(float(holds[label == 1].mean()), float(holds[label == 0].mean()))
