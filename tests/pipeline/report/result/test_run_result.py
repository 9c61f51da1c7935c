"""Spans that a run was not trained on, and what a person accepted; `test_first_day.py` reads the result of a run."""

from __future__ import annotations

from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.types import standard_artifacts

from components.artifacts import LATE
from components.gate_records import Finding, GateRecord
from components.lineage import ingested_examples
from pipeline.report.result.run_result import _missing_spans, accepted_words, label_words, quality_refusals
from tests.components.mlmd_lineage import Lineage
from transform.config.sources import Impressions, Installs, LabelRule, Sources


def test_the_spans_that_a_window_lacks(tmp_path: Path) -> None:
    lineage = Lineage(tmp_path)
    ingested = [lineage.examples(span) for span in (2, 3, 5, 6)]
    two, three, _, six = (artifact.mlmd_artifact for artifact in ingested)
    tail = lineage.put(standard_artifacts.Examples, ingested[2], span=5, **{LATE: 1}).mlmd_artifact
    known = ingested_examples(lineage.store, six.id)
    assert {a.id for a in known} == {a.id for a in ingested}
    # Span 4 had no logs, and span 5 was stopped: its completed tail does not count. Span 1 was never ingested.
    assert _missing_spans([six, tail, three, two], 6, 9, known) == (5, 4)
    assert _missing_spans([six, three, two], 6, 2, known) == (5,)
    assert _missing_spans([six], 6, 1, known) == ()
    assert _missing_spans([two], 2, 9, known) == ()


def test_what_a_person_accepted_is_said_and_that_there_was_nothing_to_accept() -> None:
    execution, verdict = metadata_store_pb2.Execution(), metadata_store_pb2.Artifact(type="GateVerdict")
    assert accepted_words([verdict], [execution]) == []
    execution.custom_properties["accept_reason"].string_value = "a holiday"
    assert accepted_words([verdict], [execution]) == [
        "`--accept-span` overruled nothing: no gate on data stops the span"
    ]
    for key, text in (("accepted", "few rows"), ("accept_reason", "a holiday"), ("accepted_by", "ann")):
        verdict.custom_properties[key].string_value = text
    assert accepted_words([verdict], [execution]) == ["few rows; accepted by ann: a holiday"]


def test_a_rule_that_refuses_for_many_slices_is_one_reason() -> None:
    rule = "evaluation.slice_thresholds.logloss.max_worsening"
    of_slices = [Finding("quality", rule, "refuse", f"logloss where city = {c}", 1, 0, 9, f"{c} is bad") for c in "ABC"]
    record = GateRecord("quality", 3, {}, (*of_slices, Finding("quality", rule, "warn", "x", 1, 0, 9, "a warning")))
    assert quality_refusals(record) == ["A is bad; likewise in 2 other slices: city = B, city = C"]


def test_the_label_is_named_as_the_log_names_it() -> None:
    def words(label: str | None = "y", rule: LabelRule | None = None, installs: Installs | None = None) -> str:
        impressions = Impressions(path="x", format="csv", label=label, label_rule=rule, timestamp="t")
        return label_words(Sources(impressions=impressions, installs=installs))

    assert words("clicked") == "`clicked` is 1"
    assert words("stars", LabelRule(at_least=4.0)) == "`stars` is at least 4"
    assert words("y", LabelRule(positive=("yes",))) == "`y` is `yes`"
    assert words("y", LabelRule(positive=tuple("abcde"))) == "`y` is `a` or `b` or `c` or one of 2 more values"
    installs = Installs(path="x", format="csv", attribution_seconds=7200.0)
    assert words(None, None, installs) == "an install with the same `user_id` and `app_id` follows within 7,200 s"
