"""Examples in memory whose label depends on the app alone, and a wide model for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.training.data import LabelCounts
from trainer.training.loop import EpochBatches
from trainer.wide_deep.model import WideDeep
from transform.config.config import Config

NUM_EXAMPLES, BATCH_SIZE = 100, 32
COUNTS = LabelCounts(negatives=NUM_EXAMPLES, positives=0)


def wide_model_of(config: Config) -> WideDeep:
    return WideDeep(config.spec, dataclasses.replace(config.model, parts="wide"), {"app": 9, "installed_x_app": 9})


def dataset(seed: int, flipped: bool = False) -> tf.data.Dataset:
    """Batches in which nine in ten labels follow from the app; `flipped` inverts all labels."""
    rng = np.random.default_rng(seed)
    apps = rng.integers(0, 10, NUM_EXAMPLES)
    labels = (apps % 2 == 0) ^ (rng.random(NUM_EXAMPLES) < 0.1) ^ flipped
    return batches_of(apps, labels.astype(np.float32), np.ones(NUM_EXAMPLES, np.float32), BATCH_SIZE)


def batches_of(apps: np.ndarray, labels: np.ndarray, weights: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Examples of the apps, with all other features missing."""
    nothing = tf.sparse.from_dense(np.zeros([len(apps), 1], np.int64))
    features: dict[str, Any] = {"app_xf": apps, "price_bucket_xf": np.zeros(len(apps), np.int64)}
    features |= dict.fromkeys(("installed_xf", "installed_x_app_xf", "app_x_price_xf"), nothing)
    return tf.data.Dataset.from_tensor_slices((features, labels, weights)).batch(batch_size)


def every_epoch(batches: tf.data.Dataset) -> EpochBatches:
    """The same batches in each epoch."""
    return lambda epoch, skip_batches: batches.skip(skip_batches)
