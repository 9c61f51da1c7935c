"""Mistakes in a config's section `evaluation`, each with its error message."""

from __future__ import annotations

from typing import Any

from transform.config.evaluation import METRIC_PATTERN

EVALUATION_MISTAKES: list[tuple[list[tuple[str, Any]], str]] = [
    (
        [("evaluation.thresholds", {})],
        "`thresholds` must have at least 1 entries. Received: {} (small.yaml, evaluation.thresholds).",
    ),
    (
        [("evaluation.thresholds.f1", {"min": 0.5})],
        f"`f1` must match the pattern {METRIC_PATTERN}. Received: 'f1' (small.yaml, evaluation.thresholds.f1).",
    ),
    (
        [("evaluation.thresholds.auc", {"max_worsening": 0.1})],
        "a threshold has `min`, `max` or both: `max_worsening` alone would pass any first model "
        "(small.yaml, evaluation.thresholds.auc).",
    ),
    (
        [("evaluation.thresholds.auc", {"min": 0.9, "max": 0.1})],
        "`min` must not be above `max`. Received: 0.9 and 0.1 (small.yaml, evaluation.thresholds.auc).",
    ),
    (
        [("evaluation.thresholds.auc.min", float("nan"))],
        "`min` input should be a finite number. Received: nan (small.yaml, evaluation.thresholds.auc.min).",
    ),
    (
        [("evaluation.thresholds.calibration", {"min": 0.9, "max_worsening": 0.1})],
        "calibration has `min` and `max` only: neither more nor less of it is worse as such (small.yaml, evaluation).",
    ),
    (
        [("evaluation.slices", ["app"]), ("evaluation.slice_thresholds.auc", {})],
        "a slice's threshold has `min`, `max` or `max_worsening` (small.yaml, evaluation.slice_thresholds.auc).",
    ),
    (
        [("evaluation.slice_thresholds.auc", {"max_worsening": 0.1})],
        "`slice_thresholds` needs `slices`: the features by which the examples are sliced (small.yaml, evaluation).",
    ),
    (
        [("evaluation.user", "price")],
        "`evaluation.user` names a categorical feature. Received: 'price'; allowed: ['app'] (small.yaml).",
    ),
    (
        [("evaluation.gauc_by", "app")],
        "`evaluation.gauc_by` names a categorical feature that is `required`. Received: 'app'; allowed: [] "
        "(small.yaml).",
    ),
    (
        [
            ("sources.impressions", {"splits": {"train": "a", "eval": "b"}, "format": "csv", "label": "clicked"}),
            ("evaluation.thresholds.gauc", {"min": 0.5}),
        ],
        "a threshold on gauc needs `sources.impressions.request_id`, or `evaluation.gauc_by` (small.yaml).",
    ),
    (
        [
            ("sources.impressions", {"splits": {"train": "a", "eval": "b"}, "format": "csv", "label": "clicked"}),
            ("features.0.required", True),
            ("evaluation.gauc_by", "app"),
            ("evaluation.thresholds.ndcg@5", {"min": 0.5}),
        ],
        "a threshold on ndcg@5 needs `sources.impressions.request_id` (small.yaml).",
    ),
    (
        [("evaluation.slices", ["app < 7"])],
        "`evaluation.slices` has a bound on `app`, which is not numeric (small.yaml).",
    ),
    (
        [("evaluation.slices", ["city"])],
        "`evaluation.slices` names `city`, which is none of ['app', 'installed', 'price'] (small.yaml).",
    ),
    (
        [("drift", {"max_divergence": {"city": 0.1}})],
        "`drift.max_divergence` names `city`, which is none of ['label', 'app', 'installed', 'price'] (small.yaml).",
    ),
]
