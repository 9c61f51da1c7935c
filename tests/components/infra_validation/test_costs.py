"""Models that cost too much compared with the baseline, each measured in a separate process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.components.infra_validation.validating import examples_artifact, validate
from tests.components.saved_models import example, export, write_good_scores
from transform.config.infra_validation import InfraValidation


# Each has no budget of time but its own: on a busy machine a slow model also exceeds 200 ms, and the time of any may
# double, so that there would be two problems.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "serving", "settings", "problem"),
    [
        (
            "slow",
            "works",
            InfraValidation(num_measurements=20, max_latency_ms=None, max_latency_ratio=2.0),
            "the median time for 200 candidates must be at most 2 times the baseline's. Received: ",
        ),
        (
            "twice as large",
            "large",
            InfraValidation(num_measurements=20, max_latency_ms=None, max_memory_ratio=1.5),
            "the memory that the model adds must be at most 1.5 times the baseline's. Received: ",
        ),
    ],
)
def test_a_model_that_costs_too_much_is_refused_for_that_alone(
    tmp_path: Path, kind: str, serving: str, settings: InfraValidation, problem: str
) -> None:
    candidate, baseline = export(kind, tmp_path / "candidate"), export(serving, tmp_path / "serving")
    write_good_scores(candidate, range(8))
    window = [examples_artifact(tmp_path / "examples", train=[], eval=[example(x) for x in range(8)])]
    verdict = validate(settings, candidate, window, tmp_path / "out", baseline)
    (reported,) = verdict["problems"]
    assert reported.startswith(problem)
    assert "; other processes used " in reported
    assert reported.endswith(" (the best of 3 measurements)")
    assert (verdict["may_change"], len(verdict["tries"])) == (True, 2)
    assert (verdict["blessed"], verdict["baseline_problem"]) == (0, "")
    assert verdict["largest_change"] is not None
