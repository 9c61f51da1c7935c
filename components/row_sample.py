"""The component that draws a trial's rows from the examples that ingestion has written."""

# TFX reads the annotations of a function component at import, so they are not postponed here.

import itertools
import math
import os
from collections.abc import Iterator

import pyarrow as pa
import tensorflow as tf

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from components.artifact_types import Quarantine
from components.examples.reading import example_batches, split_files
from components.examples.writing import write_records
from components.ingestion.counts import read_counts

#: `SampleExamples` with this number of rows takes all of them.
ALL_ROWS = 0

_BATCH_SIZE = 4096


@component  # type: ignore[untyped-decorator]
def SampleExamples(
    examples: InputArtifact[standard_artifacts.Examples],
    quarantine: InputArtifact[Quarantine],
    sample: OutputArtifact[standard_artifacts.Examples],
    num_rows: Parameter[int],
    code_fingerprint: Parameter[str],
) -> None:
    """Copies the first rows of each split, in proportion to its size, into one file.

    Ingestion shuffles the rows by a hash of their places in the logs: the first rows are a random sample, and the same
    one for all configs that split the logs alike. With one file, readers agree on the order of the rows.
    """
    del code_fingerprint  # part of the cache key
    splits = artifact_utils.decode_split_names(examples.split_names)
    labels = read_counts(quarantine.uri).labels
    sizes = {split: sum(labels.get(split, {}).values()) for split in splits}
    share = 1.0 if num_rows == ALL_ROWS else min(1.0, num_rows / max(1, sum(sizes.values())))
    sample.split_names = artifact_utils.encode_split_names(splits)
    for split, size in sizes.items():
        folder = artifact_utils.get_split_uri([sample], split)
        tf.io.gfile.makedirs(folder)
        files = split_files(artifact_utils.get_split_uri([examples], split))
        write_records(os.path.join(folder, "data_tfrecord-00000-of-00001.gz"), _first(files, math.ceil(share * size)))
    sample.set_int_custom_property("span", examples.get_int_custom_property("span"))


def _first(files: list[str], number: int) -> Iterator[pa.Array]:
    """Yields the first examples of files, in batches."""
    for start, batch in zip(itertools.count(0, _BATCH_SIZE), example_batches(files, _BATCH_SIZE), strict=False):
        if start >= number:
            return
        yield pa.array(batch[: number - start].numpy(), pa.large_binary())
