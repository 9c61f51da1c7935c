"""The QualityGate component: runs after the Evaluator, and judges a model by this span and the spans before it."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.components.evaluator import constants
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components import gate_records, storage
from components.artifact_types import Artifacts, GateRecord
from components.evaluation.metrics.bootstrap import Array
from components.evaluation.metrics.paired import PairedDifference, compute_metrics, differences
from components.evaluation.metrics.score_values import score_values
from components.evaluation.metrics.slope import calibration_slope
from components.evaluation.metrics_files import read_measured
from components.evaluation.results import BASELINE, read_written
from components.evaluation.scoring.kept_scores import kept_scores
from components.evaluation.scoring.scores import Rows, ScoringError, checked_scores, compute_scores, read_rows
from components.execution_types import recorded_as
from components.model_store.served_models import find_version, place_of, why_not_comparable
from components.quality_gate.inputs import AucFalls, QualityInputs, ReferenceResult, Rival, earlier_spans
from components.quality_gate.judgement import GATE, LEAST_SLICE_POSITIVES
from components.quality_gate.permutation import auc_falls
from components.quality_gate.rules import decide
from components.quality_gate.too_good import MAX_AUC_RISE
from components.spec_component import SpecComponent
from transform.config.component_settings import QualitySettings
from transform.config.evaluation import split_slice
from transform.errors import InputError
from transform.example_keys import REQUEST_ID
from transform.feature import IMPRESSIONS
from transform.files.reference_scores import ReferenceScores, read_reference_scores


class QualityGateSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of QualityGate."""

    PARAMETERS = {
        "config": ExecutionParameter(type=str),
        "recipe": ExecutionParameter(type=str),
        "serving_root": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "serving_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "anchor_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "records": ChannelParameter(type=GateRecord, optional=True),
    }
    OUTPUTS = {
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "record": ChannelParameter(type=GateRecord),
    }


class QualityGateExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Compares the candidate model with the anchor, decides, and blesses the model or not."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        (blessing,), (artifact,) = output_dict["blessing"], output_dict["record"]
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        span = examples.get_int_custom_property("span")
        artifact.set_string_custom_property(gate_records.GATE, GATE)
        artifact.set_int_custom_property(gate_records.SPAN, span)
        record = gate_records.GateRecord(GATE, span, {})
        if input_dict.get("model"):
            config = QualitySettings.from_json(exec_properties["config"])
            current = _measured(input_dict, config, exec_properties["recipe"], exec_properties["serving_root"])
            earlier = earlier_spans(gate_records.read_records(a.uri for a in input_dict.get("records", [])))
            found = decide(current, span, earlier, config.quality, config.evaluation)
            if any(finding.rule == MAX_AUC_RISE and finding.value is not None for finding in found):  # a rise or a lead
                current = _with_falls_of_anchor(current, input_dict, config)
                found = decide(current, span, earlier, config.quality, config.evaluation)
            record = gate_records.GateRecord(GATE, span, current.to_json(), tuple(found))
        artifact.set_int_custom_property(gate_records.EMPTY, int(not record.inputs))
        gate_records.write_record(artifact.uri, record)
        for finding in record.findings:
            logging.info("quality gate: %s: %s", finding.severity, finding.sentence)
        blessed = bool(record.inputs) and not record.of_severity("refuse")
        blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))
        file = constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME
        storage.write_text(os.path.join(blessing.uri, file), "")


def _measured(input_dict: Artifacts, config: QualitySettings, recipe: str, serving_root: str) -> QualityInputs:
    """Returns the gate's inputs: the Evaluator's results, and the comparison with the anchor."""
    model = artifact_utils.get_single_instance(input_dict["model"])
    examples = artifact_utils.get_single_instance(input_dict["examples"])
    features = config.spec.example_names
    rows = _rows(examples, config)
    evaluated = Evaluated(artifact_utils.get_single_uri(input_dict["evaluation"]), examples)
    anchor = None
    if input_dict.get("anchor_model"):
        rival = artifact_utils.get_single_instance(input_dict["anchor_model"])
        version = find_version(serving_root, rival)
        if problem := why_not_comparable(serving_root, version, features):
            anchor = Rival(place_of(rival), version, problem=problem)
        else:
            anchor = _compare(rows, evaluated, model, rival, version)
    serving, not_compared, tied = "", "", None
    if input_dict.get("serving_model"):
        served = artifact_utils.get_single_instance(input_dict["serving_model"])
        serving = place_of(served)
        not_compared = why_not_comparable(serving_root, find_version(serving_root, served), features)
        if (written := read_written(evaluated.uri)) is not None:
            not_compared = not_compared or written.problems.get(BASELINE, "")
        if not not_compared:
            try:
                tied = score_values(rows.label, evaluated.scores(served, rows)).tied
            except ScoringError as error:
                not_compared = str(error)
    slope, values, falls, references, by_slice, problem = None, None, None, {}, {}, ""
    try:
        own = evaluated.scores(model, rows)
        slope, values = calibration_slope(rows.label, rows.weight, rows.unit, own), score_values(rows.label, own)
        falls = _auc_falls(rows, config, model)
        if (scored := _reference_scores(rows, model)) is not None:
            references = _references(rows, own, scored)
            if rows.slices:
                by_slice = {name: _by_slice(rows, own, other) for name, other in scored.scores.items()}
    except (ScoringError, InputError) as error:  # they refuse nothing
        problem = str(error)
    measured = read_measured(evaluated.uri)
    if not_compared:
        measured = {place: of_slice.without_baseline() for place, of_slice in measured.items()}
    return QualityInputs(
        model_uri=place_of(model),
        recipe=recipe,
        serving_uri=serving,
        measured=measured,
        anchor=anchor,
        not_compared=not_compared,
        references=references,
        references_problem=problem,
        references_by_slice=by_slice,
        calibration_slope=slope,
        auc_falls=falls,
        score_values=values,
        serving_tied=tied,
    )


def _auc_falls(rows: Rows, config: QualitySettings, model: types.Artifact) -> AucFalls | None:
    """Measures by how much the AUC of a model falls without each feature."""
    features = {f.name: tuple(filter(None, (f.name, f.renamed_from))) for f in config.spec.features}
    exempt = {config.user, config.evaluation.gauc_by}
    if config.item_id is not None:
        exempt |= {f.name for f in config.spec.features if f.side == "item" and f.source != IMPRESSIONS}
        exempt.add(config.item_id.name)
    found = auc_falls(rows, features, path_utils.serving_model_path(model.uri))
    return found and dataclasses.replace(found, exempt=tuple(name for name in features if name in exempt))


def _with_falls_of_anchor(current: QualityInputs, input_dict: Artifacts, config: QualitySettings) -> QualityInputs:
    """Adds by how much the AUC of an anchor that is compared falls, on the same rows, without each feature."""
    if current.auc_falls is None or current.anchor is None or current.anchor.problem:
        return current
    rows = _rows(artifact_utils.get_single_instance(input_dict["examples"]), config)
    anchor = _auc_falls(rows, config, artifact_utils.get_single_instance(input_dict["anchor_model"]))
    assert anchor is not None, "the rows are those of the candidate model"
    falls = dataclasses.replace(current.auc_falls, anchor_auc=anchor.auc, anchor_falls=anchor.falls)
    return dataclasses.replace(current, auc_falls=falls)


class Evaluated(NamedTuple):
    """An evaluation, in which the models' scores may have been kept.

    Attributes:
      uri: The folder of its results.
      examples: The examples, whose evaluation split was scored.
    """

    uri: str
    examples: types.Artifact

    def scores(self, model: types.Artifact, rows: Rows) -> Array:
        """Returns a model's scores of the split's rows, float64 `[rows]`; scores them if they were not kept.

        Raises:
          ScoringError: If the model cannot score the rows.
        """
        saved_model = path_utils.serving_model_path(model.uri)
        kept = kept_scores(self.uri, saved_model, [artifact_utils.get_split_uri([self.examples], "eval")])
        if kept is None or len(kept) != len(rows.label):
            return compute_scores(saved_model, rows.batches())
        return checked_scores(kept, saved_model)


def _compare(
    rows: Rows, evaluated: Evaluated, model: types.Artifact, rival: types.Artifact, version: int | None
) -> Rival:
    """Compares a model's and a rival's scores of the same rows; the rival's `problem` is that one cannot score them."""
    try:
        own, other = (evaluated.scores(m, rows) for m in (model, rival))
    except ScoringError as error:
        return Rival(place_of(rival), version, problem=str(error))
    found = differences(rows.label, rows.weight, rows.unit, own, other)
    return Rival(place_of(rival), version, compute_metrics(rows.label, rows.weight, other), found)


def _reference_scores(rows: Rows, model: types.Artifact) -> ReferenceScores | None:
    """Returns the scores of the reference models that a model's trainer has written; None if there are none.

    Raises:
      ScoringError: If these are not scores of the same rows.
    """
    found = read_reference_scores(model.uri)
    if found is not None and not np.array_equal(found.label, rows.label):
        raise ScoringError(
            "the reference models' scores must be of the evaluation rows, in their order. "
            f"Received: {len(found.label):,} scores with other labels than the {len(rows.label):,} rows"
        )
    return found


def _references(rows: Rows, own: Array, scored: ReferenceScores) -> dict[str, ReferenceResult]:
    """Compares a model, by its scores of the rows, with the reference models."""
    scores = {name: of_model.astype(np.float64) for name, of_model in scored.scores.items()}
    return {
        name: ReferenceResult(
            scored.num_rows,
            compute_metrics(rows.label, rows.weight, other),
            differences(rows.label, rows.weight, rows.unit, own, other),
        )
        for name, other in scores.items()
    }


def _by_slice(rows: Rows, own: Array, other: Array) -> dict[str, dict[str, PairedDifference]]:
    """Compares two models' scores in each slice with enough rows of either label."""
    found = {}
    for place, some in rows.slices.items():
        label, weight = rows.label[some], rows.weight[some]
        if np.bincount(label[weight > 0].astype(int), minlength=2).min() >= LEAST_SLICE_POSITIVES:
            scores = own[some], other[some].astype(np.float64)
            found[place] = differences(label, weight, rows.unit[some], *scores)
    return found


def _rows(examples: types.Artifact, config: QualitySettings) -> Rows:
    """Reads the evaluation rows; a row's unit is its user, if configured, or else its request.

    They have slices if a metric is judged in slices by its worsening.
    """
    request = REQUEST_ID if config.sources.impressions.request_id is not None else None
    unit_keys = [name for name in (config.user, request) if name is not None]
    slices: dict[str, tf.DType] = {}
    if any(rule.max_worsening is not None for rule in config.evaluation.slice_thresholds.values()):
        kinds = {name: config.spec.by_name[split_slice(name)[0]].of_kind for name in config.evaluation.slices}
        slices = {name: tf.float32 if kind.holds == "number" else tf.string for name, kind in kinds.items()}
    return read_rows(artifact_utils.get_split_uri([examples], "eval"), unit_keys, slices)


@recorded_as("components.quality_gate.QualityGate")
class QualityGate(SpecComponent):
    """Blesses a model that keeps the bounds on this span and on the last ones; outputs the gate's record.

    Args:
      model: The candidate model; none if infra validation refused it.
      serving_model: The model that serves; none on a first run.
      anchor_model: The anchor; none on a first run.
      evaluation: The Evaluator's metrics.
      examples: The run's own examples, whose evaluation split is scored.
      records: This gate's records of earlier spans.
      config: Its sections of the config, as JSON.
      recipe: A digest of the config and the code that the model was trained with.
      serving_root: The serving folder.
      code_fingerprint: The fingerprint of the gate's code.
    """

    SPEC_CLASS = QualityGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(QualityGateExecutor)
