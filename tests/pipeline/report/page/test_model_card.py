"""The model card says what the score is of, how fast the model is, and whether it is calibrated."""

from __future__ import annotations

from components.infra_validation.verdict import Latency, Measurements, Verdict
from pipeline.report.page.model_card import model_card
from tests.pipeline.report.run_results import ended, run_result


def test_it_names_the_label_and_judges_the_calibration() -> None:
    report = run_result(
        label="`clicked` is 1", metrics={"calibration": 1.0}, intervals={"calibration": (0.9, 1.1)},
        infra=Verdict((), Measurements(2.0, 3.0, 400.0, 50.0, (Latency(200, 1, 2.0, 3.0, 4.0),))),
    )  # fmt: skip
    card = model_card(ended(report))
    assert "Its score is the probability that \\`clicked\\` is 1." in card
    assert "- Calibration is good: " in card
    assert "- latency: p95 3.0 ms for 200 candidates" in card
    assert "| calibration | 1.0000 | 0.9000 to 1.1000 | – | – |" in card
    assert "Metrics of 20 evaluation examples of span 1 that were kept out of the training" in card
    assert "Its score is the probability that the label is 1." in model_card(ended(run_result()))
