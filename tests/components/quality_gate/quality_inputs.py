"""Hand-written inputs of the quality gate's rules."""

from __future__ import annotations

from collections.abc import Mapping

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import Estimate, EvaluationResult
from components.quality_gate.inputs import QualityInputs, Rival

METRICS = {"auc": 0.7, "logloss": 0.25, "calibration": 1.0, "mean_label": 0.07}


def against_anchor(auc: float, error: float = 0.003, *, uri: str = "m/0", logloss: float = 0.0) -> Rival:
    differences = {"auc": PairedDifference(auc, error), "logloss": PairedDifference(logloss, 0.0005)}
    return Rival(uri, 1, dict(METRICS), differences)


def inputs(
    uri: str = "m/9",
    anchor: Rival | None = None,
    *,
    recipe: str = "one",
    serving: str = "",
    own: dict[str, float] | None = None,
    unseen: dict[str, float] | None = None,
    positives: int = 1400,
    change: Estimate | None = None,
    slices: Mapping[str, EvaluationResult] | None = None,
) -> QualityInputs:
    whole = EvaluationResult(
        num_examples=20_000,
        metrics={**METRICS, **(own or {})},
        baseline={**METRICS, **(unseen or {})} if serving else {},
        changes={} if change is None else {"auc": change},
        num_positives=positives,
        num_units=2000,
    )
    return QualityInputs(uri, recipe, serving, {"": whole, **(slices or {})}, anchor)
