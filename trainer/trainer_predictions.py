"""The trainer's own scores of logged rows, to compare with the exported model's scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from trainer.training.data import expand_patterns, read_records
from trainer.training.evaluation import logits_function
from trainer.training.setup import TrainingSetup
from trainer.transform_output.graph import apply_transform, load_transform
from trainer.wide_deep.feature_kinds import KINDS_IN_MODEL
from transform.example_keys import LABEL, PLACEMENT, WEIGHT
from transform.feature_spec import FeatureSpec
from transform.files.records import as_request, first_value, iterate_records
from transform.files.trainer_predictions import TrainerPredictions


def trainer_predictions(
    prepared: TrainingSetup, tft_output: tft.TFTransformOutput, raw_files: Sequence[str], num_rows: int
) -> TrainerPredictions:
    """Scores rows and evaluation examples with the trained model in memory.

    The rows are parsed as tf.Transform parsed them and pass through tf.Transform's own saved graph: no code of the
    export is used.

    Args:
      prepared: The training, after it has finished.
      tft_output: What tf.Transform learned.
      raw_files: Patterns of the raw evaluation examples.
      num_rows: The number of the first ones that are scored as logged, and again with one value changed
        (`changed_rows`): `skew.num_rows`.
    """
    records = read_records(expand_patterns(raw_files)).take(num_rows)
    logged = [as_request(record) for record in iterate_records(records)]
    rows = [*logged, *changed_rows(logged, prepared.config.spec)]
    parsing = {
        name: how for name, how in tft_output.raw_feature_spec().items() if name not in (LABEL, WEIGHT, PLACEMENT)
    }
    transform_fn = load_transform(tft_output).transform_fn
    features = apply_transform(transform_fn, tf.io.parse_example(tf.constant(rows, tf.string), parsing))
    if prepared.counts is not None:
        features = prepared.counts.features(features)
    logits_of, names = logits_function(prepared.model), prepared.model.feature_names
    row_scores = tf.sigmoid(logits_of(prepared.model.as_served({name: features[name] for name in names}))).numpy()
    eval_scores = [tf.sigmoid(logits_of(batch)).numpy() for batch, _, _ in prepared.eval_data]
    item_id = prepared.config.item_id.name if prepared.config.item_id else None
    item_ids = [first_value(row, item_id) for row in rows]
    return TrainerPredictions(
        rows, item_ids, row_scores, np.sort(np.concatenate([np.zeros(0, np.float32), *eval_scores]))
    )


def changed_rows(rows: Sequence[bytes], spec: FeatureSpec) -> Iterator[bytes]:
    """Yields rows with values that the log may lack: missing, never seen, extreme, and longer lists.

    Args:
      rows: Serialized raw tf.Examples.
      spec: Their features.

    Yields:
      Each row but the last with one feature's value changed: the first rows have a missing value, for each feature in
      turn; the next rows the second of `KindInModel.make_unusual_values`, then the third, then again from the start.
      The last row has no feature at all.
    """
    changes = itertools.cycle(itertools.product(range(3), spec.features))
    for row in rows[:-1]:
        which, feature = next(changes)
        example = tf.train.Example.FromString(row)
        logged = example.features.feature[feature.name]
        values = KINDS_IN_MODEL[feature.kind].make_unusual_values(logged)[which]
        logged.CopyFrom(values)
        yield example.SerializeToString()
    if rows:
        yield tf.train.Example().SerializeToString()
