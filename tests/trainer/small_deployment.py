"""A small deployment: its config, rows with a trivial signal, and its examples transformed by tf.Transform."""

from __future__ import annotations

import dataclasses
import random
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from transform.config.config import Config, parse_config
from transform.feature_spec import FOLD, NUM_FOLDS, SHARES_LABEL, SPAN
from transform.preprocessing import CONFIG_KEY, preprocessing_fn
from transform.schema import raw_schema

Row = dict[str, list[Any]]

#: The optimizers of the config's training.
OPTIMIZERS = {
    "wide_optimizer": {"learning_rate": 0.05, "initial_accumulator": 0.1},
    "deep_optimizer": {"learning_rate": 0.05, "initial_accumulator": 0.1},
}


def make_config(**sections: Any) -> Config:
    """The config of a small deployment; `sections` replaces or adds sections."""
    return parse_config(
        {
            "name": "small",
            "sources": {
                "impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"},
                "tables": {"catalog": {"path": "c.csv", "format": "csv", "key": "app", "broadcast": True}},
            },
            "features": [
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"min_count": 2}},
                {"name": "installed", "side": "context", "kind": "categorical_list", "vocabulary": "app"},
                {"name": "price", "side": "item", "kind": "numeric", "source": "catalog", "num_quantiles": 4},
                {
                    "name": "country",
                    "side": "context",
                    "kind": "categorical",
                    "vocabulary": {"num_oov_buckets": 2},
                    "parts": ["deep"],
                },
            ],
            "crosses": [
                {"features": ["installed", "app"], "min_count": 2},
                {"features": ["app", "price"], "num_hash_buckets": 50},
            ],
            "model": {"embedding_dim": 4, "hidden_units": [16, 8], "token_dropout": 0.0},
            "training": {
                "batch_size": 32,
                "num_epochs": 3,
                "shuffle_buffer_size": 1000,
                **OPTIMIZERS,
            },
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        }
        | sections,
        "test",
    )


def make_rows(num_rows: int, apps: list[str], seed: int) -> list[Row]:
    """Impressions with a trivial signal: a user acquires an app if its partner app is installed."""
    rng = random.Random(seed)
    by_name = sorted(apps)
    rows: list[Row] = []
    for _ in range(num_rows):
        installed = rng.sample(apps, rng.randint(0, 3))
        app = rng.choice(apps)
        partner = by_name[(by_name.index(app) + 1) % len(apps)]
        rows.append(
            {
                "app": [app],
                "installed": list(installed),
                "price": [] if rng.random() < 0.1 else [rng.uniform(0, 10)],
                "country": [rng.choice("abc")],
                "label": [int(partner in installed)],
                "request_id": [str(rng.random())],
            }
        )
    return rows


def to_example(row: Row, without: tuple[str, ...] = ()) -> bytes:
    """A row as a serialized tf.Example; an empty list is left out."""
    features = {}
    for name, values in row.items():
        if name in without or not values:
            continue
        if isinstance(values[0], str):
            value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in values]))
        elif isinstance(values[0], int):
            value = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            value = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        features[name] = value
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


@dataclasses.dataclass(frozen=True)
class Span:
    """One span's transformed examples as `run_fn` receives them, and the raw evaluation rows."""

    config: Config
    transform_output: str
    train_files: str
    eval_files: str
    eval_rows: list[Row]

    def fn_args(self, model_dir: Path, base_model: str | None = None, config: Config | None = None) -> Any:
        return types.SimpleNamespace(
            custom_config={CONFIG_KEY: (config or self.config).to_json()},
            train_files=[self.train_files],
            eval_files=[self.eval_files],
            transform_graph_path=self.transform_output,
            hyperparameters=None,
            serving_model_dir=str(model_dir / "Format-Serving"),
            base_model=base_model,
        )


def transform_span(config: Config, train_rows: list[Row], eval_rows: list[Row], directory: Path) -> Span:
    """Runs tf.Transform over the rows and writes what TFX's Transform writes."""
    schema = raw_schema(config)
    metadata = dataset_metadata.DatasetMetadata(schema)
    names = [f.name for f in schema.feature]
    known_when = [
        {SPAN: [0], FOLD: [i % NUM_FOLDS], SHARES_LABEL: [0]} for i in range(max(len(train_rows), len(eval_rows)))
    ]
    transformed_rows = [
        [{n: (when | row)[n] for n in names} for row, when in zip(rows, known_when, strict=False)]
        for rows in (train_rows, eval_rows)
    ]
    output = directory / "transform"
    with beam.Pipeline(runner=FnApiRunner()) as pipeline, tft_beam.Context(temp_dir=str(directory / "tmp")):
        train = pipeline | "train" >> beam.Create(transformed_rows[0])
        held_out = pipeline | "eval" >> beam.Create(transformed_rows[1])
        (transformed, transformed_metadata), transform_fn = (train, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing_fn(inputs, {CONFIG_KEY: config.to_json()})
        )
        (transformed_eval, _) = ((held_out, metadata), transform_fn) | tft_beam.TransformDataset()
        coder = beam.Map(_encoder(transformed_metadata))
        for name, rows in (("train", transformed), ("eval", transformed_eval)):
            _ = (
                rows
                | f"encode {name}" >> coder
                | f"write {name}"
                >> beam.io.WriteToTFRecord(str(directory / name / "part"), file_name_suffix=".gz", num_shards=2)
            )
        _ = transform_fn | tft_beam.WriteTransformFn(str(output))
    metadata_io.write_metadata(metadata, str(output / tft.TFTransformOutput.RAW_METADATA_DIR))
    return Span(config, str(output), str(directory / "train" / "*"), str(directory / "eval" / "*"), eval_rows)


def _encoder(metadata: Any) -> Callable[[Any], bytes]:
    encode: Callable[[Any], bytes] = tft.coders.ExampleProtoCoder(metadata.schema).encode
    return encode
