"""A model made by tf.Transform, the trainer and the export, with every kind of training-serving skew."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from tfx.types import standard_artifacts

import trainer.signatures
from tests.components.infra_validation.validating import examples_artifact, on_threads, validate
from tests.e2e.damage import change_variables
from tests.trainer.small_deployment import Row, Span, make_config, make_rows, to_example, transform_span
from trainer.rank_export.pairs import VocabularyCrossLookup
from trainer.signatures import export_model
from trainer.trainer_predictions import trainer_predictions
from trainer.training.setup import TrainingSetup, prepare
from trainer.transform_output.graph import apply_transform
from transform.config.config import Config
from transform.config.infra_validation import InfraValidation
from transform.files.trainer_predictions import TrainerPredictions, write_trainer_predictions

pytestmark = pytest.mark.slow

#: No bound of the memory, which on a thread is this process's, nor of the latency, which a busy machine may exceed.
SETTINGS = InfraValidation(num_requests=50, num_measurements=10, max_latency_ms=None, max_memory_mb=None)
APPS = [f"app{i}" for i in range(8)]
ROWS, EXAMPLES = "the exported model must score logged rows as the trainer", "the exported model must score the logged"
RANKED = "the exported model must rank logged rows as the trainer"

#: The name of the logit's bias in the variables' files.
BIAS = "model_variables/0/.ATTRIBUTES/VARIABLE_VALUE"

#: By the defect: the beginnings of the sentences about it.
PROBLEMS = {
    "transform graph of another run": [ROWS, RANKED, EXAMPLES],
    "vocabulary of another day": [ROWS, RANKED, EXAMPLES],
    "quantile boundaries swapped": [ROWS, RANKED, EXAMPLES],
    "half the features missing at serving": [ROWS, EXAMPLES],
    "train-only feature": [ROWS, EXAMPLES],
    "weights of another training": [ROWS, RANKED, EXAMPLES],
    "a ranking without its cross": [RANKED],
    "trained on examples of another transform graph": [EXAMPLES],
    "a span's evaluation examples missing": ["the trainer must have evaluated on as many examples as were logged."],
    "no scores of the trainer": ["the trainer must write its predictions beside the model. There are none in "],
    "missing vocabulary": ["the model must have all of its 3 assets. Missing: app_vocabulary"],
}


def config() -> Config:
    """Returns the small deployment with two numeric features, both read from the log, so that it has no `rank`."""
    small = make_config()
    others = [f for f in small.spec.features if f.name != "price"]
    prices = [
        dataclasses.replace(small.spec.by_name["price"], name=n, source="impressions") for n in ("price", "rating")
    ]
    return dataclasses.replace(small, spec=dataclasses.replace(small.spec, features=(*others, *prices)))


def rows(number: int, seed: int, swapped: bool = False) -> list[Row]:
    """Returns impressions with ratings from 3 to 5, and prices from 0 to 10; swapped on request."""
    rng = random.Random(seed)
    made = [{**row, "rating": [rng.uniform(3, 5)]} for row in make_rows(number, APPS, seed)]
    return [{**r, "price": r["rating"], "rating": r["price"]} for r in made] if swapped else made


@dataclasses.dataclass
class Made:
    """A trained model in memory, and the transform graphs of other runs.

    Attributes:
      prepared: The finished training.
      span: The model's own transform graph.
      other: The transform graph of other training rows.
      swapped: The transform graph of rows whose two numbers are swapped.
      raw_files: The pattern of the logged rows that the trainer scores.
      window: The raw examples of an earlier span, and of the model's own span, on which it was evaluated.
      half_window: The same with half of the own span's evaluation examples.
      folder: The folder for exports.
    """

    prepared: TrainingSetup
    span: Span
    other: Span
    swapped: Span
    raw_files: str
    window: list[standard_artifacts.Examples]
    half_window: list[standard_artifacts.Examples]
    folder: Path

    def trainer_predictions(self, span: Span) -> TrainerPredictions:
        """Returns the trainer's own scores with the transform graph of a given span."""
        output, num_rows = tft.TFTransformOutput(span.transform_output), self.span.config.skew.num_rows
        return trainer_predictions(self.prepared, output, [self.raw_files], num_rows)

    def export(self, kind: str, span: Span, own: TrainerPredictions) -> Path:
        """Exports the model in the trainer's layout, with the transform graph of a given span."""
        uri = self.folder / kind
        output = tft.TFTransformOutput(span.transform_output)
        export_model(self.prepared.model, output, self.span.config, str(uri / "Format-Serving"))
        write_trainer_predictions(own, str(uri))
        return uri


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    eval_rows = rows(300, seed=2)
    span, other, swapped = (
        transform_span(config(), train, eval_rows, folder / name)
        for name, train in {
            "span": rows(2000, seed=1),
            "other": rows(2000, seed=3),
            "swapped": rows(2000, seed=1, swapped=True),
        }.items()
    )
    earlier, own, half = (
        examples_artifact(folder / name, train=[], eval=map(to_example, raw))
        for name, raw in {"earlier": rows(100, seed=4), "own": eval_rows, "half": eval_rows[::2]}.items()
    )
    own.set_int_custom_property("span", 1)
    half.set_int_custom_property("span", 1)
    output = tft.TFTransformOutput(span.transform_output)
    prepared = prepare(span.config, output, [span.train_files], [span.eval_files], None)
    prepared.train()
    raw_files = f"{own.uri}/Split-eval/data-0.gz"
    return Made(prepared, span, other, swapped, raw_files, [earlier, own], [earlier, half], folder)


@pytest.fixture(scope="module")
def models(made: Made) -> dict[str, Path]:
    """The models by defect; `good` has none. With the graph of another model, one is a copy: an export takes 3 s."""
    own, others = made.trainer_predictions(made.span), made.trainer_predictions(made.other)
    found = {
        "good": made.export("good", made.span, own),
        "transform graph of another run": made.export("transform graph of another run", made.other, own),
        "quantile boundaries swapped": made.export("quantile boundaries swapped", made.swapped, own),
    }
    for kind, left in (
        ("half the features missing at serving", ("app", "installed")),
        ("train-only feature", ("app", "installed", "country", "rating")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer.signatures, "apply_transform", only(left))
            found[kind] = made.export(kind, made.span, own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(VocabularyCrossLookup, "weights", lambda _, contexts, items: tf.zeros(tf.shape(items)))
        found["a ranking without its cross"] = made.export("a ranking without its cross", made.span, own)
    # The trainer's scores and the export agree, but not with the examples that the model was trained on.
    kind = "trained on examples of another transform graph"
    found[kind] = Path(shutil.copytree(found["transform graph of another run"], made.folder / kind))
    write_trainer_predictions(others, str(found[kind]))
    for kind in PROBLEMS.keys() - found.keys():
        found[kind] = Path(shutil.copytree(found["good"], made.folder / kind))
    change_variables(found["weights of another training"] / "Format-Serving", with_other_bias)
    theirs = Path(made.other.transform_output) / "transform_fn" / "assets" / "app_vocabulary"
    shutil.copy(theirs, found["vocabulary of another day"] / "Format-Serving" / "assets" / "app_vocabulary")
    (found["missing vocabulary"] / "Format-Serving" / "assets" / "app_vocabulary").unlink()
    shutil.rmtree(found["no scores of the trainer"] / "own_scores")
    return found


def with_other_bias(name: str, values: np.ndarray) -> np.ndarray:
    """Returns a variable's value, changed if it is the logit's bias."""
    return values + np.float32(0.01) if name == BIAS else values


def only(names: tuple[str, ...]) -> Callable[[Any, dict[str, Any]], dict[str, Any]]:
    """Returns a function that calls tf.Transform's graph on only some of a request's features."""

    def apply(transform_fn: Any, features: dict[str, Any]) -> dict[str, Any]:
        return apply_transform(transform_fn, {name: features[name] for name in features if name in names})

    return apply


@pytest.fixture(scope="module")
def verdicts(made: Made, models: dict[str, Path]) -> Iterator[dict[str, dict[str, Any]]]:
    def verdict_on(kind: str) -> dict[str, Any]:
        window = made.half_window if kind == "a span's evaluation examples missing" else made.window
        out = made.folder / f"{kind} blessing"
        return validate(SETTINGS, models[kind], window, out, config=made.span.config)

    found = {"good": verdict_on("good")}
    with on_threads():
        yield found | {kind: verdict_on(kind) for kind in PROBLEMS}


def test_a_model_that_serves_as_it_was_trained_is_blessed(verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts["good"]
    assert (verdict["problems"], verdict["blessed"]) == ([], 1)
    assert verdict["row_skew"]["num_rows"] == 300  # 150 logged rows of the first file, and 150 changed ones
    assert 200 < verdict["rank_skew"]["num_rows"] < 300  # without those that have no app
    assert verdict["eval_skew"]["num_rows"] == 300
    assert max(verdict[skew]["largest_difference"] for skew in ("row_skew", "rank_skew", "eval_skew")) < 1e-6


@pytest.mark.parametrize("kind", PROBLEMS)
def test_skew_is_refused(verdicts: dict[str, dict[str, Any]], kind: str) -> None:
    verdict = verdicts[kind]
    assert verdict["blessed"] == 0
    assert len(verdict["problems"]) == len(PROBLEMS[kind])
    for problem, start in zip(verdict["problems"], PROBLEMS[kind], strict=True):
        assert problem.startswith(start)
