"""Reads transformed TFRecord files as batches of features, labels and weights."""

from __future__ import annotations

import dataclasses
import functools
import glob
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.counts import CountTables, Rows
from trainer.training_size import sized_value
from transform.config import settings
from transform.example_keys import FOLD, LABEL, LATE_LABEL, NO_FOLD, NUM_FOLDS, PLACEMENT, SHARES_LABEL, SPAN, WEIGHT
from transform.feature_spec import FeatureSpec, transformed_name
from transform.files.records import refuse_empty_files

#: Features by transformed name, labels float32 `[batch]`, and weights float32 `[batch]`: ones if the examples have no
#: weight.
Batch = tuple[Mapping[str, Any], tf.Tensor, tf.Tensor]

#: The batch size for counting and evaluation: large, since only scores are kept of each batch.
EVAL_BATCH_SIZE = 4096

_FILES_AT_ONCE = 4

#: Selects some of a batch of serialized examples.
Selection = Callable[[tf.Tensor], tf.Tensor]

#: None of the functions here has Python control flow on tensors; converting them takes a second or two a training.
_as_written = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """The number of examples to train on, by label.

    Attributes:
      negatives: Examples with label 0.
      positives: Examples with label 1.
      withheld: Examples that are not trained on (`Withheld`).
      held_out_negatives: Examples with label 0 that are held out (`HeldOut`); not in `negatives`.
      held_out_positives: Examples with label 1 that are held out.
    """

    negatives: int
    positives: int
    withheld: int = 0
    held_out_negatives: int = 0
    held_out_positives: int = 0

    @property
    def total(self) -> int:
        return self.negatives + self.positives

    @property
    def held_out(self) -> int:
        return self.held_out_negatives + self.held_out_positives

    @property
    def log_odds(self) -> float:
        """ln((positives + 1/2) / (negatives + 1/2)); the halves keep it finite."""
        return math.log((self.positives + 0.5) / (self.negatives + 0.5))

    def after_drawing(self, negative_sampling_rate: float) -> int:
        """The expected number of examples after drawing negatives."""
        return self.positives + round(negative_sampling_rate * self.negatives)


@dataclasses.dataclass(frozen=True)
class Withheld:
    """Selects the examples that are not trained on because they can share their label with an evaluated example.

    Attributes:
      span: The span that is evaluated; examples whose labels were known before its end share no label with it.
      feature_spec: How SPAN, SHARES_LABEL and, if there is one, LATE_LABEL are parsed.
    """

    span: int
    feature_spec: Mapping[str, Any]

    def among(self, records: tf.Tensor) -> tf.Tensor:
        """Which of the serialized examples are withheld, bool `[batch]`."""
        parsed = tf.io.parse_example(records, self.feature_spec)
        return (known_by(parsed) == self.span) & (tf.reshape(parsed[SHARES_LABEL], [-1]) == 1)


def known_by(parsed: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The span by whose end each example's label was known, int64 `[batch]`: SPAN, plus LATE_LABEL if it is there."""
    names = [name for name in (SPAN, LATE_LABEL) if name in parsed]
    return tf.add_n([tf.reshape(parsed[name], [-1]) for name in names])


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Selects the training examples that early stopping validates on: those of some folds of the newest span.

    Earlier spans' are not held out, since the previous model was trained on them. The examples that can share a label
    are in one fold. The folds change with the span, so that examples with the same keys are trained on in other spans.

    Attributes:
      fraction: The share of the newest span's training examples, rounded up to whole folds: 0.1 gives one of 8.
      span: The newest span; its examples are those whose labels were not known before it.
      feature_spec: How SPAN, FOLD and, if there is one, LATE_LABEL are parsed.
    """

    fraction: float
    span: int
    feature_spec: Mapping[str, Any]

    def among(self, records: tf.Tensor) -> tf.Tensor:
        """Which of the serialized examples are held out, bool `[batch]`."""
        parsed = tf.io.parse_example(records, self.feature_spec)
        fold = tf.reshape(parsed[FOLD], [-1])
        is_drawn = tf.math.floormod(fold - self.span, NUM_FOLDS) < math.ceil(self.fraction * NUM_FOLDS)
        return (known_by(parsed) == self.span) & (fold != NO_FOLD) & is_drawn


def expand_patterns(patterns: Sequence[str]) -> list[str]:
    """The files that match any of the patterns, sorted, each once; on any filesystem that TensorFlow supports.

    A file's name can be a pattern, but not its folder's: a workspace may be called `[eu]`.

    Raises:
      InputError: If a file has no bytes.
    """
    in_folders = [os.path.join(glob.escape(os.path.dirname(p)), os.path.basename(p)) for p in patterns]
    files = sorted({path for pattern in in_folders for path in tf.io.gfile.glob(pattern)})
    refuse_empty_files(files)
    return files


def files_by_span(files: Sequence[str], feature_spec: Mapping[str, Any]) -> dict[int, list[str]]:
    """Groups files by span; files without an example are left out.

    Args:
      files: Files of transformed examples, each of one span, as tf.Transform writes them.
      feature_spec: As in `train_dataset`, with SPAN.

    Returns:
      The files by span, in the order given.
    """
    found: dict[int, list[str]] = {}
    for file in files:
        for record in read_records([file]).take(1):
            span = int(tf.io.parse_single_example(record, {SPAN: feature_spec[SPAN]})[SPAN])
            found.setdefault(span, []).append(file)
    return found


def read_records(files: Sequence[str]) -> tf.data.Dataset:
    """The serialized tf.Examples of TFRecord files, as string scalars; files named `*.gz` are decompressed.

    A few files are read at once, one example of each in turn: the files' order determines the examples' order.
    """
    if not files:
        return tf.data.Dataset.from_tensor_slices(tf.constant([], tf.string))
    compressions = ["GZIP" if name.endswith(".gz") else "" for name in files]
    return tf.data.Dataset.from_tensor_slices((list(files), compressions)).interleave(
        _as_written(lambda name, compression: tf.data.TFRecordDataset(name, compression_type=compression)),
        cycle_length=min(len(files), _FILES_AT_ONCE),
    )  # not in parallel: handing over single examples costs more than decompressing them


def count_labels(
    patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    withheld: Withheld | None = None,
    held_out: HeldOut | None = None,
) -> LabelCounts:
    """Counts the examples in all files; arguments as in `train_dataset`."""

    @_as_written  # type: ignore[untyped-decorator]
    def kinds(records: tf.Tensor) -> tf.Tensor:
        """Returns the position, per record, among the fields of `LabelCounts`."""
        labels = tf.cast(_labels(records, feature_spec) > 0.5, tf.int32)
        found = labels if held_out is None else tf.where(held_out.among(records), labels + 3, labels)
        return found if withheld is None else tf.where(withheld.among(records), 2, found)

    batches = read_records(expand_patterns(patterns)).batch(EVAL_BATCH_SIZE)
    counts = batches.map(kinds, num_parallel_calls=tf.data.AUTOTUNE).reduce(
        tf.zeros([5], tf.int64),
        _as_written(lambda counts, of_batch: counts + tf.math.bincount(of_batch, minlength=5, dtype=tf.int64)),
    )
    return LabelCounts(*(int(count) for count in counts.numpy()))


def train_dataset(
    patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    training: settings.Training,
    epoch: int,
    skip_batches: int = 0,
    counts: CountTables | None = None,
    withheld: Withheld | None = None,
    held_out: HeldOut | None = None,
    clip: float | None = None,
) -> tf.data.Dataset:
    """One epoch's shuffled batches. The epoch and the seed alone determine their order and which negatives are drawn.

    Args:
      patterns: Globs of the transformed examples.
      feature_spec: How they are parsed, including the label and, if there are weights, the weight: a part of
        `TFTransformOutput.transformed_feature_spec()`.
      training: The settings.
      epoch: The epoch.
      skip_batches: The number of the epoch's first batches to leave out; they are read, but not parsed.
      counts: The tables from which the counts' inputs are read; None without counts.
      withheld: Selects the examples to leave out; None to leave out none.
      held_out: Selects more examples to leave out; None to leave out none.
      clip: The largest weight by which an example's chance of its place multiplies its weight; None without such.

    Returns:
      A dataset of `Batch`.
    """
    rng = np.random.default_rng([training.seed, epoch])
    files = expand_patterns(patterns)
    records = read_records([files[i] for i in rng.permutation(len(files))])
    shuffle_seed, *draw_seed = (int(word) for word in rng.integers(2**31, size=3))
    counts_seed = tf.constant(rng.integers(2**31, size=2), tf.int32)
    if (selection := without(withheld, held_out)) is not None:
        records = _selected(records, selection)
    if training.negative_sampling_rate < 1:
        records = _with_drawn_negatives(records, feature_spec, training.negative_sampling_rate, draw_seed)
    records = records.shuffle(training.shuffle_buffer_size, seed=shuffle_seed, reshuffle_each_iteration=False)
    numbered = records.batch(sized_value(training.batch_size, "batch_size")).enumerate().skip(skip_batches)
    return _parsed(numbered, feature_spec, counts, counts_seed, clip)


def eval_dataset(
    patterns: Sequence[str],
    feature_spec: Mapping[str, Any],
    batch_size: int = EVAL_BATCH_SIZE,
    counts: CountTables | None = None,
    selection: Selection | None = None,
) -> tf.data.Dataset:
    """Batches in the files' order, of all examples or of a selection.

    Arguments and elements are as in `train_dataset`.
    """
    records = read_records(expand_patterns(patterns))
    if selection is not None:
        records = _selected(records, selection)
    return _parsed(records.batch(batch_size).enumerate(), feature_spec, counts)


def inverse_propensities(chances: tf.Tensor, clip: float) -> tf.Tensor:
    """Returns min(1 / p, clip), float32 `[batch]`, of the chances p of the examples' places, float32 `[batch]`.

    Examples so weighted are, but for the clipping, as if each place had been drawn with equal chances (Horvitz and
    Thompson, 1952; Joachims, Swaminathan and Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", 2017).
    """
    return tf.minimum(1 / chances, clip)


def placements(patterns: Sequence[str], feature_spec: Mapping[str, Any]) -> np.ndarray:
    """Reads the chances of the places of all examples, float32 `[examples]`; arguments as in `train_dataset`."""
    read = {PLACEMENT: feature_spec[PLACEMENT]}
    batches = read_records(expand_patterns(patterns)).batch(EVAL_BATCH_SIZE)
    parsed = batches.map(_as_written(lambda records: _column(tf.io.parse_example(records, read)[PLACEMENT])))
    return np.concatenate([np.empty(0, np.float32), *parsed.as_numpy_iterator()])


def without(*left_out: Withheld | HeldOut | None) -> Selection | None:
    """Returns the selection of all examples but those of the given selections; None if all of these are None."""
    given = [some for some in left_out if some is not None]
    if not given:
        return None
    return lambda records: ~functools.reduce(tf.logical_or, [some.among(records) for some in given])


def _selected(records: tf.data.Dataset, selection: Selection) -> tf.data.Dataset:
    return (
        records.batch(EVAL_BATCH_SIZE)
        .map(_as_written(lambda batch: tf.boolean_mask(batch, selection(batch))))
        .unbatch()
    )


def counted_rows(
    patterns: Sequence[str], feature_spec: Mapping[str, Any], spec: FeatureSpec, *, in_folds: bool
) -> Iterator[Rows]:
    """Yields the rows of all files, in batches, with the columns that counting needs.

    Args:
      patterns: As in `train_dataset`.
      feature_spec: As in `train_dataset`; counts whose keys are not in it are left out.
      spec: The features.
      in_folds: Whether they are training rows. Evaluation rows are counted, but in no fold.
    """
    keys = {count.name: transformed_name(count.key_name) for count in spec.count_encodings}
    keys = {name: key for name, key in keys.items() if key in feature_spec}
    names = (*keys.values(), LABEL, SPAN, FOLD, LATE_LABEL)
    read = {name: feature_spec[name] for name in names if name in feature_spec}

    @_as_written  # type: ignore[untyped-decorator]
    def columns(records: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed: dict[str, tf.Tensor] = tf.io.parse_example(records, read)
        return {**parsed, SPAN: known_by(parsed)}

    batches = read_records(expand_patterns(patterns)).batch(EVAL_BATCH_SIZE)
    for batch in batches.map(columns).as_numpy_iterator():
        of = {name: values.reshape(-1) for name, values in batch.items()}
        folds = of[FOLD] if in_folds else np.full_like(of[FOLD], NO_FOLD)
        yield Rows({name: of[key] for name, key in keys.items()}, of[LABEL], of[SPAN], folds)


def _labels(records: tf.Tensor, feature_spec: Mapping[str, Any]) -> tf.Tensor:
    """The labels of serialized examples, float32 `[batch]`: much faster than parsing all features."""
    return _column(tf.io.parse_example(records, {LABEL: feature_spec[LABEL]})[LABEL])


def _column(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reshape(values, [-1]), tf.float32)


def _with_drawn_negatives(
    records: tf.data.Dataset, feature_spec: Mapping[str, Any], negative_sampling_rate: float, seed: Sequence[int]
) -> tf.data.Dataset:
    @_as_written  # type: ignore[untyped-decorator]
    def draw(number: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        batch_seed = tf.random.fold_in(tf.constant(seed, tf.int64), number)
        drawn = tf.random.stateless_uniform(tf.shape(batch), batch_seed) < negative_sampling_rate
        return tf.boolean_mask(batch, drawn | (_labels(batch, feature_spec) > 0.5))

    batches = records.batch(EVAL_BATCH_SIZE).enumerate()
    return batches.map(draw, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _parsed(
    batches: tf.data.Dataset,
    feature_spec: Mapping[str, Any],
    counts: CountTables | None,
    training_seed: tf.Tensor | None = None,
    clip: float | None = None,
) -> tf.data.Dataset:
    @_as_written  # type: ignore[untyped-decorator]
    def parse(number: tf.Tensor, records: tf.Tensor) -> Batch:
        features = tf.io.parse_example(records, feature_spec)  # one call per batch
        labels = _column(features.pop(LABEL))
        weights = _column(features.pop(WEIGHT)) if WEIGHT in features else tf.ones_like(labels)
        chances = features.pop(PLACEMENT, None)
        if clip is not None:
            weights *= inverse_propensities(_column(chances), clip)
        if counts is not None:
            seed = None if training_seed is None else tf.random.experimental.stateless_fold_in(training_seed, number)
            features = counts.features(features, seed)
        return features, labels, weights

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
