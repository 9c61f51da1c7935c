"""Writes a pushed version whose SavedModel, instead of being trained, adds up its inputs; it explains only the app."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.model_store.versions import checksums
from serving.ranking_client.explanations import EXPLANATION_OUTPUTS
from transform.config.config import Config
from transform.files.version_layout import CATALOG_FOLDER, CONFIG_FILE, EXTRA_ASSETS, MANIFEST_FILE
from transform.signature_names import (
    DEEP_ATTRIBUTIONS_OUTPUT,
    DEEP_FEATURES_OUTPUT,
    DEEP_VALUES_OUTPUT,
    WIDE_WEIGHTS_OUTPUT,
)

#: The price of each app in the catalog stored with the model.
PRICES = {"a": 1.0, "b": 2.0}


class Adder(tf.Module):  # type: ignore[misc]
    """score = price / 10 (0 if missing) + installed apps / 100 + 1/3 if the app has a name."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def score(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(
            examples,
            {
                "app": tf.io.FixedLenFeature([], tf.string, ""),
                "installed": tf.io.RaggedFeature(tf.string),
                "price": tf.io.FixedLenFeature([], tf.float32, 0.0),
            },
        )
        installed = tf.cast(parsed["installed"].row_lengths(), tf.float32)
        named = tf.cast(parsed["app"] != "", tf.float32)
        return {"scores": parsed["price"] / 10.0 + installed / 100.0 + named / 3.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
    def explain(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        apps = tf.io.parse_example(examples, {"app": tf.io.FixedLenFeature([], tf.string, "")})["app"]
        zeros, (texts, numbers) = tf.zeros_like(apps, tf.float32), EXPLANATION_OUTPUTS
        found = dict.fromkeys(texts, apps[:, None][:, :0]) | dict.fromkeys(numbers, zeros)
        found |= {WIDE_WEIGHTS_OUTPUT: zeros[:, None][:, :0], DEEP_ATTRIBUTIONS_OUTPUT: zeros}
        return found | {DEEP_FEATURES_OUTPUT: tf.fill(tf.shape(apps), "app"), DEEP_VALUES_OUTPUT: apps}


def adder(price: float, installed: int, named: bool = True) -> np.float32:
    return (
        np.float32(price) / np.float32(10) + np.float32(installed) / np.float32(100) + np.float32(named) / np.float32(3)
    )


def write_model(folder: Path, config: Config) -> str:
    """Writes a pushed version: the SavedModel, the config and the catalog."""
    module = Adder()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.score, "explain": module.explain})
    extra = folder / EXTRA_ASSETS
    (extra / CATALOG_FOLDER / "catalog").mkdir(parents=True)
    (extra / CONFIG_FILE).write_text(config.to_json())
    with tf.io.TFRecordWriter(str(extra / CATALOG_FOLDER / "catalog" / "data.gz"), "GZIP") as writer:
        for key, price in PRICES.items():
            example = tf.train.Example()
            example.features.feature["table_key"].bytes_list.value.append(key.encode())
            example.features.feature["price"].float_list.value.append(price)
            writer.write(example.SerializeToString())
    (extra / MANIFEST_FILE).write_text(json.dumps({"schema_version": 1, "sha256": checksums(str(folder))}))
    return str(folder)
