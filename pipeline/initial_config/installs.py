"""Guesses how a log of installs makes the labels of the impressions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pipeline.initial_config.column_names import entity_of
from pipeline.initial_config.features import Guess, guess_columns
from pipeline.initial_config.samples.conventions import null_words
from pipeline.initial_config.samples.reading import read_sample
from pipeline.initial_config.samples.sample import Sample
from transform.errors import InputError


@dataclasses.dataclass(frozen=True)
class InstallsGuess:
    """The source of installs.

    Attributes:
      sample: The first rows of its file.
      nulls: The texts in them that mean "no value".
      keys: The columns of both logs by which an install finds its impressions.
      timestamp: The column with the install's time.
      timestamp_format: The form of its texts; None for seconds since 1970 and ISO 8601.
    """

    sample: Sample
    nulls: tuple[str, ...]
    keys: tuple[str, ...]
    timestamp: str
    timestamp_format: str | None


def guess_installs(file: Path, max_rows: int, log: Sample, guesses: Sequence[Guess]) -> InstallsGuess:
    """Guesses the keys and the time of a log of installs.

    Args:
      file: Its file.
      max_rows: The most rows that are read.
      log: The first impressions.
      guesses: What their columns are.

    Raises:
      InputError: If the file cannot be read, one of the logs has no time in each row, or they have no user's or item's
        id by the same name.
    """
    sample = read_sample(file, max_rows)
    nulls = null_words(sample)
    of_installs = guess_columns(sample, None, nulls, "|")
    times = []
    for path, of_log in ((log.path, guesses), (file, of_installs)):
        time = next((guess for guess in of_log if guess.role == "timestamp"), None)
        if time is None:
            raise InputError(
                "`--installs` needs a time in each row of both logs, in a column whose name says so, such as "
                f"`timestamp`. Received: none ({path})"
            )
        times.append(time)
    of_file = [column.name for column in sample.columns]
    names = [column.name for column in log.columns if column.name in of_file]
    keys = [name for name in names if entity_of(name) is not None]
    if {entity_of(name) for name in keys} != {"user", "item"}:
        raise InputError(
            "the log and the installs must have the user's and the item's id in columns of the same names, such as "
            f"`user_id` and `app_id`. Received: {names} in both; the installs have {of_file[:50]} ({file})"
        )
    time_format = times[1].rule.get("timestamp_format")
    return InstallsGuess(
        sample, nulls, tuple(keys[:4]), times[1].column, None if time_format is None else str(time_format)
    )
