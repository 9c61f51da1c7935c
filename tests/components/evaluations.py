"""Writes an Evaluator's output for a candidate model without running TFMA."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_model_analysis.proto import metrics_for_slice_pb2


def write_evaluation(folder: Path, auc: float = 0.7, baseline_auc: float | None = 0.8) -> None:
    """Writes the metrics of 1,000 examples: the AUC of one or two models, with standard errors.

    Args:
      folder: The evaluation's folder.
      auc: The candidate model's AUC.
      baseline_auc: The baseline's AUC; None if there is no baseline.
    """
    values = [
        ("num_examples", "candidate", 1000.0),
        ("num_positives", "candidate", 300.0),
        ("num_units", "candidate", 200.0),
        ("auc", "candidate", auc),
        ("auc_standard_error", "candidate", 0.02),
    ]
    if baseline_auc is not None:
        values += [
            ("auc", "baseline", baseline_auc),
            ("auc_standard_error", "baseline", 0.02),
            ("auc_change_standard_error", "candidate", 0.01),
        ]
    measured = metrics_for_slice_pb2.MetricsForSlice()
    for name, model, value in values:
        entry = measured.metric_keys_and_values.add()
        entry.key.name, entry.key.model_name, entry.value.double_value.value = name, model, value
        entry.key.is_diff = "change" in name
    with tf.io.TFRecordWriter(str(folder / "metrics-00000-of-00001.tfrecord")) as writer:
        writer.write(measured.SerializeToString())
