"""Decides which rows are for evaluation in a first config: the last ones by time, or those that a hash draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from components.ingestion.columns.times import seconds_of
from components.ingestion.layout import cut_of_fraction
from pipeline.initial_config.features import Guess
from pipeline.initial_config.samples.sample import Sample, is_number, shown
from transform.config.settings import Ingestion

#: The rows to train on cover at least so many days: with fewer, hours and weekdays of the last rows were never seen.
_MIN_DAYS = 7.0

#: The share of the last rows whose user and item an earlier row must have; the others judge no id.
_MIN_KNOWN = 0.5

_SECONDS_PER_DAY = 86_400

_BY_TIME = "time_fraction"


@dataclasses.dataclass(frozen=True)
class Split:
    """How the rows are split.

    Attributes:
      split_by: The key of that name in the section `ingestion`.
      reason: Why, as a comment.
      why_not_by_time: Why it is not by time; empty if it is, or if there are no times.
    """

    split_by: str
    reason: str
    why_not_by_time: str

    @property
    def is_by_time(self) -> bool:
        """Whether the last rows by time are for evaluation."""
        return self.split_by == _BY_TIME

    def lines(self) -> Iterator[str]:
        """Yields the lines of `ingestion` that split the rows, with their reasons."""
        yield f"split_by: {self.split_by}  # {self.reason}"
        if self.why_not_by_time:
            yield f"# not by time, split_by: {_BY_TIME}: {self.why_not_by_time}"
        yield f"eval_fraction: {Ingestion().eval_fraction}"


def choose_split(sample: Sample, labels: Sequence[int | None], guesses: Sequence[Guess]) -> Split:
    """Decides how the rows are split.

    With a time, the last rows by time are for evaluation, as a model is used on later rows than it learned from; but
    only if the rows before them cover a week, half of the last rows have a user and an item that earlier rows have, and
    both labels are in both parts. Otherwise a comment says why not.

    Args:
      sample: The first rows of a file.
      labels: Each row's label, 0 or 1; None for a row without one.
      guesses: What its columns are.
    """
    fraction = Ingestion().eval_fraction
    time = next((guess for guess in guesses if guess.role == "timestamp"), None)
    why_not = next((f"{shown(guess.column)}: {guess.reason}" for guess in guesses if guess.is_time), None)
    if time is not None:
        why_not = _why_not_by_time(sample, labels, guesses, time, fraction)
    roles = {guess.role for guess in guesses}
    if why_not == "":
        return Split(_BY_TIME, "the last rows by time, as a model is used on later rows than it learned from", "")
    if "request_id" in roles:
        return Split("request_hash", "a request goes whole into training or whole into evaluation", why_not or "")
    if "impression_id" in roles:
        return Split("impression_hash", "no column is the id of a request", why_not or "")
    return Split("row_hash", "no column is the id of a request or a row", why_not or "")


def _why_not_by_time(
    sample: Sample, labels: Sequence[int | None], guesses: Sequence[Guess], time: Guess, fraction: float
) -> str:
    """Returns why the last rows by time are not to be evaluated on; an empty text if they are."""
    columns = {column.name: column.texts for column in sample.columns}
    form = time.rule.get("timestamp_format")
    times = np.array([_seconds(text, None if form is None else str(form)) for (text,) in columns[time.column]])
    found, numbers = np.unique(times, return_counts=True)
    is_last = times > cut_of_fraction(dict(zip(found.tolist(), numbers.tolist(), strict=True)), fraction)
    earlier = times[~is_last]
    num_days = float(np.ptp(earlier)) / _SECONDS_PER_DAY if len(earlier) else 0.0
    if num_days < _MIN_DAYS:
        return f"the rows before the last {fraction:.0%} cover {num_days:.1f} days, less than a week"
    for guess in guesses:
        if guess.role == "feature" and guess.entity is not None:
            texts = columns[guess.column]
            known = {texts[at] for at in np.flatnonzero(~is_last).tolist()}
            share = float(np.mean([texts[at] in known for at in np.flatnonzero(is_last).tolist()]))
            if share < _MIN_KNOWN:
                return f"{1 - share:.0%} of the last rows have a {shown(guess.column)} that no earlier row has"
    of_parts = [{label for label, last in zip(labels, is_last, strict=True) if last == part} for part in (True, False)]
    if any(part & {0, 1} and part & {0, 1} != {0, 1} for part in of_parts):
        return f"the last {fraction:.0%}, or the rows before them, have one label only"
    return ""


def _seconds(text: str, form: str | None) -> float:
    """Returns a time of the form that was found, in seconds since 1970."""
    seconds = float(text) if form is None and is_number(text) else seconds_of(text, form)
    assert seconds is not None  # each row's text was read in this form
    return seconds
