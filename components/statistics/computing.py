"""Computes TFDV's statistics of files of examples."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
from absl import logging
from tensorflow_data_validation import FeaturePath, StatsOptions

# TFDV 1.21.0 has no public names for these: docs/reference/private_uses.md
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.utils.top_k_uniques_stats_util import (
    FeatureValueCount,
    make_feature_stats_proto_topk_uniques,
)
from tensorflow_metadata.proto.v0 import statistics_pb2

from components import storage
from components.artifacts import ESTIMATED, UNCOUNTED
from components.statistics import states
from components.statistics.decoding import Decoder
from components.statistics.value_counts import MAX_VALUES, ValueCounts
from transform.example_keys import IMPRESSION_ID, REQUEST_ID
from transform.files.tfrecords import read_batches

#: Rows that are decoded at once.
BATCH_SIZE = 8192

#: The bytes of decoded rows that TFDV is given at once, some 65,000 rows of the simulated store: its cost per row falls
#: by a third against batches of 8,192.
_JOINED_BYTES = 1 << 25

#: Features of texts that are not counted: nearly all values of an id differ, and nothing reads how often they occur.
NOT_COUNTED = frozenset({IMPRESSION_ID, REQUEST_ID})


@dataclasses.dataclass(frozen=True)
class StatisticsTask:
    """A file of which a state is written.

    Attributes:
      examples: A TFRecord file of serialized tf.Examples, with gzip.
      state: The file of the state; its folder exists.
    """

    examples: str
    state: str


@dataclasses.dataclass(frozen=True)
class FileStatistics:
    """Writes the states of files (`components.examples.file_work.FileWork`).

    Attributes:
      batch_size: Rows that are decoded at once.
      max_values: The distinct values of a feature that are counted exactly.
    """

    batch_size: int = BATCH_SIZE
    max_values: int = MAX_VALUES

    def begin(self) -> Callable[[StatisticsTask], None]:
        """Returns `write_state`; nothing is loaded."""
        return self.write_state

    def write_state(self, task: StatisticsTask) -> None:
        """Writes the state of a file.

        Raises:
          InputError: If the file is damaged, an example cannot be decoded, or a feature has values of two types.
        """
        generator = _generator()
        found = generator.create_accumulator()
        counts: dict[str, ValueCounts] = collections.defaultdict(lambda: ValueCounts(self.max_values))
        decoder = Decoder()
        for batch in _joined(_decoded(decoder, task.examples, self.batch_size), _JOINED_BYTES):
            with states.named(task.examples):
                found = generator.add_input(found, batch)
            _count_texts(batch, counts)
        logging.info("statistics: tfx-bsl decoded %d batches, the sample of the first one among them", decoder.num_slow)
        states.write(states.State(generator.compact(found), counts), task.state)


def merged_statistics(
    tasks: Sequence[StatisticsTask], max_values: int = MAX_VALUES
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """Computes the statistics of a split, those that TFDV computes with its default options, from its files' states.

    Two fields of a feature of texts are estimates if it has more than `max_values` distinct values, or more than 64 MB
    of them, and are exact in TFDV: `unique`, and the counts of the most frequent values
    (`components.statistics.value_counts`). Such a feature has the custom statistic `ESTIMATED`. The features
    `NOT_COUNTED` have neither field, but the custom statistic `UNCOUNTED`. The histograms of numbers are from sketches
    with TFDV's error of 1 % of the values; TFDV, too, gets others from other batches.

    Args:
      tasks: The files of the split, in the order in which their states are merged.
      max_values: The distinct values of a feature that are counted exactly.

    Raises:
      InputError: If a feature has values of two types.
    """
    generator, options = _generator(), StatsOptions()
    merged = states.read_merged(generator, {task.examples: task.state for task in tasks}, max_values)
    dataset = generator.extract_output(merged.basic)
    for feature in dataset.features:
        (name,) = feature.path.step
        if name in merged.counts:
            counts = merged.counts[name]
            feature.string_stats.MergeFrom(_frequencies(name, counts, options))
            if not counts.is_exact():
                feature.custom_stats.add(name=ESTIMATED, num=1)
                logging.info("statistics: the number of distinct values of %s and their counts are estimates", name)
        elif name in NOT_COUNTED:
            feature.custom_stats.add(name=UNCOUNTED, num=1)
    dataset.features.sort(key=lambda feature: feature.path.step[0])
    return statistics_pb2.DatasetFeatureStatisticsList(datasets=[dataset])


def _generator() -> BasicStatsGenerator:
    options = StatsOptions()
    return BasicStatsGenerator(
        num_values_histogram_buckets=options.num_values_histogram_buckets,
        num_histogram_buckets=options.num_histogram_buckets,
        num_quantiles_histogram_buckets=options.num_quantiles_histogram_buckets,
        epsilon=options.epsilon,
    )


def _decoded(decoder: Decoder, file: str, batch_size: int) -> Iterator[pa.RecordBatch]:
    for records in read_batches([file], batch_size, storage.open_bytes):
        with states.named(file):
            batch = decoder.decode(records)
        yield batch


def _joined(batches: Iterable[pa.RecordBatch], num_bytes: int) -> Iterator[pa.RecordBatch]:
    """Joins successive batches of equal schemas to batches of at most so many bytes; a larger batch stays as it is."""
    parts: list[pa.RecordBatch] = []
    for batch in batches:
        if parts and (batch.schema != parts[0].schema or sum(part.nbytes for part in (*parts, batch)) > num_bytes):
            joined, parts = _combined(parts), []
            yield from joined
        parts.append(batch)
    if parts:
        yield from _combined(parts)


def _combined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    if not batches[0].num_columns:  # a table without columns has no rows
        return batches
    joined: list[pa.RecordBatch] = pa.Table.from_batches(batches).combine_chunks().to_batches()
    return joined


def _count_texts(batch: pa.RecordBatch, counts: dict[str, ValueCounts]) -> None:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        is_text = pa.types.is_large_list(column.type) and pa.types.is_large_binary(column.type.value_type)
        if is_text and name not in NOT_COUNTED:
            counts[name].add(column.flatten())


def _frequencies(name: str, counts: ValueCounts, options: StatsOptions) -> statistics_pb2.StringStatistics:
    """Returns the number of distinct values, and the most frequent ones."""
    ranks = max(options.num_top_values, options.num_rank_histogram_buckets)
    return make_feature_stats_proto_topk_uniques(
        FeaturePath([name]),
        num_top_values=options.num_top_values,
        num_rank_histogram_buckets=options.num_rank_histogram_buckets,
        num_unique=counts.num_distinct(),
        value_count_list=[FeatureValueCount(*pair) for pair in counts.most_frequent(ranks)],
    ).string_stats
