"""The summary table at the end of a run."""

from __future__ import annotations

import pytest

from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from components.ingestion.counts import Counts, LineCounts
from components.late_labels.counts import LateCounts
from pipeline.registry.progressive import ProgressiveValidation
from tests.pipeline.report.console.summaries import lines_of, trained
from tests.pipeline.report.run_results import TRAINING
from trainer.warm_start.report import TableReport, WarmStartReport


def test_a_cold_start_and_the_wide_weights() -> None:
    lines = lines_of(TRAINING)
    assert "start cold; there is no previous model" in lines
    assert "wide weights 1,002 of 1,250 non-zero" in lines
    assert not any("carried" in line for line in lines)


def test_rows_of_several_lines_are_named() -> None:
    counts = Counts(
        span=1,
        read={"impressions": 1000, "apps": 10},
        rejected={"impressions": {"malformed": 2}},
        lines={"impressions": LineCounts(1015, 1, 0, 1014, 7), "apps": LineCounts(11, 1, 0, 10)},
    )
    lines = lines_of(TRAINING, counts=counts)
    assert "rows 1,000 read, 2 rejected (malformed 2), 7 of several lines" in lines
    assert "apps 10 read" in lines


def test_impressions_that_no_run_trains_on_are_named() -> None:
    counts = Counts(span=1, unknown_labels=40)
    words = "left out 40 impressions, the last ones, whose labels are not known yet"
    assert f"{words}, and no run trains on them" in lines_of(TRAINING, counts=counts)
    assert words in lines_of(TRAINING, counts=counts, late=LATE)


def test_a_window_that_lacks_a_span_is_named() -> None:
    lines = lines_of(TRAINING, spans=(3, 1), missing_spans=(2,))
    assert "window the window (ingestion.window_spans) lacks span 2; the run's log says why" in lines


LATE = LateCounts(span=1, waiting=40, completed=30, positives=9, found_late=4, still_open=10, shared=2)


@pytest.mark.parametrize(
    ("late", "late_spans", "expected"),
    [
        (LateCounts(span=1), (), "late labels no impression of span 1 is completed, as it left none out"),
        (
            LateCounts(span=0, not_ingested=1),
            (),
            "late labels no impression of span 0 is completed: this config and code did not ingest the span",
        ),
        (
            LATE,
            (1,),
            "late labels 30 of 40 impressions that span 1 left out are completed; 9 of them positive, 4 by an install "
            "of the run's span; 2 can share their label with an evaluation example of the run's span; 10 left out for "
            "good, as their windows are open at its end too",
        ),
        (LATE, (1,), "trained on those of span 1"),
        (LATE, (), "trained on none"),
        (
            LATE,
            (),
            "left out span 1 is not learned from: its rows are unfit, or a gate on data stopped the run on them",
        ),
        (LateCounts(span=1, lost=50), (), "late labels 0 of 50 impressions that span 1 left out are completed"),
        (LateCounts(span=1, lost=50), (), "lost 50 impressions of span 1: the files that had them are gone"),
    ],
)
def test_what_became_of_late_labels(late: LateCounts, late_spans: tuple[int, ...], expected: str) -> None:
    assert expected in " ".join(lines_of(TRAINING, late=late, late_spans=late_spans))


def test_drawn_negatives_and_kills() -> None:
    lines = lines_of(trained(num_trained_examples=42, resumed_at=(3, 1007)))
    assert "drawn 42 examples in all epochs together" in lines
    assert "resumed after a kill, at step 3, 1,007" in lines
    assert not any(line.startswith(("drawn", "resumed")) for line in lines_of(TRAINING))


def test_a_model_without_a_wide_part_has_no_wide_weights() -> None:
    lines = lines_of(trained(wide_table_sizes={}, wide_non_zero_rows={}))
    assert not any("wide weights" in line for line in lines)


def test_the_signatures_that_a_model_has_and_why_others_are_absent() -> None:
    assert "signatures rank, serving_default" in lines_of(TRAINING)
    lines = lines_of(trained(absent_signatures={"rank": "no item id", "rank_named": "no item id"}))
    assert lines[lines.index("signatures rank, serving_default") + 1] == "no rank, rank_named: no item id"


def test_what_was_tuned() -> None:
    tuned = {"model.hidden_units": [400, 400], "training.deep_optimizer.learning_rate": 0.00123456}
    assert "tuned model.hidden_units [400, 400], training.deep_optimizer.learning_rate 0.001235" in lines_of(
        trained(tuned=tuned)
    )
    assert not any(line.startswith("tuned") for line in lines_of(TRAINING))


def test_a_warm_start_tells_what_it_carried() -> None:
    tables = {"wide/app": TableReport(kept=1100, new=100, dropped=7, carried_norm=12.345)}
    warm_start = WarmStartReport("models/1", tables, not_carried=("wide/size: not in the previous model",))
    lines = lines_of(trained(warm_started_from="models/1", warm_start=warm_start))
    assert "start warm, from models/1" in lines
    assert "carried rows of kept new dropped norm" in lines
    assert "wide/app 1,100 100 7 12.3" in lines
    assert "not carried wide/size: not in the previous model" in lines


def test_a_push_tells_why_it_was_done_or_not() -> None:
    low = ("auc must be at least 0.8. Received: 0.7500",)
    assert "pushed yes, as version 1" in lines_of(TRAINING)
    assert not any(line.startswith("forced") for line in lines_of(TRAINING))
    assert f"pushed no: {low[0]}" in lines_of(TRAINING, version=None, refusals=low)
    forced = lines_of(TRAINING, forced="a holiday", refusals=low)
    assert "pushed yes, as version 1" in forced
    assert f"forced a holiday; refused: {low[0]}" in forced


def test_an_earlier_model_that_could_not_be_measured_is_said() -> None:
    problem = "the model cannot score the rows: price"
    assert f"unseen span not measured: {problem}" in lines_of(TRAINING, progress=None, progress_problem=problem)


def test_what_the_gate_on_data_found_and_let_through_is_in_the_summary() -> None:
    """Findings that stop a span and were accepted have a line of their own."""
    found = [
        Finding("data_gate", "drift.max_divergence", severity, "country", 0.2, 0.1, 9, f"country drifted [{severity}]")
        for severity in ("stop", "warn", "cannot_judge")
    ]
    lines = [line for line in lines_of(TRAINING, data_findings=tuple(found)) if line.startswith("data")]
    assert lines == ["data country drifted [warn]", "data country drifted [cannot_judge]"]


def test_what_a_person_accepted_is_in_the_summary() -> None:
    sentence = "[1] too few rows; accepted by ann: the store was closed"
    assert f"accepted {sentence}" in lines_of(TRAINING, accepted=(sentence,))
    assert not any(line.startswith("accepted") for line in lines_of(TRAINING))


def test_how_the_model_before_did_on_the_span() -> None:
    measured = EvaluationResult(20, {"auc": 0.7, "logloss": 0.4}, {"auc": 0.69}, {"auc": Estimate(0.01, 0.02 / 1.96)})
    lines = lines_of(TRAINING, progress=ProgressiveValidation(3, 2, "models/7", measured))
    assert (
        "unseen span model trained to span 2: auc 0.7000 (before 0.6900, change -0.0100 to +0.0300); logloss 0.4000"
        in lines
    )


def test_what_else_there_is_to_say_of_a_version() -> None:
    assert "pushed yes, as version 1" in lines_of(TRAINING)
    assert "pushed yes, as version 1, removed since" in lines_of(TRAINING, push_note="removed since")


def test_what_the_model_was_held_against() -> None:
    assert "held against version 3, trained to span 2" in lines_of(
        TRAINING, held_against="version 3, trained to span 2"
    )


def test_brackets_in_reasons_and_paths_are_shown() -> None:
    """They are no markup: a reason such as `[/oncall/42]` would end the command with an error."""
    brackets = "[/oncall/42] [hotfix] b"
    start = WarmStartReport(f"models/{brackets}", {}, not_carried=(brackets,))
    reported = {"forced": brackets, "refusals": (f"auc where x={brackets}",), "push_note": brackets}
    places = {"report": f"w/{brackets}/1.html"}
    warm = trained(warm_started_from=f"models/{brackets}", warm_start=start)
    lines = lines_of(warm, held_against=brackets, places=places, progress_problem=brackets, **reported)
    for line in (
        f"start warm, from models/{brackets}",
        f"not carried {brackets}",
        f"held against {brackets}",
        f"unseen span not measured: {brackets}",
        f"pushed yes, as version 1, {brackets}",
        f"forced {brackets}; refused: auc where x={brackets}",
        f"report w/{brackets}/1.html",
    ):
        assert line in lines
    assert f"pushed no: {brackets}" in lines_of(TRAINING, version=None, refusals=(brackets,))
    cold = trained(warm_start=WarmStartReport(None, not_carried=(brackets,)))
    assert f"start cold; {brackets}" in lines_of(cold)
