"""The page of a run: all sections are there, whatever the run came to, and nothing from data becomes markup."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.artifacts import ESTIMATED, UNCOUNTED
from components.evaluation.metrics.paired import PairedDifference
from components.evaluation.results import Estimate, EvaluationResult
from components.gate_records import Finding
from components.infra_validation.verdict import Latency, Measurements, Verdict
from components.ingestion.counts import Counts
from components.model_store.manifest import Manifest
from components.quality_gate.inputs import AucFalls, ReferenceResult
from pipeline.report.page import numbers
from pipeline.report.page.model_card import model_card, plain
from pipeline.report.page.parts import Note, Section, Table
from pipeline.report.page.render import chart_script
from pipeline.report.page.sections import curves, features, flow
from pipeline.report.page.write import SECTIONS, render_run_page, render_sections
from pipeline.report.result.run import Node, Output, Run
from pipeline.report.result.scores import Histogram
from pipeline.report.run_report import RunReport
from tests.once import made_once
from tests.pipeline.report.console.summaries import trained
from tests.pipeline.report.page.page_elements import Elements
from tests.pipeline.report.run_results import ended, run_result
from trainer.training.position import Epoch, Metrics
from trainer.warm_start.report import TableReport, WarmStartReport

HOSTILE = '</script><img src=x onerror="alert(1)"><!--{{ 7 * 7 }}'


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the charts' script, which takes two seconds to make."""
    return made_once(tmp_path_factory, "chart_script", chart_script)


def page(run: Run, cache: Path) -> str:
    sections, problems = render_sections(run)
    assert problems == ()
    return render_run_page(run, sections, cache)


def full_report(name: str) -> RunReport:
    """The report of a second day that pushed; `name` stands wherever a text comes from data."""
    measured = EvaluationResult(
        20, {"auc": 0.7}, {"auc": 0.69}, {"auc": Estimate(0.01, 0.02)}, errors={"auc": 0.01}, num_positives=3
    )
    cost = Measurements(2.0, 3.0, 400.0, 50.0, (Latency(200, 1, 2.0, 3.0, 4.0),))
    epochs = (Epoch(1, 100, 0.3, Metrics(20, 0.6, 0.29)), Epoch(2, 100, 0.2, Metrics(20, 0.7, 0.25)))
    start = WarmStartReport("models/1", {f"wide/{name}": TableReport(5, 2, 1, 0.5)}, (), (f"{name}: changed",))
    training = trained(
        warm_started_from="models/1", warm_start=start, epochs=epochs, num_epochs=2, vocabulary_sizes={name: 7}
    )
    finding = Finding("quality", "evaluation.thresholds", "warn", name, 0.7, 0.8, 20, f"{name} is low")
    return run_result(
        span=2,
        spans=(2, 1),
        counts=Counts(span=2, read={"impressions": 120, name: 5}, rejected={"impressions": {name: 20}},
                      labels={"train": {"0": 70, "1": 10}, "eval": {"0": 15, "1": 5}}),
        training=training,
        metrics={"auc": 0.75},
        baseline={"auc": 0.7},
        changes={"auc": (0.01, 0.09)},
        slices={f"country = {name}": measured},
        auc_falls=AucFalls(20, 0.75, {name: 0.1, "other": 0.01}, errors={name: 0.01, "other": 0.02}),
        findings=(finding,),
        data_findings=(finding,),
        infra=Verdict((), cost, cost),
        places={name: name},
        push_note=name,
        held_against=name,
    )  # fmt: skip


@pytest.mark.parametrize(
    "report",
    [
        full_report("in"),
        run_result(),
        run_result(status="refused", version=None, refusals=("auc is low",), metrics={}, infra=Verdict(("slow",))),
        RunReport.skipped(3, "row_gate", "too few rows"),
        RunReport.failed(3, "trainer", "the disk is full"),
    ],
    ids=["second", "first", "refused", "skipped", "failed"],
)
def test_every_section_is_there_and_says_something(report: RunReport, cache: Path) -> None:
    elements = Elements(page(ended(report), cache))
    anchors = [attributes["id"] for tag, attributes in elements.tags if tag == "section"]
    assert anchors == ["verdict", *(anchor for anchor, _, _ in SECTIONS)]
    headings = {name: text.split("\n") for name, text in elements.text.items() if name}
    assert {name: bool("".join(lines[3:]).strip()) for name, lines in headings.items()} == dict.fromkeys(headings, True)


def test_it_says_how_a_run_ended() -> None:
    skipped = ended(RunReport.skipped(3, "row_gate", "too few rows"), existing=(4,), manifests={4: Manifest()})
    text = "".join(line for line in _texts(skipped))
    assert "Version 4 serves. It is not this run's." in text
    assert "row_gate stopped the run: too few rows" in text


def _texts(run: Run) -> list[str]:
    from pipeline.report.page.sections.verdict import head

    sections, _ = render_sections(run)
    shown = head(run)
    notes = [*(n for of_it in shown.answers.values() for n in of_it), *(b for s in sections for b in s.blocks)]
    return [*shown.quiet, *(note.text for note in notes if isinstance(note, Note))]


def test_the_page_of_a_failed_run_denies_nothing_that_the_run_did() -> None:
    """It failed in the push, after all of them; its report has none."""
    found = _texts(ended(RunReport.failed(3, "push", "the disk is full")))
    assert found.count("Not in this report: the run failed in push.") == 8
    for denial in ("No model was trained", "Infra validation did not run", "The model was not", "on quality did not"):
        assert not [text for text in found if denial in text]


def test_a_hostile_text_is_text_only(cache: Path) -> None:
    made = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    node = Node(HOSTILE, "done", made, 3.0, (Output(HOSTILE, HOSTILE, 2),))
    run = ended(full_report(HOSTILE), run_id=HOSTILE, pipeline_name=HOSTILE, nodes=(node,))
    hostile, harmless = Elements(page(run, cache)), Elements(page(ended(full_report("in"), nodes=(node,)), cache))
    assert {tag for tag, _ in hostile.tags} == {tag for tag, _ in harmless.tags}
    assert sum(tag == "script" for tag, _ in hostile.tags) == 3  # the charts' data, Vega, and the page's own
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert HOSTILE in hostile.text["gates"]
    assert "49" not in hostile.text["gates"]
    (specs,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', page(run, cache))
    assert any(HOSTILE in json.dumps(spec, ensure_ascii=False).replace('\\"', '"') for spec in json.loads(specs))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("`a < b` is 1", "<code>a &lt; b</code> is 1"), ("it's `odd", "it&#39;s `odd"), ("plain", "plain")],
)
def test_what_stands_between_backticks_is_code(text: str, shown: str, cache: Path) -> None:
    assert f'<p class="note ">{shown}</p>' in render_run_page(
        ended(run_result()), [Section("one", "One", [Note(text)])], cache
    )


@pytest.mark.parametrize(
    ("columns", "is_folded"),
    [(("x", "#n", "#m"), False), (("x", "y"), False), (("x", "#n", "words"), True), (("x", "#n", "#m", "#k"), True)],
)
def test_a_table_that_is_wider_than_a_phone_is_folded_there(columns: tuple[str, ...], is_folded: bool) -> None:
    assert Table("a table", columns, []).is_folded is is_folded


def test_a_hostile_text_is_text_only_in_the_model_card() -> None:
    card = model_card(ended(full_report(HOSTILE), pipeline_name=HOSTILE))
    assert "<" not in card.replace("\\<", "")
    assert plain("a|b\n# *c*") == "a\\|b \\# \\*c\\*"


def test_a_page_fetches_nothing(cache: Path) -> None:
    text = page(ended(full_report("in")), cache)
    assert "default-src 'none'" in text
    elements = Elements(text)
    assert [a for _, a in elements.tags if "src" in a] == []
    assert [tag for tag, _ in elements.tags if tag in ("link", "iframe", "img", "object", "form")] == []
    others = {str(a["href"]) for tag, a in elements.tags if tag == "a" and not str(a["href"]).startswith("#")}
    assert others == {"index.html", "a-run.model_card.md"}


def test_its_size_is_bounded(cache: Path) -> None:
    """Three thousand slices, findings and reasons, each with a name of ten thousand characters."""
    names = [f"{i} " + "x" * 10_000 for i in range(3000)]
    whole = EvaluationResult(20, {"auc": 0.7}, {}, {}, errors={"auc": 0.01})
    report = run_result(
        slices=dict.fromkeys(names, whole),
        counts=Counts(span=1, read={"impressions": 9}, rejected={"impressions": dict.fromkeys(names, 1)}),
        training=trained(vocabulary_sizes=dict.fromkeys(names, 1)),
    )
    script = len(chart_script(cache))
    assert len(page(ended(report), cache)) - script < 1_500_000
    small = len(page(ended(full_report("in")), cache)) - script
    assert small < 100_000


def test_a_section_whose_artifact_is_damaged_says_so_and_the_others_are_made(tmp_path: Path) -> None:
    (tmp_path / "gate_record.json").write_text("{")
    made = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    node = Node("data_validation", "done", made, 3.0, (Output("GateRecord", str(tmp_path), 2),))
    sections, problems = render_sections(ended(run_result(), nodes=(node,)))
    assert len(sections) == len(SECTIONS)
    assert [problem.split(":")[0] for problem in problems] == ["Verdicts of the gates", "Features and drift", "Lineage"]
    assert all("gate_record.json" in problem or "schema version" in problem for problem in problems)


def test_damaged_statistics_cost_their_section_only(tmp_path: Path) -> None:
    (tmp_path / "Split-train").mkdir()
    (tmp_path / "Split-train" / "FeatureStats.pb").write_bytes(b"\xff\xff\xff")
    made = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    node = Node("statistics_gen", "done", made, 3.0, (Output("ExampleStatistics", str(tmp_path), 2),))
    sections, problems = render_sections(ended(run_result(), nodes=(node,)))
    assert len(sections) == len(SECTIONS)
    assert [problem.split(":")[0] for problem in problems] == ["Features and drift"]


def test_estimates_of_distinct_values_are_marked() -> None:
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    features_of = statistics.datasets.add().features
    for name, unique, mark in (("app_id", 1234, ESTIMATED), ("country", 1234, ""), ("request_id", 0, UNCOUNTED)):
        feature = features_of.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        feature.path.step.append(name)
        feature.string_stats.unique = unique
        feature.string_stats.common_stats.tot_num_values = 200
        if unique:
            feature.string_stats.rank_histogram.buckets.add(label="a", sample_count=50)
        if mark:
            feature.custom_stats.add(name=mark, num=1)
    (table,) = features._tables({feature.path.step[0]: feature for feature in features_of}, {})
    assert isinstance(table, Table)
    cells = {row[0]: (row[2], row[4]) for row in table.rows}
    assert cells == {
        "app_id": ("about 1,234", "a, at least 25.0 %"),
        "country": ("1,234", "a, 25.0 %"),
        "request_id": ("–", "–"),
    }
    shown = [features._categorical_chart(feature.path.step[0], {"span 1": feature}) for feature in features_of]
    assert [figure and "The shares in span 1 are at least so high." in figure.words for figure in shown] == [
        True,
        False,
        None,
    ]


def test_a_kept_script_that_is_not_whole_is_made_again(cache: Path, tmp_path: Path) -> None:
    (file,) = cache.glob("*.js")
    whole = file.read_text()
    (tmp_path / file.name).write_text(whole[:1000])
    assert chart_script(tmp_path) == chart_script(cache)
    assert (tmp_path / file.name).read_text() == whole
    assert "</script" not in whole


#: Scores 0.1, 0.2 and 0.4 with 4, 2 and 2 examples, of which 1, 0 and 2 are positive.
HISTOGRAM = Histogram(np.array([4.0, 2.0, 2.0]), np.array([1.0, 0.0, 2.0]), np.array([0.4, 0.4, 0.8]))


def test_roc() -> None:
    false, true = curves.roc(HISTOGRAM)
    assert false.tolist() == [0, 0, 2 / 5, 1]
    assert true.tolist() == [0, 2 / 3, 2 / 3, 1]


def test_precision_and_recall() -> None:
    recall, precision = curves.precision_recall(HISTOGRAM)
    assert recall.tolist() == [2 / 3, 2 / 3, 1]
    assert precision.tolist() == [1, 1 / 2, 3 / 8]


def test_calibration() -> None:
    """Two groups of four examples."""
    found = curves.calibration(HISTOGRAM, groups=2)
    assert [[round(x, 6) for x in group] for group in found] == [[0.1, 0.25, 4], [0.3, 0.5, 4]]


def test_a_histogram_is_rebinned() -> None:
    """Four values in [0, 2) and two in [2, 4): of [1, 3), two and one."""
    shares = features._rebinned([(0.0, 2.0, 4.0), (2.0, 4.0, 2.0)], np.array([0.0, 1.0, 3.0, 4.0]))
    assert [round(share, 6) for share in shares] == [round(x / 6, 6) for x in (2, 3, 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.percent(0.0004), "< 0.1 %"),
        (numbers.percent(0.1234), "12.3 %"),
        (numbers.percent(0.0), "0 %"),
        (numbers.metric(math.nan), "–"),
        (numbers.signed(-0.01), "−0.0100"),
        (numbers.short(197_300.4), "197,300"),
        (numbers.short(0.012345), "0.01235"),
        (numbers.seconds(8.04), "8.0 s"),
        (numbers.seconds(200), "3 min 20 s"),
        (numbers.seconds(7300), "2 h 1 min"),
        (numbers.plural(1, "epoch"), "1 epoch"),
        (numbers.plural(2, "epoch"), "2 epochs"),
    ],
)
def test_numbers(text: str, expected: str) -> None:
    assert text == expected


def test_reference_models_are_compared_in_a_table_and_in_words(cache: Path) -> None:
    beaten = ReferenceResult(900, {"auc": 0.5, "logloss": 0.3}, {"logloss": PairedDifference(-0.05, 0.01)})
    better = ReferenceResult(900, {"auc": 0.8, "logloss": 0.2}, {"auc": PairedDifference(-0.05, 0.01)})
    tried = ("model: {parts: wide}",)
    text = page(ended(run_result(references={"constant": beaten, "item_mean": better}, suggestions=tried)), cache)
    sentence = (
        "is worse than the item mean: auc 0.7500 against 0.8000, difference -0.0500 (95 % interval -0.0696 to -0.0304)."
    )
    assert f"The model {sentence}" in text  # in the head
    assert "Most likely to help: model: {parts: wide}." in text
    assert "wdr try CONFIG --suggest --data DATA --span 1" in text  # as the next step
    assert f"The candidate model {sentence}" in text
    assert "not better than the constant" not in text
    alone = page(ended(run_result(references={"constant": beaten})), cache)
    assert "The candidate model is better than each reference model." in alone


def test_the_way_of_the_data_names_the_models_that_scored() -> None:
    counts = Counts(span=1, read={"impressions": 120}, labels={"train": {"0": 70, "1": 10}})
    for baseline, who in (({}, "the candidate model"), ({"auc": 0.7}, "both models")):
        steps = list(flow._steps(ended(run_result(counts=counts, baseline=baseline)), counts))
        assert steps[-1] == ("evaluated", 20, f"evaluation examples that {who} scored")


def test_a_window_that_lacks_spans_is_told_with_the_data_and_in_the_model_card(cache: Path) -> None:
    run = ended(dataclasses.replace(full_report("in"), span=5, spans=(5, 3), missing_spans=(4,)))
    reported = "window (ingestion.window_spans) lacks span 4; the run's log says why"
    assert f"The {reported}." in Elements(page(run, cache)).text["data"]
    assert plain(reported) in model_card(run)
