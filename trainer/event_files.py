"""TensorBoard's event files of a training: loss, and validation AUC and logistic loss, after each epoch."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.training_progress import Epoch


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
            tf.summary.scalar("loss/train", epoch.loss, step=epoch.epoch)
            if epoch.validation.logloss is not None:
                tf.summary.scalar("loss/validation", epoch.validation.logloss, step=epoch.epoch)
            if epoch.validation.auc is not None:
                tf.summary.scalar("auc/validation", epoch.validation.auc, step=epoch.epoch)
    writer.close()
