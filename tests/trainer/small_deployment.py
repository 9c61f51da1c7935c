"""A small deployment: its config, rows with a trivial signal, and its examples as Transform writes them."""

from __future__ import annotations

import dataclasses
import random
import types
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.transform_executor.materialization import Materialization
from tests.transform.transformed import learn, select_parsing, write_rows
from transform.config.component_configs import for_trainer
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.example_keys import FOLD, NUM_FOLDS, SHARES_LABEL, SPAN
from transform.preprocessing import CONFIG_KEY

Row = dict[str, list[Any]]

#: The optimizers of the config's training.
OPTIMIZERS = {
    "wide_optimizer": {"learning_rate": 0.05, "initial_accumulator": 0.1},
    "deep_optimizer": {"name": "adagrad", "learning_rate": 0.05, "initial_accumulator": 0.1},
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
            "model": {"embedding_dim": 4, "hidden_units": [16, 8], "dropout": 0.0, "token_dropout": 0.0},
            "training": {
                "batch_size": 32,
                "num_epochs": 3,
                "patience": 0,
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
            custom_config={CONFIG_KEY: for_trainer(config or self.config).to_json()},
            train_files=[self.train_files],
            eval_files=[self.eval_files],
            transform_graph_path=self.transform_output,
            hyperparameters=None,
            serving_model_dir=str(model_dir / "Format-Serving"),
            base_model=base_model,
        )


def transform_span(config: Config, train_rows: list[Row], eval_rows: list[Row], directory: Path) -> Span:
    """Runs Transform over the rows and writes what TFX's Transform writes, each split's examples in two files."""
    raw = {
        split: [
            write_rows(
                config,
                [{SPAN: [0], FOLD: [i % NUM_FOLDS], SHARES_LABEL: [0]} | row for i, row in enumerate(rows)][half::2],
                directory / "raw" / split / f"{half}.gz",
            )
            for half in (0, 1)
        ]
        for split, rows in (("train", train_rows), ("eval", eval_rows))
    }
    output = learn(config, raw["train"], directory / "learned")
    materialization = Materialization(output, select_parsing(config))
    for split, files in raw.items():
        (directory / split).mkdir()
        for number, file in enumerate(files):
            materialization.write(file, str(directory / split / f"part-{number}.gz"))
    graph = str(directory / "learned" / "graph")
    return Span(config, graph, str(directory / "train" / "*"), str(directory / "eval" / "*"), eval_rows)
