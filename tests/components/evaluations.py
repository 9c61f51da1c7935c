"""What the Evaluator leaves of a candidate model, written by hand."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_model_analysis.proto import metrics_for_slice_pb2


def write_evaluation(folder: Path) -> None:
    """Writes what the Evaluator leaves of 1,000 examples: the AUC of two models, and how far they may be chance."""
    measured = metrics_for_slice_pb2.MetricsForSlice()
    for name, model, value in [
        ("num_examples", "candidate", 1000.0),
        ("num_positives", "candidate", 300.0),
        ("num_units", "candidate", 200.0),
        ("auc", "candidate", 0.7),
        ("auc", "baseline", 0.8),
        ("auc_standard_error", "candidate", 0.02),
        ("auc_standard_error", "baseline", 0.02),
        ("auc_change_standard_error", "candidate", 0.01),
    ]:
        entry = measured.metric_keys_and_values.add()
        entry.key.name, entry.key.model_name, entry.value.double_value.value = name, model, value
        entry.key.is_diff = "change" in name
    with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
        writer.write(measured.SerializeToString())
