"""From how many positives on the gate on quality finds a fault: `python -m benchmarks.smallest_faults`.

Draws examples of which 7 % are positive, and two models whose AUC is 0.7: the one that serves, and the candidate model,
with a fault. Applies the gate's own rules with intervals of its own bootstrap, and counts the draws in which the fault
is found. A fault of all examples is found by the calibration and its slope, one of a slice by the worsening of its
metrics.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

import numpy as np
from rich.progress import track
from rich.table import Table

from components.evaluation.metrics.bootstrap import Array, standard_errors
from components.evaluation.metrics.replicates import of_rows
from components.evaluation.metrics.slope import calibration_slope
from components.evaluation.results import Estimate, EvaluationResult
from components.quality_gate.calibration import miscalibration
from components.quality_gate.inputs import Case, QualityInputs
from components.quality_gate.judgement import findings
from pipeline.cli.display import console_for
from transform.config.evaluation import Evaluation, SliceThreshold, Threshold
from transform.config.quality import Quality

#: Mean and standard deviation of the true logits: 7 % of the labels are 1.
_MEAN, _DEVIATION, _LABEL_RATE = -2.85, 0.78, 0.07

#: Standard deviation of a model's errors per example; its logits are then scaled so that their slope is 1.
_ERROR = 0.25
_SCALE = _DEVIATION**2 / (_DEVIATION**2 + _ERROR**2)

_REQUEST = 10

#: The bounds of slices of `configs/app_store.yaml`, and the default of the calibration.
EVALUATION = Evaluation(
    {"auc": Threshold(min=0.5)},
    slices=("category",),
    slice_thresholds={"auc": SliceThreshold(max_worsening=0.04), "logloss": SliceThreshold(max_worsening=0.01)},
)

_PLACE = "category = one"

#: A model's scores, float64 `[rows]`, from its logits.
_Fault = Callable[[Array], Array]


def _sigmoid(logit: Array) -> Array:
    scores: Array = 1 / (1 + np.exp(-logit))
    return scores


def _same_mean(logit: Array, factor: float) -> Array:
    """Scales logits, and adds a constant by which the mean score stays."""
    shift, mean = 0.0, _sigmoid(logit).mean()
    for _ in range(50):
        scores = _sigmoid(factor * logit + shift)
        shift += float((mean - scores.mean()) / (scores * (1 - scores)).mean())
    return _sigmoid(factor * logit + shift)


#: Faults of all examples.
OF_ALL: Mapping[str, _Fault] = {
    "none": _sigmoid,
    "scores × 1.3": lambda logit: 1.3 * _sigmoid(logit),
    "scores × 0.75": lambda logit: 0.75 * _sigmoid(logit),
    "logits × 0.6": lambda logit: _sigmoid(0.6 * logit),
    "logits × 1.6": lambda logit: _sigmoid(1.6 * logit),
    "logits × 0.6, the same mean score": lambda logit: _same_mean(logit, 0.6),
    "logits × 1.6, the same mean score": lambda logit: _same_mean(logit, 1.6),
}

#: Faults in one slice.
OF_SLICE: Mapping[str, _Fault] = {
    "none": _sigmoid,
    "order reversed": lambda logit: _sigmoid(2 * logit.mean() - logit),
    "scores × 2.5": lambda logit: np.minimum(2.5 * _sigmoid(logit), 0.999),
}


def draw_examples(positives: int, draw: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draws examples with a number of positives: their labels, and the logits of two models, float64 `[rows]` each."""
    rows = round(positives / _LABEL_RATE)
    truth = draw.normal(_MEAN, _DEVIATION, 3 * rows)
    label = draw.random(3 * rows) < _sigmoid(truth)
    some = np.concatenate([np.flatnonzero(label)[:positives], np.flatnonzero(~label)[: rows - positives]])
    some = draw.permutation(some)
    logits = [_MEAN + _SCALE * (truth[some] - _MEAN + draw.normal(0, _ERROR, len(some))) for _ in range(2)]
    return label[some].astype(np.float64), logits[0], logits[1]


def measured(label: Array, scores: Array, serving: Array) -> EvaluationResult:
    """Measures a model and the one that serves, with the bootstrap's standard errors, drawn by request."""
    unit = (np.arange(len(label)) // _REQUEST).astype(np.float64)
    found = of_rows(unit, label, np.ones(len(label)), np.stack([scores, serving], axis=1))
    names = ("auc", "logloss", "calibration")
    errors = {name: standard_errors(found[name]) for name in names}
    changes = {name: found[name][:, 0] - found[name][:, 1] for name in names}
    return EvaluationResult(
        num_examples=len(label),
        metrics={name: float(found[name][0, 0]) for name in names},
        baseline={name: float(found[name][0, 1]) for name in names},
        changes={name: Estimate(float(c[0]), float(standard_errors(c))) for name, c in changes.items()},
        errors={name: float(errors[name][0]) for name in names},
        baseline_errors={name: float(errors[name][1]) for name in names},
        num_positives=int(label.sum()),
        num_units=len(np.unique(unit)),
    )


def found_in_all(label: Array, scores: Array, serving: Array) -> bool:
    """Returns whether the gate refuses a model, or warns of it, for its calibration or its slope over all examples."""
    slope = calibration_slope(label, np.ones(len(label)), np.arange(len(label)) // _REQUEST, scores)
    current = QualityInputs("m/2", "r", "m/1", {"": measured(label, scores, serving)}, calibration_slope=slope)
    found = miscalibration(Case(current, 2, [], Quality(), EVALUATION))
    return any(f.severity == "refuse" or "slope" in f.sentence for f in found)


def found_in_slice(label: Array, scores: Array, serving: Array) -> bool:
    """Returns whether the gate refuses a model for a slice with these examples."""
    in_slice = measured(label, scores, serving)
    found = findings({"": in_slice, _PLACE: in_slice}, EVALUATION)
    return any(f.severity == "refuse" and f.subject.endswith(_PLACE) for f in found)


def share_found(
    finds: Callable[[Array, Array, Array], bool], fault: _Fault, positives: int, num_draws: int, seed: int = 1
) -> float:
    """Returns in what share of draws, with some number of positives, a rule finds a fault."""
    draw = np.random.default_rng(seed)
    drawn = (draw_examples(positives, draw) for _ in range(num_draws))
    return float(np.mean([finds(label, fault(candidate), _sigmoid(serving)) for label, candidate, serving in drawn]))


def main() -> None:
    """Prints the share of draws in which each fault is found, by the number of positives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--of-all", type=int, nargs="+", default=[30, 100, 200, 300, 400, 600], metavar="POSITIVES")
    parser.add_argument("--of-slice", type=int, nargs="+", default=[15, 20, 30, 35, 50, 70, 100], metavar="POSITIVES")
    arguments = parser.parse_args()
    for title, faults, finds, numbers in (
        ("all examples", OF_ALL, found_in_all, arguments.of_all),
        ("a slice", OF_SLICE, found_in_slice, arguments.of_slice),
    ):
        table = Table(title=f"found in {title}, of {arguments.draws} draws, by the number of positives")
        table.add_column("fault")
        for number in numbers:
            table.add_column(f"{number:,}", justify="right")
        for name, fault in track(faults.items(), title, transient=True):
            table.add_row(name, *(f"{share_found(finds, fault, n, arguments.draws):.0%}" for n in numbers))
        console_for(sys.stdout).print(table)


if __name__ == "__main__":
    main()
