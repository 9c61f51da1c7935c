"""TensorBoard's event files of a training: loss, and validation AUC and logistic loss, after each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.training.position import Epoch

#: By this, TensorBoard recognizes a number that it draws as a curve.
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR")


def write_event_files(epochs: Sequence[Epoch], directory: str) -> None:
    """Writes one event file; its steps are the epochs, from 1.

    It is written when the training has ended, so that the epochs of a training that was killed and resumed are in one
    file.

    Args:
      epochs: All epochs.
      directory: The folder, of TFX's ModelRun artifact.
    """
    writer = tf.summary.create_file_writer(directory)
    with writer.as_default():
        for epoch in epochs:
            _write("loss/train", epoch.loss, epoch.epoch)
            _write("loss/validation", epoch.validation.logloss, epoch.epoch)
            _write("auc/validation", epoch.validation.auc, epoch.epoch)
    writer.close()


def _write(tag: str, value: float | None, step: int) -> None:
    """Writes a number as `tf.summary.scalar` does, which needs TensorBoard installed."""
    if value is not None:
        tf.summary.write(tag, tf.constant(value, tf.float32), step, _SCALAR)
