"""TensorBoard's event files, read with TensorFlow's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from trainer.training.event_files import write_event_files
from trainer.training.position import Epoch, Metrics


def test_they_have_each_epoch_s_metrics(tmp_path: Path) -> None:
    epochs = (Epoch(1, 100, 0.5, Metrics(20, None, 0.375)), Epoch(2, 100, 0.25, Metrics(20, 0.75, 0.125)))
    write_event_files(epochs, str(tmp_path))
    (file,) = tmp_path.iterdir()
    values = [
        (event.step, value) for event in tf.compat.v1.train.summary_iterator(str(file)) for value in event.summary.value
    ]
    # TensorBoard keeps a tag's metadata from its first value.
    plugins = {value.metadata.plugin_data.plugin_name for _, value in values if value.HasField("metadata")}
    assert plugins == {"scalars"}
    found = {(value.tag, step): float(tf.make_ndarray(value.tensor)) for step, value in values}
    assert found == pytest.approx({
        ("loss/train", 1): 0.5, ("loss/validation", 1): 0.375,
        ("loss/train", 2): 0.25, ("loss/validation", 2): 0.125, ("auc/validation", 2): 0.75,
    })  # fmt: skip
