"""Decides whether a column belongs to the context or to the item, and leaves out the position of an item in a list."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Hashable, Sequence

from pipeline.check.requests import MAX_DIFFERING, count_differing
from pipeline.initial_config.column_names import CLOCK_WORDS, SESSION_WORDS, USER_WORDS, is_rank, split_words
from pipeline.initial_config.features import Guess
from pipeline.initial_config.samples.sample import Column, Sample, is_number, shown

#: A column that counts the rows of its request does so in this share of the requests of three rows or more.
_MIN_COUNTING = 0.95
_MIN_COUNTED_ROWS = 3

_NOT_KNOWN = "it is not known when a request is ranked, and a model that learned from it would be worse then"


def with_sides(sample: Sample, guesses: Sequence[Guess]) -> list[Guess]:
    """Corrects the sides of features, and leaves out the places at which items were shown.

    Without an item's id, and without items that are shown to users or in requests, all features are the context's.
    Otherwise left out are whole numbers whose name says that they are a place (`is_rank`), and those that count the
    rows of each request, or without requests rows that stand together, from 0 or 1. With a request's id, a feature that
    differs within more than `MAX_DIFFERING` of the requests is the item's, as the context of a request is given once.
    This does not hold for the requests of a session, for ids, for what belongs to a user by its name, and for parts of
    times.

    Args:
      sample: The first rows of a file.
      guesses: What its columns are by themselves.
    """
    columns = {column.name: column for column in sample.columns}
    requests = next((columns[guess.column] for guess in guesses if guess.role == "request_id"), None)
    if requests is not None and {*split_words(requests.name)} & SESSION_WORDS:
        requests = None
    if not _ranks_items(guesses):
        guesses = [dataclasses.replace(guess, side="context") for guess in guesses]
        if requests is None:
            return list(guesses)
    items = [columns[guess.column] for guess in guesses if guess.side == "item" and guess.entity == "item"]
    return [
        guess if guess.role != "feature" else _corrected(guess, columns[guess.column], requests, items[:1])
        for guess in guesses
    ]


def determines(keys: Sequence[Hashable], values: Sequence[Hashable]) -> bool:
    """Returns whether rows of one key have one value, such as those of an item its price, and keys come back."""
    return len({*zip(keys, values, strict=True)}) == len({*keys}) < len(keys)


def _ranks_items(guesses: Sequence[Guess]) -> bool:
    items = [guess for guess in guesses if guess.side == "item"]
    return any(guess.entity == "item" for guess in items) or (
        bool(items)
        and any(
            guess.role == "request_id" or guess.entity == "user" or {*split_words(guess.column)} & USER_WORDS
            for guess in guesses
        )
    )


def _corrected(guess: Guess, column: Column, requests: Column | None, items: Sequence[Column]) -> Guess:
    is_items = bool(items) and determines(items[0].texts, column.texts)
    if is_rank(guess.column) and not is_items and _whole_numbers(column):
        return Guess(guess.column, "left_out", f"by its name the place at which the item was shown: {_NOT_KNOWN}")
    if guess.side == "item" or guess.entity is not None or "derive" in guess.rule:
        return guess
    if {*split_words(guess.column)} & USER_WORDS:
        return guess
    if requests is None:
        counted = f"counts rows that stand together, as a place does: {_NOT_KNOWN}"
        is_place = not {*split_words(guess.column)} & CLOCK_WORDS and _counts_up(_whole_numbers(column))
        return Guess(guess.column, "left_out", counted) if is_place else guess
    differing, several = count_differing(requests.texts, column.texts)
    if differing <= MAX_DIFFERING * several:
        return guess
    if _counts_rows(column, requests):
        counted = f"counts the rows of each {shown(requests.name)}, as a place does"
        return Guess(guess.column, "left_out", f"{counted}: {_NOT_KNOWN}")
    why = "leave it out if it is known only after the ranking"
    if is_items:
        why = f"it is the same for all rows of one {shown(items[0].name)}"
    reason = f"{guess.reason}; no context, as it differs within {differing:,} of {several:,} requests: {why}"
    return dataclasses.replace(guess, side="item", reason=reason)


def _whole_numbers(column: Column) -> list[int]:
    """Returns a column's values if each row has a whole number that is not negative; else none."""
    texts = [text for (text,) in column.texts] if column.stored != "list" else []
    numbers = [float(text) if is_number(text) else -1.0 for text in texts]
    return [int(number) for number in numbers] if all(n >= 0 and n.is_integer() for n in numbers) else []


def _counts_up(numbers: Sequence[int]) -> bool:
    """Returns whether numbers, of three or more, go up by one from row to row or back to the first, nearly always."""
    if not numbers or min(numbers) not in (0, 1) or max(numbers) < min(numbers) + 2:
        return False
    start, steps = min(numbers), list(itertools.pairwise(numbers))
    num_up = sum(later == earlier + 1 for earlier, later in steps)
    num_back = sum(earlier > start == later for earlier, later in steps)
    return num_up >= num_back >= _MIN_COUNTED_ROWS and num_up + num_back >= _MIN_COUNTING * len(steps)


def _counts_rows(column: Column, requests: Column) -> bool:
    by_request: collections.defaultdict[Hashable, list[int]] = collections.defaultdict(list)
    for request, number in zip(requests.texts, _whole_numbers(column), strict=False):
        by_request[request].append(number)
    long = [sorted(numbers) for numbers in by_request.values() if len(numbers) >= _MIN_COUNTED_ROWS]
    counting = sum(n[0] in (0, 1) and n == list(range(n[0], n[0] + len(n))) for n in long)
    return bool(long) and counting >= _MIN_COUNTING * len(long)
