"""Drift on a run's page is what the gate on data judges."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from components.data_validation.decision import decide
from components.data_validation.distributions import measure_tokens
from components.data_validation.evidence import SpanEvidence
from components.data_validation.feature_rules.drift import DriftJudgement, judge_drift
from components.gate_records import GateRecord, write_record
from pipeline.report.page.parts import Figure, Note
from pipeline.report.page.sections import features, gates
from pipeline.report.result import feature_drift
from pipeline.report.result.run import Node, Output, Reading, Run
from tests.components.data_validation.hand_written import span
from tests.pipeline.report.run_results import ended, run_result
from transform.config.drift import Drift


def day(number: int, country: dict[str, int], page: dict[str, int]) -> SpanEvidence:
    counts = {"country": country, "page": page, "os": {"a": 50, "b": 50}}
    return span(number, features={name: measure_tokens(of, 0, 1000) for name, of in counts.items()})


def judged(folder: Path, days: list[SpanEvidence], settings: Drift) -> Run:
    """A run of the last day, whose gate on data has compared it with the days before."""
    outputs = []
    for evidence in days:
        found = decide(evidence, days[:-1], settings) if evidence is days[-1] else []
        number = evidence.ingested.span
        write_record(str(folder / str(number)), GateRecord("data_gate", number, evidence.to_inputs(), tuple(found)))
        outputs.append(Output("GateRecord", str(folder / str(number)), number))
    made, plain = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), TypeAdapter(Drift).dump_json(settings).decode()
    nodes = (
        Node("earlier_records", "done", made, 0.0, outputs[:-1]),
        Node("data_validation", "done", made, 3.0, outputs[-1:], settings=plain),
    )
    return ended(run_result(span=len(days)), nodes=nodes)


def test_the_table_has_the_bound_the_reference_and_the_verdict(tmp_path: Path) -> None:
    """A bound of its own is 0.001; else twice 0.05 with two reference spans, and 0.05 of what is within that anyway.

    The country is that of the first day; half of the page's views are of one that no day before has.
    """
    a, b, c = {"de": 80, "fr": 20}, {"de": 20, "fr": 80}, {"de": 82, "fr": 18}
    days = [day(1, a, {"home": 100}), day(2, b, {"home": 100}), day(3, c, {"home": 50, "other": 50})]
    run = judged(tmp_path, days, Drift(max_divergence={"country": 0.001}))
    figure = next(block for block in features.blocks(run) if isinstance(block, Figure))
    assert figure.data.columns == (
        "feature", "#divergence", "#bound", "#from span", "values that vanished", "verdict"
    )  # fmt: skip
    cells = {row[0]: (row[2], row[3], row[5]) for row in figure.data.rows}
    assert [row[0] for row in figure.data.rows] == ["page", "country", "os"]
    assert cells == {
        "page": ("0.1000", "1", "stops the run"),
        "country": ("0.0010", "1", "within the bound"),
        "os": ("0.0500", "1", "within the bound"),
    }
    assert figure.data.tones == ["bad", "", ""]
    summary = next(iter(gates.blocks(run)))
    assert isinstance(summary, Note)
    assert summary.text.startswith("The gate on data stops the run: ")
    # less what chance explains of 1 · log2(4/3) / 2 + (log2(2/3) + log2(2)) / 4 = 0.3113
    assert re.search(r" Nearest to its bound: the drift of page, 0\.3\d{3} \(at most 0\.1000\)\.$", summary.text)


def test_values_that_vanished_are_listed_and_a_weekday_is_last(tmp_path: Path) -> None:
    """Of 1,000 draws, 50 of `fr` and 10 of `it` were expected, and 9 of `li`, which may be missing by chance."""
    before = {"de": 931, "fr": 50, "it": 10, "li": 9}
    days = [day(1, before, {"thu": 1000}), day(2, {"de": 1000}, {"fri": 1000})]
    run = judged(tmp_path, days, Drift())
    note, figure, *_ = features.blocks(run)
    assert isinstance(figure, Figure)
    rows = {row[0]: row for row in figure.data.rows}
    assert list(rows)[-1] == "page"  # the bound is exceeded, but each day has one value
    assert any(
        isinstance(block, Note) and " Nearest to its bound: the drift of country, " in block.text
        for block in gates.blocks(run)
    )
    assert rows["page"][2:] == ("0.1000", "1", "thu (100 %)", "warns")
    assert rows["page"][1].startswith("0.99")
    assert rows["country"][4] == "fr (5.0 %), it (1.0 %)"
    assert isinstance(note, Note)
    assert note.text == "Values that vanished since the nearest reference span: country: fr (5.0 %), it (1.0 %)."


def test_the_axis_of_drift_is_logarithmic(tmp_path: Path) -> None:
    days = [day(1, {"de": 80, "fr": 20}, {"home": 100}), day(2, {"de": 80, "fr": 20}, {"home": 100})]
    figure = next(b for b in features.blocks(judged(tmp_path, days, Drift())) if isinstance(b, Figure))
    assert figure.spec["encoding"]["x"]["scale"] == {"type": "log", "domain": [0.0001, 1]}
    assert min(datum["x"] for datum in figure.spec["data"]["values"]) == 0.0001  # of no divergence


def test_a_bound_that_no_divergence_can_exceed_is_none(tmp_path: Path) -> None:
    """The pages of the first two days differ in all values, by 1, so that three times that would be allowed."""
    a = {"de": 80, "fr": 20}
    days = [day(1, a, {"thu": 1000}), day(2, a, {"fri": 1000}), day(3, a, {"sat": 1000})]
    figure = next(b for b in features.blocks(judged(tmp_path, days, Drift())) if isinstance(b, Figure))
    rows = {row[0]: row for row in figure.data.rows}
    assert (rows["page"][2], rows["page"][5]) == ("–", "not judged: the reference spans differ as much")
    drawn = {(datum["y"], datum["s"]) for datum in figure.spec["data"]["values"]}
    assert ("page", "divergence") in drawn
    assert ("page", "bound") not in drawn
    assert ("os", "bound") in drawn
    assert figure.words.endswith("Without a bound, since the reference spans differ as much: page.")


def test_what_the_gate_cannot_judge_is_its_record_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of a release that did not say so has a bound; both sections have read the drift once."""
    a = {"de": 80, "fr": 20}
    days = [day(1, a, {"thu": 1000}), day(2, a, {"fri": 1000}), day(3, a, {"sat": 1000})]
    run = judged(tmp_path, days, Drift())
    read: list[str] = []

    def counted(name: str, *given: Any) -> DriftJudgement:
        read.append(name)
        return judge_drift(name, *given)

    monkeypatch.setattr(feature_drift, "judge_drift", counted)
    summary = next(iter(gates.blocks(run)))
    assert isinstance(summary, Note)
    assert "cannot judge yet: drift.divergence_floor" in summary.text.replace("drift.reference_spans, ", "")
    list(features.blocks(run))
    assert sorted(read) == ["country", "os", "page"]
    record = run.contents.data_record.get()
    assert record is not None
    silent = dataclasses.replace(record, findings=())
    contents = dataclasses.replace(run.contents, data_record=Reading(silent))
    assert contents.feature_drift["page"].is_judged
    assert not run.contents.feature_drift["page"].is_judged
