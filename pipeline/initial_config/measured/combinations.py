"""Chooses count encodings, crosses, and numbers whose single values are categories too, by what they gain."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from components.data_validation.columns import Columns, Tokens
from components.data_validation.label_aucs import halves, label_aucs
from pipeline.initial_config.after_label import labelled_rows, numbers_of, row_values, tokens_of
from pipeline.initial_config.features import Guess, are_whole
from pipeline.initial_config.measured.additive_model import AdditiveModel, Gain, crossed
from pipeline.initial_config.samples.sample import Sample
from transform.combinations import USUAL_MIN_COUNT
from transform.feature_kinds import KINDS

#: The most rows that gains are measured on, and the fewest of either label in each half of them.
_MAX_ROWS, _MIN_LABELS = 50_000, 100

#: A number of more different values than a code has (`features`), and of at most so many, each in so many rows on
#: average, may be a category too.
_MAX_VALUES, _MIN_VALUE_ROWS = 200, 20

#: Crosses are measured of so many features, those that predict the label best alone.
_MAX_CROSSED = 20

#: A cross has on average so many rows, or values of a list, in a cell.
_MIN_CELL_ROWS = 4

#: Taken are at most so many combinations, each with this gain in standard errors and in log loss; offered as comments
#: at most so many more, with this gain in standard errors.
_MOST, _MIN_ERRORS, _MIN_GAIN = 5, 4.0, 0.001
_MOST_OFFERED, _MIN_ERRORS_OFFERED = 3, 2.5

_Key = tuple[str, ...]


class Combination(NamedTuple):
    """A cross or a count encoding.

    Attributes:
      features: The names of its features.
      reason: Why, as a comment.
      is_taken: Whether the config has it; else it is offered as a comment.
    """

    features: tuple[str, ...]
    reason: str
    is_taken: bool


@dataclasses.dataclass(frozen=True)
class Combinations:
    """What `choose` found.

    Attributes:
      guesses: The guesses, with a categorical feature behind each number whose single values gain.
      crosses: The crosses.
      counts: The count encodings.
    """

    guesses: Sequence[Guess]
    crosses: Sequence[Combination]
    counts: Sequence[Combination]


def choose(
    sample: Sample,
    labels: Sequence[int | None],
    guesses: Sequence[Guess],
    nulls: Sequence[str],
    separator: str,
    *,
    by_time: bool,
) -> Combinations:
    """Chooses what the model reads beside the features one by one.

    * A count encoding of each categorical feature with more than a hundred values: of ids above all, whose positive
      share a weight of each learns slowly. Without labels in the log it is offered as a comment, and so is that of
      users where the last rows by time are for evaluation: the training's counts of a user are of rows around each row
      in time, which say more than those before the evaluation rows (`docs/explanation/benchmarks.md`).
    * A cross of two features, at most one of them a list, and a number's single values as categories, by their gain
      beyond all features one by one (`additive_model.AdditiveModel`).

    Args:
      sample: The first rows of a file.
      labels: Each row's label, 0 or 1; None for a row without one.
      guesses: What its columns are.
      nulls: The texts that mean "no value".
      separator: The separator of lists.
      by_time: Whether the last rows by time are for evaluation.
    """
    features = [guess for guess in guesses if guess.role == "feature" and "derive" not in guess.rule]
    rows, label, request = labelled_rows(sample, labels, guesses)
    rows, label, request = rows[:_MAX_ROWS], label[:_MAX_ROWS], request[:_MAX_ROWS]
    counts = [
        Combination(
            (guess.name,),
            "how many earlier rows had the value, and their positive share",
            bool(rows) and not (by_time and guess.entity == "user"),
        )
        for guess in features
        if KINDS[guess.kind].column == "string"
        and guess.rule != {"vocabulary": {}}
        and not _is_count(guess.name, guesses)
    ]
    if min(np.bincount(2 * halves(request) + label, minlength=4)) < _MIN_LABELS:
        return Combinations(guesses, (), counts)
    columns = {column.name: column for column in sample.columns}
    values = {guess.name: row_values(columns[guess.column], guess, rows, nulls, separator) for guess in features}
    tokens = {guess.name: _tokens(guess, values[guess.name]) for guess in features}
    candidates: dict[_Key, Tokens] = {}
    for guess in features:
        if KINDS[guess.kind].column == "float" and (single := _single_values(values[guess.name])) is not None:
            candidates[(guess.name,)] = single
    aucs = label_aucs(Columns(label, request, tokens, {}))
    strongest = {*sorted(aucs, key=lambda name: -aucs[name])[:_MAX_CROSSED]}
    to_cross = [guess for guess in features if guess.name in strongest]
    candidates |= _pairs(to_cross, tokens, {guess.name for guess in guesses})
    model = AdditiveModel(label, request, tokens)
    taken = model.choose(candidates, _MOST, _MIN_ERRORS, _MIN_GAIN)
    left = {key: cells for key, cells in candidates.items() if key not in taken}
    offered = model.choose(left, _MOST_OFFERED, _MIN_ERRORS_OFFERED)
    crosses = [Combination(key, _reason(gain), key in taken) for key, gain in (taken | offered).items() if len(key) > 1]
    as_categories = {key[0]: gain for key, gain in taken.items() if len(key) == 1}
    return Combinations(list(_with_categories(guesses, as_categories)), crosses, counts)


def _is_count(name: str, guesses: Sequence[Guess]) -> bool:
    """Returns whether a feature has a name that belongs to a feature's count encoding."""
    return any(guess.name.startswith(f"count_of_{name}") for guess in guesses)


def _reason(gain: Gain) -> str:
    return (
        f"lowers the log loss by {gain.logloss:.4f} ({gain.errors:.1f} standard errors) beyond the features one by one"
    )


def _tokens(guess: Guess, values: Sequence[tuple[str, ...]]) -> Tokens:
    """Returns a feature's values, those of a number as its quantiles."""
    if KINDS[guess.kind].column != "float":
        return tokens_of(values)
    numbers = numbers_of(values)
    rows = np.flatnonzero(~np.isnan(numbers))
    num_quantiles = guess.rule["num_quantiles"]
    assert isinstance(num_quantiles, int)
    cuts = np.unique(np.quantile(numbers[rows], np.linspace(0, 1, num_quantiles + 1)[1:-1], method="lower"))
    codes = np.searchsorted(cuts, numbers[rows], "right").astype(np.int64)
    return Tokens([str(code) for code in range(len(cuts) + 1)], codes, rows, len(numbers))


def _single_values(values: Sequence[tuple[str, ...]]) -> Tokens | None:
    """Returns a number's single values; None if it is no whole number, or has too many values."""
    texts = {text for (text,) in filter(None, values)}
    if len(texts) > _MAX_VALUES or not are_whole(texts) or len(values) < _MIN_VALUE_ROWS * len(texts):
        return None
    return tokens_of(values)


def _pairs(features: Sequence[Guess], tokens: Mapping[str, Tokens], names: set[str]) -> Iterator[tuple[_Key, Tokens]]:
    """Yields the crosses that are measured: not of two lists, with enough rows in a cell, and whose name is free."""
    for first, second in itertools.combinations(features, 2):
        name = f"{first.name}_x_{second.name}"
        if (KINDS[first.kind].is_list and KINDS[second.kind].is_list) or name in names:
            continue
        names.add(name)
        cells = crossed(tokens[first.name], tokens[second.name])
        sizes = [len(tokens[guess.name].values) for guess in (first, second)]
        if max(sizes) < len(cells.values) <= len(cells.rows) / _MIN_CELL_ROWS:  # else one determines the other
            yield (first.name, second.name), cells


def _with_categories(guesses: Sequence[Guess], gains: Mapping[str, Gain]) -> Iterator[Guess]:
    names = {guess.name for guess in guesses}
    for guess in guesses:
        yield guess
        if guess.role == "feature" and guess.name in gains and f"{guess.name}_value" not in names:
            reason = f"its single values too: {_reason(gains[guess.name])}"
            rule: dict[str, object] = {"vocabulary": {"min_count": USUAL_MIN_COUNT}}
            yield dataclasses.replace(
                guess, name=f"{guess.name}_value", kind="categorical", rule=rule, reason=reason, entity=None
            )
