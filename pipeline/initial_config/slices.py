"""The slices of a first config: the item's category and price, in one of which a model may be wrong alone."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from decimal import Decimal

from pipeline.initial_config.column_names import split_words
from pipeline.initial_config.features import Guess
from pipeline.initial_config.samples.sample import Sample
from transform.feature_kinds import KINDS

#: Words in the name of an item's column by whose values there are slices.
_WORDS = frozenset(["category", "categories", "genre", "genres", "price"])

#: The least share of the rows that have the lowest number, such as free apps, for it to be a slice of its own.
_LEAST_SHARE = 0.05


def item_slices(sample: Sample, guesses: Sequence[Guess], nulls: Sequence[str]) -> Iterator[str]:
    """Yields the names of the slices, in the order of the columns, such as `category` and `price < 0.99`.

    A feature with more than a hundred values is none: its slices would be too small to judge.

    Args:
      sample: The first rows of a file.
      guesses: What its columns are.
      nulls: The texts that mean "no value".
    """
    for guess in guesses:
        if guess.role != "feature" or guess.side != "item" or not {*split_words(guess.column)} & _WORDS:
            continue
        if KINDS[guess.kind].column == "float":
            (column,) = (column for column in sample.columns if column.name == guess.column)
            yield f"{guess.name} < {_bound(sorted(float(text) for text in column.singles if text not in nulls))}"
        elif guess.rule == {"vocabulary": {}}:
            yield guess.name


def _bound(numbers: Sequence[float]) -> str:
    """Returns the number that parts the lowest from the others, if enough rows have the lowest; else the median.

    Args:
      numbers: At least two different ones, ascending.
    """
    counts = collections.Counter(numbers)
    lowest, second = sorted(counts)[:2]
    is_frequent = counts[lowest] >= _LEAST_SHARE * len(numbers)
    bound = second if is_frequent else numbers[len(numbers) // 2]
    return f"{Decimal(str(bound)):f}".removesuffix(".0")
