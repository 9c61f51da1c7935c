"""Compares the results of the same days, run in two ways."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tfx.utils import path_utils

from components.model_store.versions import pushed_models
from tests.e2e import store
from trainer.transform_output.state import TransformState
from trainer.warm_start.files import read_files, warm_start_dir

#: The report's entries that must be equal. A training's metrics differ in the last digits: parallel sums have no order.
_SAME = ("counts", "spans", "num_eval_examples", "version")
_SAME_IN_TRAINING = ("vocabulary_sizes", "num_steps")
_MAX_METRIC_DIFFERENCE = 1e-3


def report_of(workspace: Path, span: int) -> dict[str, Any] | None:
    """The report of a span's run; None if there is none yet, or the span was skipped."""
    for path in sorted((workspace / "reports").glob("*.json")):
        report: dict[str, Any] = json.loads(path.read_text())
        if report["span"] == span and report["status"] in ("pushed", "refused"):
            return report
    return None


def model_of(workspace: Path, version: int) -> str:
    """The URI of the model that was pushed as a version, in the form of a training's `warm_started_from`."""
    return f"{dict(pushed_models(str(workspace / 'serving' / store.NAME)))[version]}/Format-Serving"


def unchained(workspace: Path, spans: Sequence[int]) -> list[str]:
    """Errors of a chain in which each of the spans, from 1 on, pushes its version, warm-started from the one before."""
    found = []
    for span in spans:
        report = report_of(workspace, span) or {"version": None, "training": {"warm_started_from": None}}
        if report["version"] != span:
            found.append(f"span {span} must push version {span}. Received: {report['version']}")
        before = model_of(workspace, span - 1) if span > 1 else None
        if (start := report["training"]["warm_started_from"]) != before:
            found.append(f"span {span} must start from {before}. Received: {start}")
    return found


def transform_state_of(report: dict[str, Any]) -> TransformState:
    """The vocabularies and boundaries of a run's model."""
    return read_files(warm_start_dir(path_utils.serving_model_path(report["places"]["model"]))).transform_state


def differences(span: int, expected_workspace: Path, workspace: Path) -> list[str]:
    """The differences between a span's results in two workspaces, one sentence each."""
    expected, received = report_of(expected_workspace, span), report_of(workspace, span)
    if expected is None or received is None:
        return [f"span {span} must have been run in both {expected_workspace} and {workspace}"]
    found = [
        f"{name} of span {span} must be {was}. Received: {now}"
        for part, names in ((None, _SAME), ("training", _SAME_IN_TRAINING))
        for name in names
        if (was := _of(expected, part)[name]) != (now := _of(received, part)[name])
    ]
    if _is_warm(expected) != _is_warm(received):
        found.append(f"span {span} must start {'warm' if _is_warm(expected) else 'cold'} in both")
    was, now = transform_state_of(expected), transform_state_of(received)
    if was.vocabularies != now.vocabularies:
        found.append(f"the vocabularies of span {span} must be the same")
    if was.boundaries.keys() != now.boundaries.keys() or any(
        not np.array_equal(was.boundaries[name], now.boundaries[name]) for name in was.boundaries
    ):
        found.append(f"the boundaries of span {span} must be {was.boundaries}. Received: {now.boundaries}")
    for name, value in expected["metrics"].items():
        if not abs(received["metrics"][name] - value) <= _MAX_METRIC_DIFFERENCE * max(1, abs(value)):
            found.append(f"{name} of span {span} must be {value:.6f}. Received: {received['metrics'][name]:.6f}")
    return found


def _of(report: dict[str, Any], part: str | None) -> dict[str, Any]:
    return dict(report[part]) if part else report


def _is_warm(report: dict[str, Any]) -> bool:
    return report["training"]["warm_started_from"] is not None
