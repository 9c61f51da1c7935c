"""Logged examples in the form that requests have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.types import artifact_utils

from components.examples.reading import example_records, split_files
from transform.example_keys import KNOWN_AFTERWARDS, LABEL, WEIGHT
from transform.files.records import as_request


def select_latest_span(window: Sequence[types.Artifact]) -> types.Artifact:
    """Returns the Examples of the run's own span, the latest, from a window that ML Metadata returns ordered by id."""
    return max(window, key=lambda examples: int(examples.get_int_custom_property("span")))


def raw_requests(
    examples: types.Artifact, split: str, number: int | None = None, *, as_evaluated: bool = False
) -> Iterator[bytes]:
    """Reads the first examples of a split, serialized.

    Args:
      examples: The Examples.
      split: The split.
      number: The number of examples; None reads all.
      as_evaluated: Whether to keep the entries that say which counts were known before an example (`trainer.counts`);
        requests do not have them.

    Returns:
      The examples, without label and weight.
    """
    records = example_records(split_files(artifact_utils.get_split_uri([examples], split)))
    removed = (LABEL, WEIGHT) if as_evaluated else KNOWN_AFTERWARDS
    return (as_request(record, removed) for record in itertools.islice(records, number))
