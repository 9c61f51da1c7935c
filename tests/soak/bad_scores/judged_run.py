"""One real run's Evaluator and gate on quality, called again with other scores of the candidate model."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import tensorflow as tf
from tfx import types
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from components.artifact_types import Artifacts, GateRecord
from components.evaluation.executor import ColumnExecutor
from components.evaluation.results import BASELINE, MODEL
from components.evaluation.scoring.kept_scores import keep_scores, kept_scores
from components.evaluation.scoring.scores import compute_scores
from components.examples.reading import example_batches, split_files
from components.gate_records import Finding, read_record
from components.gate_records import GateRecord as Record
from components.quality_gate.component import QualityGateExecutor
from components.quality_gate.inputs import QualityInputs
from components.quality_gate.judgement import GATE
from pipeline.nodes.settings import RunSettings
from pipeline.report.references import unbeaten
from pipeline.runner.run import run
from pipeline.workspace import Workspace, new_run_id
from transform.config.config import Config

_BATCH_SIZE = 4096


class _Call(NamedTuple):
    """What an executor was called with."""

    executor: Any
    inputs: Artifacts
    outputs: Artifacts
    properties: dict[str, Any]


@contextmanager
def _recorded(executor: type) -> Iterator[list[_Call]]:
    """In this context, the calls of an executor are appended to a list."""
    calls: list[_Call] = []
    do = executor.Do  # type: ignore[attr-defined]

    def recorded(self: Any, inputs: Artifacts, outputs: Artifacts, properties: dict[str, Any]) -> None:
        calls.append(_Call(self, inputs, outputs, dict(properties)))
        do(self, inputs, outputs, properties)

    with mock.patch.object(executor, "Do", recorded):
        yield calls


def _warned(record: Record) -> tuple[Finding, ...]:
    """Returns the findings, and as warnings what the run says of reference models that the model is not better than."""
    inputs = QualityInputs.from_json(record.inputs)
    rows = inputs.whole.num_examples
    said = (
        Finding(GATE, "reference models", "warn", one.sentence.partition(":")[0], None, None, rows, one.sentence)
        for one in unbeaten(inputs.references)
    )
    return (*record.findings, *said)


@dataclasses.dataclass(frozen=True)
class JudgedRun:
    """The Evaluator's and the gate's calls in a run.

    Attributes:
      findings: What the gate found in the run.
    """

    evaluator: _Call
    gate: _Call
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, config: Config, data: Path, workspace: Path, span: int) -> JudgedRun:
        """Runs the pipeline on a span; a gate on data that would stop it lets the span through."""
        settings = RunSettings(str(data), Workspace.at(workspace), span, accept_reason="to judge its model")
        with _recorded(ColumnExecutor) as evaluations, _recorded(QualityGateExecutor) as gates:
            run(config, settings, new_run_id(), lambda event: None)
        (gate,) = gates
        uri = artifact_utils.get_single_uri(gate.inputs["evaluation"])
        (evaluator,) = (c for c in evaluations if artifact_utils.get_single_uri(c.outputs["evaluation"]) == uri)
        return cls(evaluator, gate, _warned(read_record(artifact_utils.get_single_uri(gate.outputs["record"]))))

    @property
    def model(self) -> types.Artifact:
        """The candidate model."""
        return artifact_utils.get_single_instance(self.gate.inputs["model"])

    @property
    def saved_model(self) -> str:
        """The folder of the candidate model's SavedModel."""
        return str(path_utils.serving_model_path(self.model.uri))

    @property
    def _split(self) -> str:
        return str(artifact_utils.get_split_uri(self.gate.inputs["examples"], "eval"))

    def kept(self, model: types.Artifact) -> np.ndarray:
        """Returns the scores of the evaluation rows that the run has kept of a model, float32 `[rows]`."""
        uri = artifact_utils.get_single_uri(self.gate.inputs["evaluation"])
        found = kept_scores(uri, path_utils.serving_model_path(model.uri), [self._split])
        assert found is not None, f"the run must have kept the scores of {model.uri}"
        return found

    def examples(self, features: dict[str, tf.DType]) -> dict[str, np.ndarray]:
        """Returns features of the evaluation rows, in the order of their scores; b"" or NaN where one is missing."""
        kinds = {
            name: tf.io.FixedLenFeature([], dtype, {tf.string: "", tf.int64: 0}.get(dtype, np.nan))
            for name, dtype in features.items()
        }
        parts = [tf.io.parse_example(b, kinds) for b in example_batches(split_files(self._split), _BATCH_SIZE)]
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in features}

    def scores_of(self, saved_model: str) -> np.ndarray:
        """Scores the evaluation rows with a SavedModel, float64 `[rows]`."""
        return compute_scores(saved_model, example_batches(split_files(self._split), _BATCH_SIZE))

    def judged(self, scores: np.ndarray, serving: np.ndarray) -> tuple[Finding, ...]:
        """Returns the gate's findings if the candidate model and the one that serves had these scores, `[rows]` each.

        An anchor that is the same model as serves has its scores.
        """
        (served,) = self.evaluator.inputs[BASELINE]
        with tempfile.TemporaryDirectory() as folder:
            for model, of_model in ((self.model, scores), (served, serving)):
                saved_model = path_utils.serving_model_path(model.uri)
                keep_scores(folder, saved_model, [self._split], functools.partial(list, [of_model.astype(np.float32)]))
            return self._judged(self.model, folder)

    def judged_model(self, model_uri: str) -> tuple[Finding, ...]:
        """Returns the gate's findings if another model of the run's span were the candidate model."""
        model = standard_artifacts.Model()
        model.uri = model_uri
        return self._judged(model, artifact_utils.get_single_uri(self.gate.inputs["evaluation"]))

    def _judged(self, model: types.Artifact, earlier_evaluation: str) -> tuple[Finding, ...]:
        with tempfile.TemporaryDirectory() as folder:
            earlier, evaluation = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelEvaluation()
            blessing, record = standard_artifacts.ModelBlessing(), GateRecord()
            earlier.uri, evaluation.uri = earlier_evaluation, f"{folder}/evaluation"
            blessing.uri, record.uri = f"{folder}/blessing", f"{folder}/record"
            inputs = {**self.evaluator.inputs, MODEL: [model], "earlier_evaluation": [earlier]}
            call = self.evaluator.executor
            type(call).Do(call, inputs, {"evaluation": [evaluation]}, self.evaluator.properties)
            inputs = {**self.gate.inputs, "model": [model], "evaluation": [evaluation]}
            call = self.gate.executor
            type(call).Do(call, inputs, {"blessing": [blessing], "record": [record]}, self.gate.properties)
            return _warned(read_record(record.uri))
