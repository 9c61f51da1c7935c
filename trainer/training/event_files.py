"""TensorBoard's event files of a running training: its losses and its validation AUC."""

from __future__ import annotations

import time

import tensorflow as tf

from trainer.training.position import Epoch

#: By this, TensorBoard recognizes a number that it draws as a curve.
_SCALAR = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class="DATA_CLASS_SCALAR")

#: How often the loss of a running epoch is written. A bucket takes the whole file each time.
_SECONDS = 10.0


class EventFiles:
    """The event file of a training; `with` closes it. What is written can be read at once.

    Args:
      directory: The folder, of TFX's ModelRun artifact; None writes nothing.
    """

    def __init__(self, directory: str | None) -> None:
        self._writer = tf.summary.create_file_writer(directory) if directory else tf.summary.create_noop_writer()
        self._due = float("-inf")

    def __enter__(self) -> EventFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write_epoch(self, epoch: Epoch) -> None:
        """Writes the metrics of an epoch that has ended; the steps of these curves are the epochs, from 1."""
        metrics = epoch.validation
        self._write(
            {"loss/train": epoch.loss, "loss/validation": metrics.logloss, "auc/validation": metrics.auc}, epoch.epoch
        )

    def write_steps(self, step: int, loss: float) -> None:
        """Writes the mean loss of the running epoch's examples so far, unless it was written less than 10 s ago.

        Args:
          step: The training's steps so far, which are this curve's.
          loss: The loss.
        """
        if (now := time.monotonic()) >= self._due:
            self._due = now + _SECONDS
            self._write({"loss/train_so_far": loss}, step)

    def _write(self, values: dict[str, float | None], step: int) -> None:
        """Writes numbers as `tf.summary.scalar` does, which needs TensorBoard installed."""
        with self._writer.as_default():
            for tag, value in values.items():
                if value is not None:
                    tf.summary.write(tag, tf.constant(value, tf.float32), step, _SCALAR)
        self._writer.flush()
