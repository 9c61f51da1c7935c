"""The Pusher component: pushes a model that the gates accepted as the next version of a serving folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from components import storage
from components.artifacts import CHECKSUMS_FILE, MODEL_ID, VERDICT_FILE, Catalog, GateRecord
from components.evaluation.results import EvaluationResult, read_measured
from components.execution_types import recorded_as
from components.fence import check_held
from components.gate_records import GateRecord as GateRecordContent
from components.gate_records import read_record
from components.infra_validation.requests import of_latest_span, raw_requests
from components.model_store.anchor import ANCHOR
from components.model_store.identity import is_same_model, versions_with
from components.model_store.retention import remove_old
from components.model_store.served_models import place_of
from components.model_store.versions import (
    ABSENT_SIGNATURES,
    BASELINE,
    CATALOG_FOLDER,
    CONFIG_FILE,
    EXTRA_ASSETS,
    FORCED,
    MODEL_URI,
    SIGNATURES,
    SPANS,
    DamagedVersionError,
    Manifest,
    add_version,
    checksums,
    differences,
    history,
    locked,
    read_manifest,
    user,
    verify,
    version_path,
    versions,
)
from components.push.refusals import (
    ChangedModelError,
    OlderModelError,
    StaleBaselineError,
    UnchangedModelError,
    older_than_serving,
    same_as_serving,
)
from components.push.warmup import BATCH_SIZES, signatures_of, write_warmup
from components.quality_gate.rules import QualityInputs, becomes_anchor
from components.uncached import UncachedDriver
from transform.config.config import Config
from transform.ranking import absent_signatures

#: A custom property of a PushedModel: why the push itself refused the model, forced or not.
REFUSAL = "refusal"

#: The parameter, and the custom property of a PushedModel: why a model was pushed although a gate refused it.
FORCE_REASON = "force_reason"

#: A custom property of a PushedModel: a remark about the version; empty for an ordinary push.
NOTE = "note"


class Pushed(NamedTuple):
    """The result of a push.

    Attributes:
      version: The model's version.
      note: A remark about the version; empty for an ordinary push.
    """

    version: int
    note: str = ""


def push(
    model_path: str,
    catalog_uri: str,
    serving_root: str,
    config_json: str,
    lineage: Manifest,
    keep_versions: int,
    requests: Sequence[bytes],
    validated: Mapping[str, str],
    item_id: str | None = None,
    refusals: Sequence[str] = (),
    force_reason: str = "",
    unchanged: str = "",
) -> Pushed:
    """Copies a SavedModel to the next version of a serving folder, then removes superfluous versions.

    Args:
      model_path: The SavedModel.
      catalog_uri: The Catalog artifact; its tables are copied into the version.
      serving_root: The serving folder.
      config_json: The config that the model was trained with.
      lineage: The manifest's entries about the model's origin; `model_uri` is the model's URI.
      keep_versions: The number of highest versions to keep.
      requests: Serialized raw tf.Examples for the warm-up records; if empty, the version has no warm-up records.
      validated: The checksums of the SavedModel's files as they were validated.
      item_id: The feature that is the item's id, for warm-up records that rank.
      refusals: The quality gate's refusals, one sentence each; if not empty, `force_reason` is required.
      force_reason: Why the model is pushed although it was refused; recorded in the manifest, with the refusals.
      unchanged: Why the model counts as unchanged, which requires `force_reason`; empty if it does not.

    Returns:
      The version: one above the highest. If this model is a version already (its push was killed after its work was
      done, or only its gates ran again), that version: an old model never becomes the newest. Checksums of its files,
      not its URI, decide whether it is. A model that serves, but whose files are no longer those that were pushed, is
      pushed again.

    Raises:
      StaleBaselineError: If `baseline` in the lineage is not the model that serves.
      UnchangedModelError: If `unchanged` is not empty, and no reason is given.
      OlderModelError: If the model that serves was trained on later spans, and no reason is given.
      ChangedModelError: If the files, or their copies, are not those that were validated.
      LostClaimError: If another process has claimed the workspace meanwhile.
    """
    name = os.path.basename(serving_root.rstrip("/"))

    def fill(folder: str) -> None:
        storage.copy_folder(model_path, folder)
        _check_validated(validated, folder, model_path)
        extra = os.path.join(folder, EXTRA_ASSETS)
        storage.copy_folder(catalog_uri, os.path.join(extra, CATALOG_FOLDER))
        storage.write_text(os.path.join(extra, CONFIG_FILE), config_json)
        if requests:
            write_warmup(folder, name, requests, item_id)

    _check_validated(validated, model_path, model_path)
    with locked(serving_root):
        check_held()
        own = versions_with(serving_root, lineage[MODEL_URI], model_path)
        wrong = _what_is_wrong(serving_root, own[-1]) if own else ""
        newest = max(versions(serving_root), default=0)
        again = wrong != "" and own[-1] >= newest
        if own and not again:
            version = own[-1]
            older = f"pushed before this run: version {newest} serves" if newest > version else ""
            wrong = "; ".join(filter(None, (older, wrong)))
        else:
            others = {v: m for v, m in history(serving_root).items() if MODEL_URI in m and v not in own}
            _check_baseline(serving_root, lineage.get(BASELINE), others)
            reasons = {OlderModelError: older_than_serving(serving_root, lineage), UnchangedModelError: unchanged}
            for error, why in reasons.items():
                if why and not force_reason:
                    raise error(why)
            refusals = [*refusals, *filter(None, reasons.values())]
            forced = {FORCED: {"by": user(), "reason": force_reason, "refusals": refusals}} if refusals else {}
            version = add_version(serving_root, fill, {**lineage, **forced})
            wrong = f"in place of version {own[-1]}: {wrong}" if again else ""
        if removed := remove_old(serving_root, keep_versions):
            logging.info("removed the versions %s (%s)", removed, serving_root)
        return Pushed(version, wrong)


def _what_is_wrong(serving_root: str, version: int) -> str:
    """Returns how a pushed version was changed or removed since; empty if it is intact."""
    if version not in versions(serving_root):
        return "removed since, as newer versions were pushed"
    try:
        verify(version_path(serving_root, version))
    except DamagedVersionError as error:
        return str(error)
    return ""


def _check_validated(validated: Mapping[str, str], folder: str, model_path: str) -> None:
    """Raises ChangedModelError if a folder's files, a model's own or a copy's, are not those that were validated."""
    if wrong := differences(validated, checksums(folder)):
        raise ChangedModelError(
            "a pushed model's files must be those that infra validation has run. "
            f"Received: {', '.join(wrong)} ({model_path})"
        )


def _check_baseline(
    serving_root: str, baseline: Mapping[str, Any] | None, others: Mapping[int, Mapping[str, Any]]
) -> None:
    """Raises StaleBaselineError if a candidate model was compared with another model than the one that serves.

    Args:
      serving_root: The serving folder.
      baseline: The URI and the version of the baseline that the candidate model was compared with.
      others: The manifests of the pushed versions of other models than the candidate, by version, oldest first.
    """
    if not baseline:
        return
    version = max(others, default=None)
    serving = dict(others[version]) if version is not None else {}
    held_against = dict(others.get(baseline["version"], {MODEL_URI: baseline[MODEL_URI]}))
    if not is_same_model(held_against, serving):
        now = "none" if version is None else f"{serving[MODEL_URI]}, version {version}"
        raise StaleBaselineError(
            "a candidate must be held against the model that serves, and another one serves by now; "
            f"run again. Received: {baseline[MODEL_URI]}, now {now} ({serving_root})"
        )


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

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        (pushed_model,) = output_dict["pushed_model"]
        model = artifact_utils.get_single_instance(input_dict["model"])
        pushed_model.set_int_custom_property(MODEL_ID, model.id)
        pushed_model.set_int_custom_property("pushed", 0)
        reason = exec_properties[FORCE_REASON]
        if refused := [key for key in ("model_blessing", "infra_blessing") if not _is_blessed(input_dict[key])]:
            if not reason:
                logging.warning("not pushed: no %s", " and no ".join(refused))
                return
            if "infra_blessing" in refused:
                _refuse(pushed_model, "a push can be forced past the gates on quality, not past infra validation")
                return
        config = Config.from_json(exec_properties["config"])
        infra_blessing = artifact_utils.get_single_instance(input_dict["infra_blessing"])
        measured = read_measured(artifact_utils.get_single_instance(input_dict["evaluation"]).uri)
        record = read_record(artifact_utils.get_single_uri(input_dict["quality_record"]))
        refusals = [finding.sentence for finding in record.of_severity("refuse")]
        unchanged = (
            "" if config.push.unchanged else same_as_serving(_read_json(infra_blessing, VERDICT_FILE)["largest_change"])
        )
        try:
            version, note = push(
                path_utils.serving_model_path(model.uri),
                artifact_utils.get_single_instance(input_dict["catalog"]).uri,
                exec_properties["serving_root"],
                exec_properties["config"],
                self._lineage(input_dict, exec_properties, measured[""]),
                exec_properties["keep_versions"],
                list(raw_requests(of_latest_span(input_dict["examples"]), "eval", max(BATCH_SIZES))),
                _read_json(infra_blessing, CHECKSUMS_FILE),
                config.item_id.name if config.item_id else None,
                refusals,
                reason,
                unchanged,
            )
        except (StaleBaselineError, OlderModelError, UnchangedModelError, ChangedModelError) as error:
            _refuse(pushed_model, str(error))
            return
        pushed_model.set_int_custom_property("pushed", 1)
        place = version_path(exec_properties["serving_root"], version)
        if forced := read_manifest(place).get(FORCED):
            pushed_model.set_string_custom_property(FORCE_REASON, forced["reason"])
            by_push = [refusal for refusal in forced["refusals"] if refusal not in refusals]
            pushed_model.set_string_custom_property(REFUSAL, "; ".join(by_push))
        pushed_model.set_int_custom_property("version", version)
        pushed_model.set_string_custom_property(NOTE, note)
        pushed_model.set_string_custom_property("pushed_destination", place)

    def _lineage(
        self, input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any], whole: EvaluationResult
    ) -> Manifest:
        """Returns the manifest's entries about the model's origin."""
        model = artifact_utils.get_single_instance(input_dict["model"])
        config = Config.from_json(exec_properties["config"])
        metrics = {"candidate": dict(whole.metrics), **({"baseline": dict(whole.baseline)} if whole.baseline else {})}
        baseline = None
        for served in input_dict.get("baseline_model", []):
            place = place_of(served)
            of_model = versions_with(exec_properties["serving_root"], place, path_utils.serving_model_path(served.uri))
            baseline = {MODEL_URI: place, "version": max(of_model, default=None)}
        return {
            MODEL_URI: model.uri,
            MODEL_ID: model.id,
            "run_id": self._context.pipeline_run_id if self._context else None,
            SPANS: sorted(a.get_int_custom_property("span") for a in input_dict["examples"]),
            "config_fingerprint": hashlib.sha256(config.identity_json().encode()).hexdigest(),
            "code_fingerprint": exec_properties["code_fingerprint"],
            BASELINE: baseline,
            SIGNATURES: sorted(signatures_of(path_utils.serving_model_path(model.uri))),
            ABSENT_SIGNATURES: absent_signatures(config),
            ANCHOR: _next_anchor(model.uri, read_record(artifact_utils.get_single_uri(input_dict["quality_record"]))),
            "metrics": metrics,
        }


def _next_anchor(model_uri: str, record: GateRecordContent) -> str:
    """Returns the URI of the anchor from this push on: the model itself, or the anchor that it was compared with."""
    current = QualityInputs.from_json(record.inputs)
    if current.anchor is None or becomes_anchor(current, record.findings):
        return model_uri
    return current.anchor.model_uri


def _is_blessed(blessing: list[types.Artifact]) -> bool:
    return bool(artifact_utils.get_single_instance(blessing).get_int_custom_property("blessed"))


def _read_json(infra_blessing: types.Artifact, name: str) -> dict[str, Any]:
    """Reads a JSON file that infra validation has written."""
    text = storage.read_text(os.path.join(infra_blessing.uri, name))
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def _refuse(pushed_model: types.Artifact, why: str) -> None:
    pushed_model.set_string_custom_property(REFUSAL, why)
    logging.warning("not pushed: %s", why)


@recorded_as("components.push.Push")
class Pusher(base_component.BaseComponent):  # type: ignore[misc]
    """Pushes a blessed model as the next version of a serving folder.

    Its output `pushed_model` has the custom properties `pushed` (0 or 1), `model_id`, `version` and
    `pushed_destination`; `refusal` if the push itself refused the model; `force_reason` if the push was forced; `note`
    with a remark. It is never taken from the cache: only the serving folder shows which versions are complete.
    """

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PusherExecutor)
    DRIVER_CLASS = UncachedDriver

    def __init__(
        self,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        evaluation: types.BaseChannel,
        quality_record: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        examples: types.BaseChannel,
        catalog: types.BaseChannel,
        config_json: str,
        serving_root: str,
        keep_versions: int,
        force_reason: str,
        code_fingerprint: str,
    ):
        """Declares the component.

        Args:
          model: The trained model.
          baseline_model: The baseline that the model was compared with; none on a first run.
          evaluation: The Evaluator's metrics, for the manifest.
          quality_record: The quality gate's record: the anchor, and the refusals that a forced push overrides.
          model_blessing: The quality gate's blessing.
          infra_blessing: The infra validation's blessing.
          examples: The window that the model was trained on, for the manifest and the warm-up records.
          catalog: The catalog snapshot, which is copied into the version.
          config_json: The config, which is copied into the version.
          serving_root: The serving folder.
          keep_versions: The number of highest versions to keep in it.
          force_reason: Why a model is pushed although the quality gate or the push refuses it; empty without force.
          code_fingerprint: The fingerprint of the project's code, for the manifest.
        """
        super().__init__(
            spec=PusherSpec(
                config=config_json,
                serving_root=serving_root,
                keep_versions=keep_versions,
                force_reason=force_reason,
                code_fingerprint=code_fingerprint,
                model=model,
                baseline_model=baseline_model,
                evaluation=evaluation,
                quality_record=quality_record,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                examples=examples,
                catalog=catalog,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
