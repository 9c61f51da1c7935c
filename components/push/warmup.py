"""Warm-up records: requests that TF Serving replays when it loads a version, before the version takes traffic.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup: a TFRecord file of `PredictionLog`s.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2  # TensorFlow 2.21.0 has no public name for it
from tensorflow_serving.apis import prediction_log_pb2

from transform.files.records import first_value
from transform.files.version_layout import CANDIDATE_COUNTS, EXTRA_ASSETS, SAVED_MODEL_FILE, WARMUP_FILE
from transform.signature_names import (
    CONTEXT_INPUT,
    EXPLAIN_ITEMS_SIGNATURE,
    EXPLAIN_SIGNATURE,
    ITEM_IDS,
    ITEMS_INPUT,
    RANK_ITEMS_SIGNATURE,
    RANK_SIGNATURE,
    SERVING_SIGNATURE,
)

#: A record's inputs by name: strings, in nested lists of any depth.
_Inputs = Mapping[str, Any]


def write_warmup(version_path: str, model_name: str, requests: Sequence[bytes], item_id: str | None) -> None:
    """Writes a version's warm-up records.

    Args:
      version_path: The version, with its `saved_model.pb`.
      model_name: The name under which the model is served.
      requests: Serialized raw tf.Examples, at least one; the largest record has 200 of them.
      item_id: The feature that is the item's id, for records that rank; None for no such records.
    """
    folder = os.path.join(version_path, EXTRA_ASSETS)
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(os.path.join(folder, WARMUP_FILE)) as writer:
        for signature, inputs in _records(list_signatures(version_path), requests, item_id):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, values in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
            writer.write(log.SerializeToString())


def _records(
    signatures: Mapping[str, Any], requests: Sequence[bytes], item_id: str | None
) -> Iterator[tuple[str, _Inputs]]:
    """Yields the records: a signature's name and its inputs."""
    sizes = sorted({min(size, len(requests)) for size in CANDIDATE_COUNTS}, reverse=True)
    (examples,) = signatures[SERVING_SIGNATURE].inputs
    for size in sizes:
        yield SERVING_SIGNATURE, {examples: requests[:size]}
    if EXPLAIN_SIGNATURE in signatures:  # its first call takes seconds, longer than a client waits
        (examples,) = signatures[EXPLAIN_SIGNATURE].inputs
        yield EXPLAIN_SIGNATURE, {examples: requests[:1]}
    if item_id is None or RANK_ITEMS_SIGNATURE not in signatures:
        return
    with_ids = {request: own for request in requests if (own := first_value(request, item_id))}
    ids = list(dict.fromkeys(with_ids.values()))
    if not ids:
        return
    # A raw example has the features of both sides: as a context its item features are ignored, as an item the others.
    if RANK_SIGNATURE in signatures:
        for context, size in zip(requests, CANDIDATE_COUNTS, strict=False):
            candidates = list(itertools.islice(itertools.cycle(ids), size))
            yield RANK_SIGNATURE, {CONTEXT_INPUT: [context], ITEM_IDS: [candidates]}
        sizes = [1]
    for size in sizes:
        items, of_items = zip(*itertools.islice(itertools.cycle(with_ids.items()), size), strict=True)
        yield RANK_ITEMS_SIGNATURE, {CONTEXT_INPUT: items[:1], ITEM_IDS: [of_items], ITEMS_INPUT: [items]}
    if EXPLAIN_ITEMS_SIGNATURE in signatures:
        item, of_item = next(iter(with_ids.items()))
        yield EXPLAIN_ITEMS_SIGNATURE, {CONTEXT_INPUT: [item], ITEM_IDS: [[of_item]], ITEMS_INPUT: [[item]]}


def list_signatures(version_path: str) -> Mapping[str, Any]:
    """Returns a SavedModel's signatures by name, without TensorFlow 2.21.0's own, such as `__saved_model_init_op`."""
    with tf.io.gfile.GFile(os.path.join(version_path, SAVED_MODEL_FILE), "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    return {name: value for name, value in model.meta_graphs[0].signature_def.items() if not name.startswith("__")}
