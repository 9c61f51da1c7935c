"""How much of what position bias costs is recovered: `python -m benchmarks.position`.

A small store logs requests of ten candidates, all shown, in the order of a policy whose score is partly wrong: of each
kind of user and app it has an error of its own, so that the position follows from the features. Five per cent of the
requests are shown in a random order. The installs come from one of two truths:

- `additive`: logit P = relevance + effect of the position, the form of `at_serving`'s tower;
- `examination`: P = chance that the position is examined × σ(relevance), which a sum in the logit does not fit.

The product ingests and transforms the log, and trains on it: without the position, with the tower, and with inverse
propensity weights. Each model orders the candidates of other requests by its scores of them, as a request sends them.
The table has the true expected installs of the ten per request, by position, under each order. The regret of the model
that ignores the position is what the truth's best order has above it; `recovered` is the share of it that the other
models have back. Exit code 1 means that ignoring the position costs less than 2 % of the installs, that without
randomization the data gate does not stop, or that the tower recovers less than 90 % where its form fits, or less than
70 % where it does not.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import tensorflow as tf
import tensorflow_transform as tft
from rich.console import Console
from rich.table import Table
from scipy.special import expit

from benchmarks.transformed import transform_span
from pipeline.cli.display import console_for
from trainer.training.evaluation import logits_function
from trainer.training.setup import TrainingSetup
from trainer.transform_output.graph import apply_transform, load_transform
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.errors import GateError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Truth = Literal["additive", "examination"]
TRUTHS: tuple[Truth, ...] = ("additive", "examination")

SHOWN, NUM_SEGMENTS, NUM_APPS, NUM_CATEGORIES = 10, 8, 40, 8
RANDOMIZED = 0.05

#: Position k adds -ADDED · ln k to the logit, or is examined with the chance k^-EXAMINED.
ADDED, EXAMINED = 1.3, 1.0

#: The share of the regret that the tower must recover, by truth.
MUST_RECOVER: Mapping[Truth, float] = {"additive": 0.9, "examination": 0.7}
MUST_COST = 0.02

_POSITION: dict[str, Any] = {
    "name": "position",
    "side": "item",
    "kind": "numeric",
    "boundaries": [*range(2, SHOWN + 1)],
    "required": True,
}

#: What `at_serving` of the position is, by the model's name; None for a model without a position.
MODELS: Mapping[str, dict[str, Any] | None] = {
    "ignored": None,
    "tower": {"fixed": 1},
    "weights": {"method": "weights"},
}


@dataclasses.dataclass(frozen=True)
class Store:
    """The truth and the policy.

    Attributes:
      truth: The form of the truth.
      category: int64 `[apps]`.
      relevance: The true logit of relevance, float64 `[segments, apps]`.
      policy: The score by which the policy orders, float64 `[segments, apps]`.
    """

    truth: Truth
    category: Ints
    relevance: Floats
    policy: Floats

    @classmethod
    def draw(cls, truth: Truth, seed: int) -> Store:
        """Draws a store."""
        rng = np.random.default_rng(seed)
        category = rng.permutation(np.arange(NUM_APPS) % NUM_CATEGORIES)
        taste = rng.normal(scale=0.7, size=(NUM_SEGMENTS, NUM_CATEGORIES))
        quality = rng.normal(scale=0.7, size=NUM_APPS)
        of_all = taste[:, category] + quality
        base = -0.7 if truth == "additive" else -0.9
        policy = 0.3 * of_all + rng.normal(scale=0.8, size=of_all.shape)
        return cls(truth, category, base + of_all, policy)

    def probability(self, segment: Ints, app: Ints, position: Ints) -> Floats:
        """The true probability of an install, of the shape of its arguments; positions are from 1."""
        relevance = self.relevance[segment, app]
        if self.truth == "additive":
            relevance = relevance - ADDED * np.log(position)
        found: Floats = expit(relevance)
        return found if self.truth == "additive" else found * position**-EXAMINED

    def requests(self, number: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Draws segments, int64 `[requests, 1]`, and candidates, int64 `[requests, SHOWN]`."""
        apps = np.argsort(rng.random((number, NUM_APPS)), axis=1)[:, :SHOWN]
        return rng.integers(0, NUM_SEGMENTS, (number, 1)), apps

    def installs(self, scores: Floats, segment: Ints, apps: Ints) -> float:
        """The expected installs per request of candidates that are ordered by scores, float64 `[segments, apps]`."""
        order = np.argsort(-scores[segment, apps], axis=1, kind="stable")
        shown = np.take_along_axis(apps, order, axis=1)
        return float(self.probability(segment, shown, np.arange(1, SHOWN + 1)).sum(axis=1).mean())

    def write_log(self, path: Path, num_requests: int, randomized: float, seed: int) -> None:
        """Writes what the policy has shown, as a CSV file."""
        rng = np.random.default_rng(seed)
        segment, apps = self.requests(num_requests, rng)
        by_policy = np.argsort(-self.policy[segment, apps], axis=1)
        is_drawn = rng.random((num_requests, 1)) < randomized
        order = np.where(is_drawn, np.argsort(rng.random(apps.shape), axis=1), by_policy)
        shown, position = np.take_along_axis(apps, order, axis=1), np.broadcast_to(np.arange(1, SHOWN + 1), apps.shape)
        installed = rng.random(apps.shape) < self.probability(segment, shown, position)
        propensity = randomized / SHOWN + (1 - randomized) * (order == by_policy)

        def flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.broadcast_to(values, apps.shape).reshape(-1)

        def names(prefix: str, numbers: Ints) -> pa.Array:
            return pa.array(np.char.add(prefix, flat(numbers).astype(str)))

        columns = {
            "request": names("r", np.arange(num_requests)[:, None]),
            "segment": names("s", segment),
            "app": names("a", shown),
            "category": names("c", self.category[shown]),
            "position": flat(position),
            "propensity": flat(propensity),
            "installed": flat(installed).astype(np.int64),
        }
        pyarrow.csv.write_csv(pa.table(columns), path)


def make_config(name: str) -> Config:
    """Returns the config of one of `MODELS`."""
    features: list[dict[str, Any]] = [
        {"name": "segment", "side": "context", "kind": "categorical", "vocabulary": {}},
        {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
        {"name": "category", "side": "item", "kind": "categorical", "vocabulary": {}},
    ]
    log = {"path": "log.csv", "format": "csv", "label": "installed", "request_id": "request", "item_id": "app"}
    if (at_serving := MODELS[name]) is not None:
        features.append(_POSITION | {"at_serving": at_serving})
        log["propensity"] = "propensity"
    return parse_config(
        {
            "name": "positions",
            "sources": {"impressions": log},
            "features": features,
            "crosses": [{"features": ["segment", "category"], "min_count": 2}],
            "model": {"embedding_dim": 8, "hidden_units": [32, 16]},
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        name,
    )


def score_all(setup: TrainingSetup, graph: Path, store: Store) -> Floats:
    """Returns a trained model's logits of all candidates, as of a request, float64 `[segments, apps]`.

    They are the trainer's own, which those of each signature equal (tests/trainer/test_at_serving.py).
    """
    segment, app = (values.reshape(-1) for values in np.indices((NUM_SEGMENTS, NUM_APPS)))
    texts = {
        "segment": np.char.add("s", segment.astype(str)),
        "app": np.char.add("a", app.astype(str)),
        "category": np.char.add("c", store.category[app].astype(str)),
    }
    raw = {name: tf.sparse.from_dense(values[:, None]) for name, values in texts.items()}
    features = apply_transform(load_transform(tft.TFTransformOutput(str(graph))).transform_fn, raw)
    model = setup.model
    served = model.as_served({name: features[name] for name in model.feature_names})
    logits: Floats = logits_function(model)(served).numpy().astype(np.float64)
    return logits.reshape(NUM_SEGMENTS, NUM_APPS)


@dataclasses.dataclass(frozen=True)
class Result:
    """The expected installs per request, by order: `best`, `policy` and each of `MODELS`."""

    truth: Truth
    installs: Mapping[str, float]

    @property
    def cost(self) -> float:
        """The share of the best order's installs that the model which ignores the position loses."""
        return 1 - self.installs["ignored"] / self.installs["best"]

    def recovered(self, name: str) -> float:
        """The share of that loss that a model has back."""
        least, best = self.installs["ignored"], self.installs["best"]
        return (self.installs[name] - least) / (best - least)

    @property
    def is_good(self) -> bool:
        return self.cost >= MUST_COST and self.recovered("tower") >= MUST_RECOVER[self.truth]


def measure(truth: Truth, num_requests: int, folder: Path, seed: int) -> Result:
    """Trains each of `MODELS` on one log, and measures the orders by their scores.

    Args:
      truth: The form of the truth.
      num_requests: The number of requests in the log.
      folder: The folder for the log and the workspaces.
      seed: The seed of store and log.
    """
    store = Store.draw(truth, seed)
    (folder / "data").mkdir(parents=True)
    store.write_log(folder / "data" / "log.csv", num_requests, RANDOMIZED, seed + 1)
    segment, apps = store.requests(20_000, np.random.default_rng(seed + 2))
    installs = {name: store.installs(of, segment, apps) for name, of in
                (("best", store.relevance), ("policy", store.policy))}  # fmt: skip
    rows = transform_span(make_config("tower"), folder / "data", folder / "workspace")
    for name in MODELS:
        setup = rows.prepare(make_config(name))
        setup.train()
        installs[name] = store.installs(score_all(setup, rows.graph, store), segment, apps)
    return Result(truth, installs)


def is_refused(folder: Path, seed: int, num_requests: int = 1000) -> bool:
    """Returns whether the run of a log of the same policy without randomization stops before it trains."""
    (folder / "data").mkdir(parents=True)
    Store.draw("additive", seed).write_log(folder / "data" / "log.csv", num_requests, 0.0, seed + 1)
    try:
        transform_span(make_config("tower"), folder / "data", folder / "workspace")
    except GateError as error:
        return "no model learns the effect of `position`" in str(error)
    return False


def show(console: Console, results: list[Result]) -> None:
    """Prints the results."""
    table = Table("truth", "order by", "installs per 1,000 requests", "of the best", "recovered")
    for result in results:
        best = result.installs["best"]
        for name, value in result.installs.items():
            recovered = f"{result.recovered(name):.1%}" if name in MODELS and name != "ignored" else ""
            table.add_row(result.truth, name, f"{1000 * value:,.0f}", f"{value / best:.2%}", recovered)
    console.print(table)


def main() -> int:
    """Prints the table; returns 1 if too little is recovered."""
    parser = argparse.ArgumentParser(prog="benchmarks.position", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="requests in each log, of ten impressions")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the stores and the logs")
    arguments = parser.parse_args()
    console = console_for(sys.stdout)
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(truth, arguments.requests, Path(folder) / truth, arguments.seed) for truth in TRUTHS]
        refused = is_refused(Path(folder) / "refused", arguments.seed)
    show(console, results)
    console.print(f"without randomization the run {'stops' if refused else 'does not stop'}")
    return int(not (refused and all(result.is_good for result in results)))


if __name__ == "__main__":
    sys.exit(main())
