"""A small model with vocabularies of its own, trained on random examples in memory."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.optimizers import JointOptimizer
from trainer.training.data import Batch
from trainer.training.step import train_step
from trainer.training_size import sized
from trainer.transform_output.state import TransformState
from trainer.warm_start.report import WarmStartReport
from trainer.warm_start.warm_start import save_warm_start, warm_start
from trainer.wide_deep.model import WideDeep
from transform.combinations import NUM_COUNT_BUCKETS
from transform.config.config import Config

Vocabularies = dict[str, list[bytes]]

OLD: Vocabularies = {
    "app": [b"a", b"b", b"c", b"d\xff\x00"],
    "country": [b"de", b"fr"],
    "installed_x_app": [b"a\x1fb", b"b\x1fc", b"c\x1fd"],
}
#: Shuffled; b, fr, b x c are removed; e, x, us and a x e are added.
NEW: Vocabularies = {
    "app": [b"e", b"d\xff\x00", b"c", b"x", b"a"],
    "country": [b"us", b"de"],
    "installed_x_app": [b"c\x1fd", b"a\x1fe", b"a\x1fb"],
}
#: The boundaries of the prices' quantiles.
BOUNDARIES = np.array([1, 2, 4], np.float32)
#: Counts for a config whose model has a count in both parts.
COUNTS = [{"features": ["app", "country"], "parts": ["wide", "deep"]}]
SURVIVING = {"app": [b"a", b"c", b"d\xff\x00", b"<oov>"], "country": [b"de"], "installed_x_app": [b"a\x1fb", b"c\x1fd"]}

#: Up to so many steps are taken without a graph, whose building takes as long as 15 of them.
FEW_STEPS = 5


@dataclasses.dataclass
class Trained:
    """A model with its optimizers and vocabularies."""

    config: Config
    vocabularies: Vocabularies
    model: WideDeep
    optimizers: JointOptimizer
    boundaries: np.ndarray

    @property
    def transform_state(self) -> TransformState:
        return TransformState(self.vocabularies, {"price": self.boundaries})

    def train(self, steps: int, seed: int, tokens: Vocabularies | None = None) -> None:
        """Takes steps on examples of random `tokens`, by default of the whole vocabularies."""
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            batch = self.batch(rng, tokens)
            if steps > FEW_STEPS:
                self.step(*batch)
            else:
                train_step(self.model, self.optimizers, batch)

    @functools.cached_property
    def step(self) -> Any:
        """A step in a graph, as trainings take it."""
        return tf.function(lambda *batch: train_step(self.model, self.optimizers, batch))

    def batch(self, rng: np.random.Generator, tokens: Vocabularies | None = None) -> Batch:
        """A batch of eight examples."""
        labels = tf.constant(rng.integers(0, 2, 8), tf.float32)
        return features_of(rng, tokens or self.vocabularies, self.vocabularies), labels, tf.ones(8)

    def logits(self, features_seed: int, tokens: Vocabularies = SURVIVING) -> np.ndarray:
        """The logits of examples of random tokens."""
        features = features_of(np.random.default_rng(features_seed), tokens, self.vocabularies)
        return np.asarray(self.model(features))


def build(config: Config, vocabularies: Vocabularies, seed: int = 1, boundaries: np.ndarray = BOUNDARIES) -> Trained:
    sizes = {name: len(tokens) for name, tokens in vocabularies.items()}
    model = WideDeep(config.spec, config.model, sizes, seed)
    optimizers = JointOptimizer(model, sized(config.training, num_examples=8))
    return Trained(config, vocabularies, model, optimizers, boundaries)


def features_of(rng: np.random.Generator, tokens: Vocabularies, vocabularies: Vocabularies) -> dict[str, Any]:
    """Eight examples of random tokens, as ids of the vocabularies; an unknown token is in the first oov bucket."""

    def ids(name: str, n: int) -> np.ndarray:
        row_of = {token: row for row, token in enumerate(vocabularies[name])}
        chosen = [tokens[name][i] for i in rng.integers(0, len(tokens[name]), n)]
        return np.array([row_of.get(token, len(row_of)) for token in chosen], np.int64)

    def lists(values: np.ndarray) -> tf.SparseTensor:
        indices = np.stack([np.repeat(np.arange(6), 2), np.tile(np.arange(2), 6)], axis=1)
        return tf.SparseTensor(indices, values, [8, 2])  # the last two examples have none

    return {
        "app_xf": tf.constant(ids("app", 8)),
        "installed_xf": lists(ids("app", 12)),
        "country_xf": tf.constant(ids("country", 8)),
        "installed_x_app_xf": lists(ids("installed_x_app", 12)),
        "app_x_price_xf": lists(rng.integers(0, 50, 12)),
        "price_xf": tf.constant(rng.random(8), tf.float32),
        "price_bucket_xf": tf.constant(rng.integers(0, 4, 8)),
        "count_of_app_x_country_share_xf": tf.constant(rng.integers(0, NUM_COUNT_BUCKETS, 8)),
        "count_of_app_x_country_rows_xf": tf.constant(rng.integers(0, NUM_COUNT_BUCKETS, 8)),
    }


def save(trained: Trained, directory: Path) -> str:
    serving_model_dir = str(directory / "Format-Serving")
    spec, training = trained.config.spec, sized(trained.config.training, num_examples=8)
    save_warm_start(trained.model, trained.optimizers, spec, training, trained.transform_state, serving_model_dir)
    return serving_model_dir


def start(trained: Trained, base: str | None) -> WarmStartReport:
    training = sized(trained.config.training, num_examples=8)
    return warm_start(trained.model, trained.optimizers, training, trained.transform_state, base)
