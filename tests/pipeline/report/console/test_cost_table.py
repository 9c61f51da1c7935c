"""The result of infra validation in the summary of a run."""

from __future__ import annotations

import io

from rich.console import Console

from components.infra_validation.verdict import Comparison, Latency, Measurements, Verdict
from pipeline.report.console.cost_table import infra_rows

CANDIDATE = Measurements(
    load_seconds=1.26,
    size_mb=34.56,
    peak_memory_mb=812.3,
    memory_mb=210.4,
    latency=(Latency(200, 1, 30.04, 31.0, 39.96), Latency(50, 4, 14.0, 15.5, 16.25)),
    signature="rank",
)
BASELINE = Measurements(0.9, 30.0, 700.0, 100.0, (Latency(200, 1, 20.0, 21.0, 22.0),))


def lines_of(verdict: Verdict) -> dict[str, list[str]]:
    """Returns the rows: for each label, the lines of its value, with single spaces."""
    shown = {}
    for what, found in infra_rows(verdict):
        console = Console(file=io.StringIO(), width=200)
        console.print(found)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        shown[what] = [" ".join(line.split()) for line in text.splitlines()]
    return shown


def test_the_candidate_beside_the_serving_model() -> None:
    skews = Comparison(1000, 0, 2.4e-7, ""), Comparison(990, 0, 1.2e-7, ""), Comparison(12345, 0, 1e-8, "")
    assert lines_of(Verdict((), CANDIDATE, BASELINE, "", *skews)) == {
        "200 candidates": [
            "model signature batch size threads p95 ms",
            "candidate rank 200 1 31.0",
            "candidate rank 50 4 15.5",
            "baseline serving_default 200 1 21.0",
        ],
        "cost": [
            "candidate: 1.3 s to load, 210 MB of memory (812 MB with TensorFlow), 34.6 MB of files; "
            "baseline: 0.9 s to load, 100 MB of memory (700 MB with TensorFlow), 30.0 MB of files"
        ],
        "skew": [
            "scores differ from the trainer's by at most 2.4e-07 on 1,000 logged and changed rows, "
            "1.2e-07 on 990 ranked ones, 1.0e-08 on 12,345 evaluation examples"
        ],
    }


def test_how_the_signatures_that_rank_agree_with_the_catalog() -> None:
    skews = {"rank": Comparison(8400, 0, 1e-8, ""), "rank_named": Comparison(8400, 0, 3e-7, "")}
    assert lines_of(Verdict((), CANDIDATE, catalog_skew=skews, num_catalog_items=1200))["ranking"] == [
        "scores by rank, rank_named from context and ids differ from those of whole examples by at most 3.0e-07 on "
        "8,400 candidates, of 1,200 items of the catalog"
    ]


def test_a_first_model_stands_alone() -> None:
    shown = lines_of(Verdict((), CANDIDATE))
    assert [line.split()[0] for line in shown["200 candidates"]] == ["model", "candidate", "candidate"]
    assert shown.keys() == {"200 candidates", "cost"}


def test_a_baseline_that_was_not_measured() -> None:
    assert lines_of(Verdict((), CANDIDATE, None, "it hung"))["  not measured"] == ["the baseline: it hung"]


def test_a_model_that_did_not_answer_has_no_rows() -> None:
    assert lines_of(Verdict(("it hung",))) == {}
