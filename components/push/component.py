"""The Pusher component: pushes a model that the gates accepted as the next version of a serving folder."""

from __future__ import annotations

from typing import Any

from absl import logging
from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.dsl.components.base import base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components.artifact_types import Artifacts, Catalog, GateRecord
from components.artifacts import MODEL_ID
from components.evaluation.metrics_files import read_measured
from components.execution_types import recorded_as
from components.gate_records import GateRecord as GateRecordContent
from components.gate_records import read_record
from components.infra_validation.requests import raw_requests, select_latest_span
from components.infra_validation.verdict import read_checksums, read_verdict
from components.lineage import FORCE_REASON, NOTE, REFUSAL
from components.model_store.versions import version_path
from components.push.new_manifest import new_manifest
from components.push.push_version import Candidate, Objections, Pushed, PushRefusedError, push, same_as_serving
from components.spec_component import SpecComponent
from components.uncached import UncachedDriver
from transform.config.config import Config
from transform.files.version_layout import CANDIDATE_COUNTS


class PusherSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of Pusher."""

    PARAMETERS = {
        "config": ExecutionParameter(type=str),
        "serving_root": ExecutionParameter(type=str),
        "keep_versions": ExecutionParameter(type=int),
        FORCE_REASON: ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "quality_record": ChannelParameter(type=GateRecord),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "catalog": ChannelParameter(type=Catalog),
    }
    OUTPUTS = {"pushed_model": ChannelParameter(type=standard_artifacts.PushedModel)}


class PusherExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Pushes a model that has both blessings, or that a person forces past the quality gate or a newer model."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        (pushed_model,) = output_dict["pushed_model"]
        pushed_model.set_int_custom_property(MODEL_ID, artifact_utils.get_single_instance(input_dict["model"]).id)
        pushed_model.set_int_custom_property("pushed", 0)
        reason = exec_properties[FORCE_REASON]
        if refused := [key for key in ("model_blessing", "infra_blessing") if not _is_blessed(input_dict[key])]:
            if not reason:
                logging.warning("not pushed: no %s", " and no ".join(refused))
                return
            if "infra_blessing" in refused:
                _refuse(pushed_model, "a push can be forced past the gates on quality, not past infra validation")
                return
        record = read_record(artifact_utils.get_single_uri(input_dict["quality_record"]))
        objections = _objections(input_dict, exec_properties, record)
        try:
            pushed = push(
                self._candidate(input_dict, exec_properties, record),
                exec_properties["serving_root"],
                exec_properties["keep_versions"],
                objections,
            )
        except PushRefusedError as error:
            _refuse(pushed_model, str(error))
            return
        _record(pushed_model, pushed, exec_properties["serving_root"], objections)

    def _candidate(
        self, input_dict: Artifacts, exec_properties: dict[str, Any], record: GateRecordContent
    ) -> Candidate:
        """Reads the model and what its version has beside it from the inputs."""
        config = Config.from_json(exec_properties["config"])
        measured = read_measured(artifact_utils.get_single_uri(input_dict["evaluation"]))
        # TFX 1.21.0 has no public way to read the run's id.
        run_id = self._context.pipeline_run_id if self._context else None
        return Candidate(
            model_path=path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"])),
            manifest=new_manifest(input_dict, exec_properties, run_id, measured[""], record),
            validated=read_checksums(artifact_utils.get_single_uri(input_dict["infra_blessing"])),
            catalog_uri=artifact_utils.get_single_uri(input_dict["catalog"]),
            config_json=exec_properties["config"],
            requests=list(raw_requests(select_latest_span(input_dict["examples"]), "eval", max(CANDIDATE_COUNTS))),
            item_id=config.item_id.name if config.item_id else None,
        )


def _objections(input_dict: Artifacts, exec_properties: dict[str, Any], record: GateRecordContent) -> Objections:
    """Reads from the inputs what speaks against the push."""
    unchanged = ""
    if not Config.from_json(exec_properties["config"]).push.unchanged:
        verdict = read_verdict(artifact_utils.get_single_uri(input_dict["infra_blessing"]))
        unchanged = same_as_serving(verdict.largest_change)
    refusals = tuple(finding.sentence for finding in record.of_severity("refuse"))
    return Objections(refusals, unchanged, exec_properties[FORCE_REASON])


def _record(pushed_model: types.Artifact, pushed: Pushed, serving_root: str, objections: Objections) -> None:
    """Writes the result of a push into its artifact."""
    pushed_model.set_int_custom_property("pushed", 1)
    if pushed.forced is not None:
        pushed_model.set_string_custom_property(FORCE_REASON, pushed.forced.reason)
        by_push = [refusal for refusal in pushed.forced.refusals if refusal not in objections.refusals]
        pushed_model.set_string_custom_property(REFUSAL, "; ".join(by_push))
    pushed_model.set_int_custom_property("version", pushed.version)
    idle = objections.force_reason and pushed.forced is None
    notes = (pushed.note, "`--force-push` overruled nothing: nothing refused the model" if idle else "")
    pushed_model.set_string_custom_property(NOTE, "; ".join(filter(None, notes)))
    pushed_model.set_string_custom_property("pushed_destination", version_path(serving_root, pushed.version))


def _is_blessed(blessing: list[types.Artifact]) -> bool:
    return bool(artifact_utils.get_single_instance(blessing).get_int_custom_property("blessed"))


def _refuse(pushed_model: types.Artifact, why: str) -> None:
    pushed_model.set_string_custom_property(REFUSAL, why)
    logging.warning("not pushed: %s", why)


@recorded_as("components.push.Push")
class Pusher(SpecComponent):
    """Pushes a blessed model as the next version of a serving folder.

    Its output `pushed_model` has the custom properties `pushed` (0 or 1), `model_id`, `version` and
    `pushed_destination`; `refusal` if the push itself refused the model; `force_reason` if the push was forced; `note`
    with a remark. It is never taken from the cache: only the serving folder shows which versions are complete.

    Args:
      model: The trained model.
      baseline_model: The baseline that the model was compared with; none on a first run.
      evaluation: The Evaluator's metrics, for the manifest.
      quality_record: The quality gate's record: the anchor, and the refusals that a forced push overrides.
      model_blessing: The quality gate's blessing.
      infra_blessing: The infra validation's blessing.
      examples: The window that the model was trained on, for the manifest and the warm-up records.
      catalog: The catalog snapshot, which is copied into the version.
      config: The config as JSON, which is copied into the version.
      serving_root: The serving folder.
      keep_versions: The number of highest versions to keep in it.
      force_reason: Why a model is pushed although the quality gate or the push refuses it; empty without force.
      code_fingerprint: The fingerprint of the project's code, for the manifest.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PusherExecutor)
    DRIVER_CLASS = UncachedDriver
