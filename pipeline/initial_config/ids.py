"""Finds whole numbers that are ids, though no name says so, by how well they predict the label."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from components.data_validation.columns import Columns, Ints, read_tokens
from components.data_validation.label_aucs import label_aucs
from pipeline.initial_config.after_label import labelled_rows
from pipeline.initial_config.candidates import determines
from pipeline.initial_config.column_names import NUMBERED_WORDS, Entity, split_words
from pipeline.initial_config.features import IF_A_QUANTITY, Guess, are_whole, choose_rule
from pipeline.initial_config.samples.sample import Sample
from transform.feature import Side
from transform.feature_kinds import KINDS

#: An id has more different values than this, more than ages, hours, years and percentages, each in so many rows on
#: average, and none in a larger share of the rows.
_MIN_VALUES, _MIN_ROWS, _MAX_SHARE = 100, 5, 0.1

#: The AUC by single values is larger than that by size by this, and by so many standard errors of an AUC by chance.
_MIN_GAIN, _MIN_ERRORS = 0.02, 3.0


def with_ids(
    sample: Sample, labels: Sequence[int | None], guesses: Sequence[Guess], nulls: Sequence[str]
) -> list[Guess]:
    """Makes categories of numbers that behave as ids do, and says whose ids they are.

    A number is an id if it is whole, has more than 100 different values, five rows of each on average and none in more
    than a tenth of the rows; if no other id determines it, as an item its price; and if single values tell the label
    better than their size does. For this, a row's score is the label's share among the rows with its value, or in its
    one of 20 quantiles, in the other half of the requests or rows. The AUC of the first must be larger than that of the
    second by 0.02, and by 3 √((n + 1) / (12 p (n - p))), three standard errors of an AUC by chance with p positives
    among n rows.

    In the order of the columns it is the user's, then the item's, where no other column is; with an item's word in its
    name it is the item's. A single id of a table without users and items is nobody's, and so is an invoice's number.

    Args:
      sample: The first rows of a file.
      labels: Each row's label, 0 or 1; None for a row without one.
      guesses: What its columns are by their names and values.
      nulls: The texts that mean "no value".
    """
    rows, label, request = labelled_rows(sample, labels, guesses)
    columns = {column.name: column for column in sample.columns}
    known: list[Sequence[Hashable]] = [columns[guess.column].texts for guess in guesses if guess.entity is not None]
    numeric = {
        guess.column: [text if text not in nulls else "" for (text,) in columns[guess.column].texts]
        for guess in guesses
        if guess.role == "feature" and KINDS[guess.kind].column == "float"
    }
    reasons = find_ids(numeric, known, rows, label, request)
    found = {}
    for guess in guesses:
        if guess.column in reasons:
            rule = choose_rule(collections.Counter(text for text in numeric[guess.column] if text))
            reason = reasons[guess.column]
            found[guess.column] = dataclasses.replace(guess, kind="categorical", rule=rule, reason=reason)
    return _with_entities(guesses, found)


def find_ids(
    numbers: Mapping[str, Sequence[str]],
    known: Iterable[Sequence[Hashable]],
    rows: Sequence[int],
    label: Ints,
    request: Ints,
) -> dict[str, str]:
    """Returns which numbers are ids by the rule of `with_ids`, those with the most values first, and why.

    Args:
      numbers: By column, the numbers of all rows as texts, an empty text for none.
      known: The values of other ids in all rows.
      rows: The n rows that have a label.
      label: int64 [n], their labels, 0 or 1.
      request: int64 [n], codes of their requests.
    """
    ids, found = list(known), {}
    for name, texts in sorted(numbers.items(), key=lambda item: -len({*item[1]})):
        if reason := _why_an_id(texts, ids, rows, label, request):
            ids.append(texts)
            found[name] = reason
    return found


def _why_an_id(
    texts: Sequence[str], known: Sequence[Sequence[Hashable]], rows: Sequence[int], label: Ints, request: Ints
) -> str:
    """Returns why numbers are an id; an empty text if they need not be one."""
    counts = collections.Counter(text for text in texts if text)
    num_values = counts.total()
    if not are_whole(counts) or len(counts) <= _MIN_VALUES or num_values < _MIN_ROWS * len(counts):
        return ""
    if max(counts.values()) > _MAX_SHARE * num_values or any(determines(keys, texts) for keys in known):
        return ""
    why = _why_no_size([texts[at] or None for at in rows], label, request)
    return why and f"{len(counts):,} different whole numbers, each in {num_values / len(counts):.0f} rows, {why}"


def _why_no_size(values: Sequence[str | None], label: Ints, request: Ints) -> str:
    """Returns how much better single numbers predict the label than their size; an empty text if they do not."""
    positives, num_rows = int(label.sum()), len(label)
    if not 0 < positives < num_rows:
        return ""
    error = math.sqrt((num_rows + 1) / (12 * positives * (num_rows - positives)))
    single = {"single": read_tokens(pa.array(values, pa.large_string()))}
    size = {"size": np.array([float(text or "nan") for text in values])}
    aucs = label_aucs(Columns(label, request, single, size))
    if aucs["single"] - aucs["size"] < max(_MIN_GAIN, _MIN_ERRORS * error):
        return ""
    return (
        f"tell the label by themselves (AUC {aucs['single']:.2f}) better than by their size ({aucs['size']:.2f}): an id"
    )


def _with_entities(guesses: Sequence[Guess], found: Mapping[str, Guess]) -> list[Guess]:
    """Puts the ids that were found into their columns' places, with whose they are."""
    missing: list[Entity] = [e for e in ("user", "item") if all(guess.entity != e for guess in guesses)]
    has_both = len(missing) < 2 or len(found) > 1
    all_guesses = []
    for guess in guesses:
        if guess.role == "feature" and guess.column in found:
            id_guess, reason = found[guess.column], found[guess.column].reason
            of_row = {*split_words(guess.column)} & NUMBERED_WORDS
            possible: list[Entity] = [
                e for e in missing if has_both and not of_row and (e == "item" or guess.side != "item")
            ]
            if possible:
                missing.remove(possible[0])
                reason += f", taken for the {possible[0]}'s by the order of the columns"
                id_guess = dataclasses.replace(id_guess, entity=possible[0])
            side: Side = "item" if id_guess.entity == "item" else guess.side
            guess = dataclasses.replace(id_guess, side=side, reason=reason + IF_A_QUANTITY)
        all_guesses.append(guess)
    return all_guesses
