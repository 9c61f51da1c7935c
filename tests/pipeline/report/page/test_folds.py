"""Of a long page, sentences are shown at once, and tables and charts of some sections on request."""

from __future__ import annotations

from components.infra_validation.verdict import Latency, Measurements, Verdict
from components.ingestion.counts import Counts
from pipeline.report.page.parts import Figure, Fold, Note, Section, Table
from pipeline.report.page.render import collect_figures
from pipeline.report.page.write import FOLDED, render_sections
from tests.pipeline.report.run_results import ended, run_result

COST = Measurements(2.0, 3.0, 400.0, 50.0, (Latency(200, 1, 2.0, 3.0, 4.0),))


def test_sentences_stay_and_what_is_long_is_shown_on_request() -> None:
    """A warning is never in a fold; nor is a section without a sentence of what is in it."""
    counts = Counts(span=1, read={"impressions": 9}, rejected={"impressions": {"bad_label": 1}})
    sections, _ = render_sections(ended(run_result(counts=counts, infra=Verdict((), COST, COST))))
    folded = {section.id: section for section in sections if section.id in FOLDED}
    assert list(folded) == list(FOLDED)
    for section in folded.values():
        assert isinstance(section.blocks[0], Note)
        folds = [block for block in section.blocks if not isinstance(block, Note)]
        assert all(isinstance(fold, Fold) and not any(isinstance(b, Note) for b in fold.blocks) for fold in folds)
    first = folded["cost"].blocks[0]
    assert isinstance(first, Note)
    assert "candidate p95 3.0 ms for 200 candidates; baseline p95 3.0 ms for 200 candidates." in first.text
    assert "Latency" in [figure.title for figure in collect_figures(sections)]  # the script draws those in folds, too


def test_a_fold_has_what_is_not_a_sentence_after_the_words_of_the_first_chart() -> None:
    table = Table("a table", ("x",), [("1",)])
    chart, warning = Figure("a chart", "It rises.", {}, table), Note("too few rows", "warn")
    assert Fold.of("More", [chart, warning, table]) == [Note("It rises."), warning, Fold("More", [chart, table])]
    assert Fold.of("More", [warning]) == [warning]


def test_a_narrow_screen_shows_sentences_and_what_changed_at_once() -> None:
    """What is long is in a part, in its place; in the section on what changed it is not."""
    table, note, fold = Table("a table", ("x",), [("1",)]), Note("good", "good"), Fold("More", [])
    section = Section("quality", "Quality", [table, note, table, table, fold])
    assert [(group.is_long, list(group.blocks)) for group in section.groups] == [
        (True, [table]), (False, [note]), (True, [table, table]), (False, [fold])
    ]  # fmt: skip
    sections, _ = render_sections(ended(run_result()))
    assert [found.id for found in sections if found.is_open] == ["changes"]
