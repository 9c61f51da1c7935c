"""The rules for raw values: which white space is trimmed, and which values mean "no value".

Ingestion applies them to the rows of logs and tables, and the exported model applies them to requests, so that the same
text has the same score from either source.
"""

from __future__ import annotations

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
