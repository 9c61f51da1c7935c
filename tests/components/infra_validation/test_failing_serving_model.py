"""A baseline that fails after it was loaded and has scored the requests."""

from __future__ import annotations

from pathlib import Path

from tests.components.infra_validation.validating import examples_artifact, on_threads, validate
from tests.components.saved_models import example, export, write_good_scores
from transform.config.infra_validation import InfraValidation


def test_a_baseline_that_fails_when_it_is_timed_refuses_no_candidate_model(tmp_path: Path) -> None:
    """It scores the 5 requests, by which the change is measured, and fails at a timed request of 200 candidates."""
    candidate, serving = export("good", tmp_path / "candidate"), export("few examples", tmp_path / "serving")
    write_good_scores(candidate, range(8))
    window = [examples_artifact(tmp_path / "examples", train=[], eval=[example(x) for x in range(8)])]
    # On a thread, the memory is that of this process.
    settings = InfraValidation(num_requests=5, num_measurements=10, max_latency_ms=None, max_memory_mb=None)
    with on_threads():
        verdict = validate(settings, candidate, window, tmp_path / "out", serving)
    assert (verdict["blessed"], verdict["problems"], verdict["baseline"]) == (1, [], None)
    assert verdict["baseline_problem"].startswith("the model must score raw tf.Examples. Received: InvalidArgument")
    assert verdict["largest_change"] == 0
    assert len(verdict["candidate"]["latency"]) == 3
