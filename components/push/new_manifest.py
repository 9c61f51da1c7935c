"""Makes the manifest of a candidate model from the push's inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from tfx import types

# Not in `tfx.v1`, as of TFX 1.21.0: docs/reference/private_uses.md
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.artifact_types import Artifacts
from components.artifacts import LATE
from components.evaluation.results import EvaluationResult
from components.gate_records import GateRecord
from components.model_store.identity import versions_with
from components.model_store.manifest import Baseline, Manifest, Metrics
from components.model_store.served_models import place_of
from components.model_store.versions import history
from components.push.warmup import list_signatures
from components.quality_gate.inputs import QualityInputs
from components.quality_gate.rules import becomes_anchor
from transform.config.config import Config
from transform.ranking import absent_signatures


def new_manifest(
    input_dict: Artifacts,
    exec_properties: dict[str, Any],
    run_id: str | None,
    whole: EvaluationResult,
    record: GateRecord,
) -> Manifest:
    """Makes a candidate model's manifest, without what the store adds to it.

    Args:
      input_dict: The Pusher's inputs.
      exec_properties: The Pusher's parameters.
      run_id: The run's name.
      whole: The Evaluator's results over all examples.
      record: The quality gate's record.
    """
    model = artifact_utils.get_single_instance(input_dict["model"])
    config = Config.from_json(exec_properties["config"])
    return Manifest(
        model_uri=model.uri,
        model_id=model.id,
        run_id=run_id,
        spans=list_spans(input_dict["examples"]),
        config_fingerprint=hashlib.sha256(config.to_json().encode()).hexdigest(),
        code_fingerprint=exec_properties["code_fingerprint"],
        baseline=_baseline(input_dict.get("baseline_model", []), exec_properties["serving_root"]),
        signatures=tuple(sorted(list_signatures(path_utils.serving_model_path(model.uri)))),
        absent_signatures=absent_signatures(config),
        anchor=_next_anchor(model.uri, record),
        metrics=Metrics(dict(whole.metrics), dict(whole.baseline)),
    )


def list_spans(window: Sequence[types.Artifact]) -> tuple[int, ...]:
    """Returns the spans of a window, ascending, without those of which it has only the completed tail."""
    return tuple(sorted(a.get_int_custom_property("span") for a in window if not a.get_int_custom_property(LATE)))


def _baseline(models: list[types.Artifact], serving_root: str) -> Baseline | None:
    """Returns the model, at most one, that the candidate model was compared with."""
    for served in models:
        place, folder = place_of(served), path_utils.serving_model_path(served.uri)
        of_model = versions_with(history(serving_root), place, folder)
        return Baseline(place, max(of_model, default=None))
    return None


def _next_anchor(model_uri: str, record: GateRecord) -> str:
    """Returns the URI of the anchor from this push on: the model itself, or the anchor that it was compared with."""
    current = QualityInputs.from_json(record.inputs)
    if current.anchor is None or becomes_anchor(current, record.findings):
        return model_uri
    return current.anchor.model_uri
