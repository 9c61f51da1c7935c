"""The table of bad models: the fault between a good training and the push, the gate, and its message."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

import trainer.signatures
from tests.e2e.damage import Candidate, Scores, no_damage, parsed
from trainer.signatures import ServingModule
from trainer.transform_output.graph import apply_transform


@dataclasses.dataclass(frozen=True)
class BadModel:
    """A model that must not be pushed.

    Attributes:
      kind: A description.
      gate: The component that refuses it.
      says: The beginnings of some of its messages; there may be more messages.
      damages: Damages the candidate model, right after the component `after`.
      after: The component after which the damage is done.
      patches: A fault in the trainer's code, with which the candidate model is retrained.
      in_suite: Whether it is also one of the slow tests, not only part of the campaign.
    """

    kind: str
    gate: str
    says: tuple[str, ...]
    damages: Callable[[Candidate], object] = no_damage
    after: str = "trainer"
    patches: Callable[[pytest.MonkeyPatch, Path], object] | None = None
    in_suite: bool = True


def _infra(kind: str, *says: str, **how: object) -> BadModel:
    return BadModel(kind, "infra_validation", tuple(f"infra validation: {sentence}" for sentence in says), **how)  # type: ignore[arg-type]


# Damage to files.


def _cut_off(candidate: Candidate) -> None:
    (data,) = (candidate.saved_model / "variables").glob("variables.data-*")
    data.write_bytes(data.read_bytes()[:-100])


def _vocabulary_of_another_order(candidate: Candidate) -> None:
    """Reverses the tokens, as if trained without the previous model.

    Another day's vocabulary would not do: it begins with the same tokens, which are remembered.
    """
    vocabulary = candidate.saved_model / "assets" / "app_id_vocabulary"
    vocabulary.write_text("".join(reversed(vocabulary.read_text().splitlines(keepends=True))))


# Damage to weights.


def _nan(name: str, value: np.ndarray) -> np.ndarray:
    return np.full_like(value, np.nan) if name.startswith("model_variables/1/") else value


def _zero(name: str, value: np.ndarray) -> np.ndarray:
    return np.zeros_like(value) if value.dtype.kind == "f" else value


def _another_bias(name: str, value: np.ndarray) -> np.ndarray:
    return value + np.float32(0.01) if name.startswith("model_variables/0/") else value


# Damage to the graph.


def _slow(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    start = tf.ones([200, 200]) * scores[0]
    worked = tf.while_loop(lambda i, _: i < 200, lambda i, y: [i + 1, tf.tanh(y @ start)], [0, start])
    return scores + 0.0 * worked[1][0, 0]


def _hang(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda y: tf.reduce_sum(y) < float("inf"), lambda y: [y * 0.5], [scores])[0]


def _crash(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.raw_ops.Abort(error_msg="the model gave up")]):
        return tf.identity(scores)


def _logits(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.math.log(scores / (1 - scores))


def _times(factor: float) -> Scores:
    return lambda scores, _: tf.minimum(factor * scores, 0.99)


def _logits_times(factor: float) -> Scores:
    return lambda scores, examples: tf.sigmoid(factor * _logits(scores, examples))


def _reversed(scores: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(0.12 - scores, 0.001, 0.999)


def _one_device_reversed(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.where(parsed(examples, "device") == "large_tablet", _reversed(scores), scores)


def _apps_reversed(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """Reverses the scores of one app in four."""
    fourth = tf.strings.to_hash_bucket_fast(parsed(examples, "app_id"), 4)
    return tf.where(fourth == 0, _reversed(scores), scores)


# Faults designed independently of the gates' rules.


def _of_the_row_before(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.roll(scores, 1, axis=0)


def _one_digit(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.round(10 * scores) / 10


def _blind_to_the_app(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """Each device has one score for all apps."""
    device = tf.strings.to_hash_bucket_fast(parsed(examples, "device"), 100)
    return 0.0 * scores + 0.05 + 0.0004 * tf.cast(device, tf.float32)


def _sure_of_new_apps(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    """One app in six gets a score near 1."""
    sixth = tf.strings.to_hash_bucket_fast(parsed(examples, "app_id"), 6)
    return tf.where(sixth == 0, 0.98 + 0.01 * scores, scores)


def _more_than_sure(scores: tf.Tensor, examples: tf.Tensor) -> tf.Tensor:
    return tf.where(scores > tf.reduce_mean(scores), scores + 1.0, scores)


def _wrap(change: Scores, **how: object) -> Callable[[Candidate], None]:
    return lambda candidate: candidate.wrap(change, **how)  # type: ignore[arg-type]


# Damage in the export.


class _WithOtherGraph:
    """tf.Transform's output with the graph of another run."""

    def __init__(self, own: tft.TFTransformOutput, other: tft.TFTransformOutput):
        self._own = own
        self.transform_savedmodel_dir = other.transform_savedmodel_dir

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _graph_of_another_run(patch: pytest.MonkeyPatch, first_graph: Path) -> None:
    other = tft.TFTransformOutput(str(first_graph))

    def module(model: Any, own: tft.TFTransformOutput, *rest: Any) -> ServingModule:
        return ServingModule(model, _WithOtherGraph(own, other), *rest)

    # Patched here and not in `trainer.run_fn`, which TFX reloads when it calls it.
    patch.setattr(trainer.signatures, "ServingModule", module)


def _serves_only(*names: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def left(transform_fn: Any, features: Mapping[str, Any]) -> dict[str, Any]:
        return apply_transform(transform_fn, {name: value for name, value in features.items() if name in names})

    return lambda patch, _: patch.setattr(trainer.signatures, "apply_transform", left)


def _swap_boundaries(patch: pytest.MonkeyPatch, _: Path) -> None:
    """Transforms each of two features with the other one's quantiles."""
    swap = {"rating": "size_mb", "size_mb": "rating"}

    def other(name: str) -> str:
        return next((name.replace(one, two) for one, two in swap.items() if one in name), name)

    def swapped(transform_fn: Any, features: Mapping[str, Any]) -> dict[str, Any]:
        outputs = apply_transform(transform_fn, {other(name): value for name, value in features.items()})
        return {other(name): value for name, value in outputs.items()}

    patch.setattr(trainer.signatures, "apply_transform", swapped)


_ROWS = "the exported model must score logged rows as the trainer does, to 1e-05. Received: "
_RANKED = "the exported model must rank logged rows as the trainer does, to 1e-05. Received: "
_EXAMPLES = "the exported model must score the logged examples as the trainer scored the transformed ones, to 1e-05: "

_CALIBRATION = "calibration, the mean score ÷ the share of label 1, must be 1 ± 0.15 (evaluation.max_miscalibration)."

BAD_MODELS = [
    _infra(
        "NaN weights",
        "every value of the model's variables must be finite. Received: others in ",
        damages=lambda candidate: candidate.change_variables(_nan),
        in_suite=False,
    ),
    _infra(
        "constant scores",
        "scores must differ between requests. Received: 0.5 for all 50",
        damages=lambda candidate: candidate.change_variables(_zero),
        in_suite=False,
    ),
    _infra("logits for scores", "scores must lie in [0, 1]. Received: -", damages=_wrap(_logits), in_suite=False),
    _infra(
        "a truncated variables file",
        "the model's variables must be readable. Received: ",
        damages=_cut_off,
        in_suite=False,
    ),
    _infra(
        "a damaged graph",
        "the model's saved_model.pb must be readable. Received: ",
        damages=lambda candidate: (candidate.saved_model / "saved_model.pb").write_bytes(b"\xff" * 100),
        in_suite=False,
    ),
    _infra(
        "a missing asset",
        "the model must have all of its 4 assets. Missing: device_vocabulary",
        damages=lambda candidate: (candidate.saved_model / "assets" / "device_vocabulary").unlink(),
        in_suite=False,
    ),
    _infra(
        "a signature renamed",
        "the model must have the signature 'serving_default'. Received: ['predict'",
        damages=_wrap(lambda scores, _: scores, signature="predict"),
        in_suite=False,
    ),
    _infra(
        "a crash",
        "the model must score requests; its process was killed by SIGABRT: ",
        damages=_wrap(_crash),
        in_suite=False,
    ),
    _infra(
        "a hang",
        "the model must score requests within 60 seconds; it did not answer",
        damages=_wrap(_hang),
        in_suite=False,
    ),
    _infra(
        "several times slower",
        "the median time for 200 candidates must be at most 4 times the baseline's. Received: ",
        damages=_wrap(_slow),
        in_suite=False,
    ),
    _infra(
        "2 × memory",
        "the memory that the model adds must be at most 1.5 times the baseline's. Received: ",
        damages=_wrap(lambda scores, _: scores, more_numbers=20_000_000),
        in_suite=False,
    ),
    _infra("a vocabulary of another order", _ROWS, _EXAMPLES, damages=_vocabulary_of_another_order),
    _infra(
        "weights of another step",
        _ROWS,
        _EXAMPLES,
        damages=lambda candidate: candidate.change_variables(_another_bias),
        in_suite=False,
    ),
    _infra(
        "no scores of the trainer to compare with",
        "the trainer must write its predictions beside the model. There are none in ",
        damages=lambda candidate: shutil.rmtree(candidate.uri / "own_scores"),
        in_suite=False,
    ),
    _infra("a transform graph of another run", _ROWS, _EXAMPLES, patches=_graph_of_another_run, in_suite=False),
    _infra(
        "half the features missing at serving",
        _ROWS,
        _EXAMPLES,
        patches=_serves_only("app_id", "rating"),
        in_suite=False,
    ),
    _infra(
        "a train-only feature",
        _ROWS,
        _EXAMPLES,
        patches=_serves_only("app_id", "country", "device", "installed_apps", "size_mb", "seconds_open"),
        in_suite=False,
    ),
    _infra("quantile boundaries swapped", _ROWS, _EXAMPLES, patches=_swap_boundaries, in_suite=False),
    BadModel(
        "calibration off 2 ×",
        "quality_gate",
        (f"{_CALIBRATION} Received: ",),
        damages=_wrap(_times(2), as_trained=True),
        in_suite=False,
    ),
    *(
        BadModel(
            f"logits × {factor}",
            "quality_gate",
            (f"{_CALIBRATION} Received: ",),
            damages=_wrap(_logits_times(factor), as_trained=True),
            in_suite=False,
        )
        for factor in (0.6, 1.6)
    ),
    BadModel(
        "one slice worse",
        "quality_gate",
        ("auc where device = large_tablet may be worse than the baseline's by at most 0.05, beyond chance. ",),
        damages=_wrap(_one_device_reversed, as_trained=True),
        in_suite=False,
    ),
    BadModel(
        "worse than what serves",
        "quality_gate",
        (
            "auc may be worse than the baseline's by at most 0.02 in the mean of spans",
            "logloss may be worse than the baseline's by at most 0.01, beyond chance. Received: ",
        ),
        damages=_wrap(_apps_reversed, as_trained=True),
    ),
    # Sorted, the scores of all examples are the trainer's.
    _infra("the scores of the row before", _ROWS, _RANKED, damages=_wrap(_of_the_row_before), in_suite=False),
    _infra(
        "more than sure of every other row",
        "scores must lie in [0, 1]. Received: ",
        damages=_wrap(_more_than_sure),
        in_suite=False,
    ),
    BadModel(
        "scores of one digit",
        "quality_gate",
        ("logloss may be worse than the baseline's by at most 0.01, beyond chance. Received: ",),
        damages=_wrap(_one_digit, as_trained=True),
        in_suite=False,
    ),
    BadModel(
        "a model that does not look at the app",
        "quality_gate",
        ("auc must be at least 0.6. Received: ",),
        damages=_wrap(_blind_to_the_app, as_trained=True),
        in_suite=False,
    ),
    BadModel(
        "a model that is sure of one app in six",
        "quality_gate",
        (f"{_CALIBRATION} Received: ",),
        damages=_wrap(_sure_of_new_apps, as_trained=True),
        in_suite=False,
    ),
    BadModel(
        "files that changed after they were validated",
        "push",
        ("a pushed model's files must be those that infra validation has run. Received: variables/variables.data-",),
        damages=_cut_off,
        after="quality_gate",
    ),
]
