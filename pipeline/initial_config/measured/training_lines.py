"""Writes the settings of the training that were measured to help on small files of the same kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.initial_config.features import Guess
from pipeline.initial_config.samples.sample import Sample

#: The settings were measured on files of at most so many rows.
_MAX_ROWS = 50_000


def training_lines(sample: Sample, guesses: Sequence[Guess]) -> Iterator[str]:
    """Yields the sections `model` and `training`, where the defaults are not the best.

    The settings were chosen on six public files, three of ratings and three without ids, of 7,000 to 50,000 rows
    (`docs/explanation/benchmarks.md`), so they are written for files of this kind that were read to their end:

    * Ratings: the user and the item are the only features. Their weights must come to those of a logistic regression
      with an L2 penalty, by larger steps and a penalty, before the hidden layers follow single rows.
    * Tables: no feature is the id of a user or an item. Every number is in the wide part too, by its bucket; with the
      default rate, these many weights follow the noise of single rows.

    Args:
      sample: The first rows of a file.
      guesses: What its columns and those of its tables are.
    """
    entities = {guess.entity for guess in guesses if guess.role == "feature"}
    if not sample.is_whole or sample.num_rows > _MAX_ROWS or entities not in ({"user", "item"}, {None}):
        return
    yield ""
    if entities == {None}:
        yield "training:"
        yield "  wide_optimizer: {learning_rate: 0.05}  # half the default, for small tables without ids"
        return
    yield "# For small files whose features are the ids of user and item alone:"
    yield "model:"
    yield "  dropout: 0.5"
    yield "training:"
    yield "  wide_optimizer: {learning_rate: 0.3, l2: 0.1}"
