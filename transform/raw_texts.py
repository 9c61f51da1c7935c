"""The rules for raw values: which white space is trimmed, which values mean "no value", how lines and times are read.

Ingestion applies them to the rows of logs and tables, and the exported model applies them to requests, so that the same
text has the same score from either source.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

#: The characters removed at both ends of a text: ASCII white space, as in `tf.strings.strip`.
WHITE_SPACE = " \t\n\v\f\r"


def trimmed(text: str) -> str:
    """A text without white space at its ends."""
    return text.strip(WHITE_SPACE)


def null_words(null_values: Sequence[str], *, trim: bool) -> frozenset[str]:
    """The texts that mean "no value", including the empty text; trimmed if the column's texts are trimmed."""
    return frozenset({"", *(trimmed(word) if trim else word for word in null_values)})


def null_numbers(
    null_values: Sequence[str], kind: type[np.float32] | type[np.float64] = np.float32
) -> frozenset[float]:
    """The numbers, of a kind, that mean "no value": the entries of `null_values` that parse as numbers."""
    numbers = set()
    for word in null_values:
        try:
            numbers.add(float(kind(word)))
        except ValueError:  # a text, not a number
            continue
    return frozenset(numbers)


#: As a delimiter: a run of blanks and tabs.
BLANKS = r"\s+"


def check_delimiter(text: str | None) -> str | None:
    """Returns a delimiter, or None for none; raises ValueError if a csv or tsv file cannot have it."""
    if text is not None and not (1 <= len(text) <= 10 and text.isascii() and not {*text} & {*'"\r\n\0'}):
        raise ValueError("must be 1 to 10 ASCII characters, none of them a double quote or a line end")
    return text


def check_time_format(text: str | None) -> str | None:
    """Returns a format of strptime, or None for none; raises ValueError unless it reads the day that it writes."""
    written = datetime.datetime(2014, 2, 28, 17, 5, 9, tzinfo=datetime.UTC)
    try:
        read = written if text is None else datetime.datetime.strptime(written.strftime(text), text)
    except ValueError:
        read = None
    if read is None or read.date() != written.date():
        raise ValueError("must have year, month and day in the directives of Python's strptime, such as %b %d, %Y")
    return text
