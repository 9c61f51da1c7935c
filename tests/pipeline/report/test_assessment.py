"""What a run's numbers say: the calibration by its interval, what serves against what was trained, what to do next."""

from __future__ import annotations

import math
from typing import Any

import pytest

from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import EvaluationResult
from components.infra_validation.verdict import Verdict
from components.quality_gate.inputs import AucFalls, ReferenceResult
from pipeline.registry.progressive import ProgressiveValidation
from pipeline.report.assessment import assess, calibration, evaluated_on, next_step
from pipeline.report.page.sections.verdict import head
from pipeline.report.run_report import RunReport
from tests.pipeline.report.console.summaries import trained
from tests.pipeline.report.run_results import ended, run_result
from trainer.training.position import Epoch, Metrics

GOOD = {"calibration": (0.95, 1.02)}


def calibrated(value: float, interval: tuple[float, float] | None) -> RunReport:
    return run_result(metrics={"calibration": value}, intervals={"calibration": interval} if interval else {})


def test_a_calibration_whose_interval_holds_1_is_good() -> None:
    judged = calibration(calibrated(0.98, (0.95, 1.0)))
    assert judged is not None
    assert judged.tone == "good"
    assert judged.text == (
        "Calibration is good: the mean score is 0.980 times the share of label 1, with a 95 % interval of 0.950 to "
        "1.000, which holds 1."
    )


@pytest.mark.parametrize(
    ("value", "interval", "words"),
    [(0.93, (0.9, 0.96), "7.0 % too low, beyond chance"), (1.2, (1.1, 1.3), "20.0 % too high, beyond chance")],
)
def test_a_calibration_whose_interval_does_not_is_not_good(
    value: float, interval: tuple[float, float], words: str
) -> None:
    judged = calibration(calibrated(value, interval))
    assert judged is not None
    assert judged.tone == "warn"
    assert judged.text.startswith("Calibration is not good: ")
    assert f"scores are on average {words}" in judged.text


def test_a_calibration_without_an_interval_is_not_judged() -> None:
    """A report of an earlier release has none; a NaN is of a bootstrap that could not measure it."""
    for interval in (None, (math.nan, math.nan)):
        judged = calibration(calibrated(0.5, interval))
        assert judged is not None
        assert (judged.tone, judged.text[:28]) == ("", "Calibration is not judged: t")
    assert calibration(run_result(metrics={"auc": 0.7})) is None
    assert calibration(run_result(metrics={"calibration": math.nan})) is None


def test_the_verdict_says_how_good_the_model_is_and_why() -> None:
    falls = AucFalls(20, 0.7, {"hour": 0.001, "app": 0.1, "os": 0.02}, errors={"hour": 0.01, "app": 0.01, "os": 0.001})
    report = run_result(
        metrics={"auc": 0.74, "calibration": 1.0},
        baseline={"auc": 0.72},
        baseline_version=2,
        changes={"auc": (0.01, 0.03)},
        intervals={"auc": (0.73, 0.75), **GOOD},
        auc_falls=falls,
    )
    assert [(note.text, note.tone) for note in assess(report) if "Calibration" not in note.text] == [
        ("Of 100 pairs of rows with different labels, the model puts about 74 in the right order; chance is 50.", ""),
        ("Better than the baseline, version 2 (which served before the run): auc +0.0200, with a 95 % interval of "
         "+0.0100 to +0.0300.", "good"),
        ("What it knows is mostly from app (0.1000), os (0.0200): in brackets, by how much the AUC falls if its "
         "values are shuffled.", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words", "tone"),
    [
        ((-0.03, -0.01), "Worse than the baseline (which served before the run): auc −0.0200", "bad"),
        (
            (-0.05, 0.01),
            "Neither better nor worse than the baseline (which served before the run) beyond chance: auc",
            "",
        ),
        (
            (math.nan, math.nan),
            "Not compared with the baseline (which served before the run): no 95 % interval of auc",
            "",
        ),
    ],
)
def test_it_is_held_against_the_baseline(changes: tuple[float, float], words: str, tone: str) -> None:
    report = run_result(metrics={"auc": 0.7}, baseline={"auc": 0.72}, changes={"auc": changes})
    _, against = assess(report)
    assert (against.text[: len(words)], against.tone) == (words, tone)


def test_the_best_reference_model_that_is_beaten_is_named() -> None:
    aucs = {"constant": 0.5, "item_mean": 0.66, "logistic_regression": 0.64}
    beaten = {
        name: ReferenceResult(9, {"auc": auc}, {"auc": PairedDifference(0.74 - auc, 0.01)})
        for name, auc in aucs.items()
    }
    texts = [note.text for note in assess(run_result(metrics={"auc": 0.74}, references=beaten))]
    sentence = (
        "Better than each of the 3 reference models; the best of these, the item mean, has an AUC of 0.6600, and this "
        "model 0.7400."
    )
    assert sentence in texts
    beaten["item_mean"] = ReferenceResult(9, {"auc": 0.73}, {"auc": PairedDifference(0.01, 0.01)})  # may be chance
    assert not any("Better" in note.text for note in assess(run_result(metrics={"auc": 0.74}, references=beaten)))


def test_the_verdict_begins_with_what_the_score_is() -> None:
    (note,) = assess(run_result(metrics={"auc": 0.7}, label="`clicked` is 1"))
    assert note.text.startswith("The score is the probability that `clicked` is 1. Of 100 pairs")


def test_evaluation_rows_that_chose_the_epoch_are_said_to_have() -> None:
    two = tuple(Epoch(epoch, 9, 0.3, Metrics(9, 0.7, 0.3)) for epoch in (1, 2))
    report = run_result(metrics={"auc": 0.7}, training=trained(epochs=two))
    assert "kept out of the training, but chose the best of its 2 epochs; intervals" in evaluated_on(report)
    optimistic = (
        "These figures are a little optimistic: the evaluation examples that they are of also chose the best of the "
        "model's 2 epochs. `training.validation_fraction` keeps other examples for that."
    )
    assert optimistic in [note.text for note in assess(report)]
    held_out = run_result(metrics={"auc": 0.7}, training=trained(epochs=two, num_held_out_examples=9))
    assert "kept out of the training; intervals" in evaluated_on(held_out)
    assert not any("optimistic" in note.text for note in assess(held_out))


def test_an_auc_that_may_be_chance_is_said_to_be() -> None:
    (note,) = assess(run_result(metrics={"auc": 0.51}, intervals={"auc": (0.49, 0.53)}))
    assert note.tone == "bad"
    assert note.text.endswith("about 51 in the right order, which is no better than chance, 50.")


def test_a_run_without_a_model_is_not_assessed() -> None:
    assert list(assess(RunReport.skipped(3, "row_gate", "too few rows"))) == []
    assert evaluated_on(RunReport.skipped(3, "row_gate", "too few rows")) == ""


def pushed(**changes: Any) -> RunReport:
    fields: dict[str, Any] = {
        "span": 3, "metrics": {"auc": 0.74, "calibration": 1.0}, "baseline": {"auc": 0.72, "calibration": 1.0},
        "changes": {"auc": (0.01, 0.03)}, "intervals": GOOD,
    }  # fmt: skip
    return run_result(**fields | changes)


def off(before: float | None = None, error: float = 0.0) -> RunReport:
    """A run whose scores are too low; those of the model before have the calibration `before` on the same span."""
    measured = EvaluationResult(99, {"calibration": before or 0.0}, {}, {}, errors={"calibration": error})
    progress = None if before is None else ProgressiveValidation(3, 2, "models/2", measured)
    metrics = {"auc": 0.74, "calibration": 0.95}
    return pushed(metrics=metrics, intervals={"calibration": (0.9, 0.99)}, progress=progress)


RUN = "wdr run CONFIG --data DATA --workspace WORKSPACE --span"
TRY = "wdr try CONFIG CHANGED_CONFIG --data DATA --span 3"


@pytest.mark.parametrize(
    ("report", "command"),
    [
        (RunReport.failed(3, "trainer", "no space"), f"{RUN} 3"),
        (RunReport.skipped(3, "data_gate", "drift"), f"{RUN} 3 --accept-span --reason TEXT"),
        (pushed(status="refused", version=None), TRY),
        (pushed(status="refused", version=None, infra=Verdict(("slow",), may_change=True)), f"{RUN} 3"),
        (pushed(), f"{RUN} 4"),
        (pushed(baseline={}), "wdr serve --models WORKSPACE/serving"),
        (pushed(changes={"auc": (-0.01, 0.03)}), TRY),
        (off(), f"{RUN} 4"),
        (off(0.95, error=0.03), f"{RUN} 4"),  # 1 is within two errors
        (off(1.2, error=0.03), f"{RUN} 4"),  # too high, where this one is too low
        (off(0.9, error=0.03), TRY),
        (
            pushed(references={"item_mean": ReferenceResult(9, {"auc": 0.8}, {"auc": PairedDifference(-0.1, 0.01)})}),
            "wdr try CONFIG --suggest --data DATA --span 3",
        ),
    ],
)
def test_the_next_step_has_its_command(report: RunReport, command: str) -> None:
    assert next_step(report).command == command


def test_what_follows_from_scores_that_are_too_low_is_decided_by_the_model_before() -> None:
    assert next_step(off()).text == (
        "Change nothing yet: run the next span, and try other settings if its scores are too low again."
    )
    assert next_step(off(0.9, error=0.03)).text == (
        "If scores are used as probabilities, try other settings on the same rows: on this span, the scores of the "
        "model before are too low as well."
    )


def test_a_card_has_its_interval_and_the_head_says_on_which_rows() -> None:
    report = pushed(intervals={"auc": (0.73, 0.75)}, num_eval_examples=1234, baseline_version=2)
    found = head(ended(report))
    cards = {card.name: card for card in found.cards}
    assert [name for name in cards if "auc" in name.lower()] == ["auc"]
    assert (cards["auc"].value, list(cards["auc"].details)) == (
        "0.7400",
        ["0.7300 to 0.7500", "baseline, version 2: 0.7200", "change +0.0100 to +0.0300"],
    )
    assert found.quiet[-1] == (
        "Metrics of 1,234 evaluation examples of span 3 that were kept out of the training; intervals are of 95 %."
    )


def test_the_head_answers_three_questions_and_the_reference_models_come_first() -> None:
    better = {"item_mean": ReferenceResult(9, {"auc": 0.8}, {"auc": PairedDifference(-0.06, 0.01)})}
    falls = AucFalls(20, 0.74, {"app": 0.1}, errors={"app": 0.01})
    answers = head(ended(pushed(references=better, suggestions=("model: {parts: wide}",), auc_falls=falls))).answers
    assert list(answers) == ["Is the model any good?", "Why", "What to do next"]
    assert answers["Is the model any good?"][0].text.startswith("The model is worse than the item mean")
    assert [note.text for note in answers["What to do next"]][1:] == [
        "Most likely to help: model: {parts: wide}.", "CONFIG and DATA stand for this run's own."
    ]  # fmt: skip
    skipped = head(ended(RunReport.skipped(3, "row_gate", "too few rows"))).answers
    assert list(skipped) == ["How the run ended", "What to do next"]


@pytest.mark.parametrize(
    ("report", "command", "note"),
    [
        (
            pushed(config_file="/c/my store.yaml", data_root="/logs/DATA"),
            "wdr run '/c/my store.yaml' --data /logs/DATA --workspace /w --span 4",
            None,
        ),
        (pushed(baseline={}), "wdr serve --models /w/serving", None),
        (
            pushed(status="refused", version=None, data_root="/d"),
            "wdr try CONFIG CHANGED_CONFIG --data /d --span 3",
            "CONFIG stands for this run's own. CHANGED_CONFIG stands for a copy of the config with other settings.",
        ),
    ],
)
def test_the_page_s_command_names_the_run_s_own_files(report: RunReport, command: str, note: str | None) -> None:
    step, *notes = head(ended(report, workspace="/w")).answers["What to do next"]
    assert step.command == command
    assert [found.text for found in notes] == ([note] if note else [])
