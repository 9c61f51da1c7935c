"""The training report: how a model was trained, and what its SavedModel has; written beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass

from trainer.training.position import Epoch, Metrics
from trainer.warm_start.report import WarmStartReport
from transform.documents import CONFIG, Document, FloatOrNaN
from transform.errors import InputError
from transform.positions import LearnedPositions

#: The report's file name, in the folder that contains the SavedModel's.
TRAINING_REPORT_FILE = "training_report.json"

#: The wide part's weights, in readable form; in the same folder.
WIDE_WEIGHTS_FILE = "wide_weights.md"


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class TrainingReport:
    """The report of a training, `training_report.json` in a Model artifact.

    Attributes:
      tuned: The settings that the Tuner has chosen, by their place in the config; empty without a search.
      settings: The sections `model` and `training` that the model was trained with: the tuned settings, and numbers
        where the config's values follow from the number of training examples; empty in reports of 0.2.0.
      num_steps: The number of mini-batches.
      num_examples: The number of training examples, without those that are left out.
      num_withheld_examples: The number of training examples left out, as they can share their label with an evaluation
        example of the same span.
      num_held_out_examples: The number of training examples left out, as early stopping validates on them.
      num_trained_examples: The examples of all epochs together: fewer than `num_examples` × `num_epochs` if negatives
        are drawn.
      num_epochs: The number of epochs.
      exported_epoch: The epoch, from 1, whose weights are exported.
      seconds: The duration of the training.
      examples_per_second: The speed of the training steps, while the reference models are fitted in the same process.
      resumed_at: The steps at which the training resumed after it was killed.
      validation: The quality of the exported epoch, with the bias corrected.
      epochs: All epochs.
      vocabulary_sizes: The number of tokens, by vocabulary.
      wide_table_sizes: The number of rows, by table of the wide part.
      wide_non_zero_rows: The number of rows whose weight is not zero, by table of the wide part.
      signatures: The SavedModel's signatures.
      absent_signatures: By ranking signature that the model lacks, the reason.
      warm_started_from: The previous model's SavedModel folder; None after a cold start.
      warm_start: What the warm start carried over.
      references_left_out: By reference model that was not fitted, the reason; empty in a report of an earlier release.
      references_seconds: The time that the reference models took, beside the training; None in a report of an earlier
        release.
      position: What was learned of a feature with `at_serving`; None without one, and in a report of an earlier
        release.
      schema_version: The version of this dataclass's schema.
    """

    tuned: Mapping[str, JsonValue]
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    num_steps: int
    num_examples: int
    num_withheld_examples: int = 0
    num_held_out_examples: int = 0
    num_trained_examples: int
    num_epochs: int
    exported_epoch: int
    seconds: FloatOrNaN
    examples_per_second: FloatOrNaN
    resumed_at: tuple[int, ...]
    validation: Metrics
    epochs: tuple[Epoch, ...]
    vocabulary_sizes: Mapping[str, int]
    wide_table_sizes: Mapping[str, int]
    wide_non_zero_rows: Mapping[str, int]
    signatures: tuple[str, ...]
    absent_signatures: Mapping[str, str]
    warm_started_from: str | None
    warm_start: WarmStartReport
    references_left_out: Mapping[str, str] = Field(default_factory=dict)
    references_seconds: float | None = None
    position: LearnedPositions | None = None
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """Returns the report as JSON."""
        return _DOCUMENT.to_json(self)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> TrainingReport:
        """Reads a report; raises InputError for another text, which it says was found at `where`."""
        return _DOCUMENT.from_json(text, where)


_DOCUMENT = Document(TrainingReport, "a training report")


def read_training_report(model_uri: str) -> TrainingReport:
    """Reads the report in a Model artifact's folder; raises InputError if there is none, or it is damaged."""
    import tensorflow as tf  # takes 4 s, which those that only use the class should not

    path = os.path.join(model_uri, TRAINING_REPORT_FILE)
    if not tf.io.gfile.exists(path):
        raise InputError(f"a trained model must have a training report. Received: no file {path}")
    with tf.io.gfile.GFile(path, "rb") as file:
        return TrainingReport.from_json(file.read(), path)
