"""The window of spans that a run is trained on, resolved from a real ML Metadata store."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.artifacts import (
    COMPLETED_BY,
    INPUT_FINGERPRINT,
    LATE,
    RECIPE,
    SPAN_FINGERPRINT,
    TAIL_OF,
    UNFIT,
)
from components.ingestion.counts import Counts, unfitness
from components.lineage import examples_behind
from components.resolvers import PrecedingSpan, SpanWindow
from tests.components.mlmd_lineage import Lineage
from transform.config.settings import Ingestion


def window(lineage: Lineage, num_spans: int, current: Any, history: list[Any]) -> list[int]:
    strategy = SpanWindow(num_spans, ["AnomalyGate", "DataGate"])
    resolved = strategy.resolve_artifacts(lineage.store, {"examples": [current], "history": history})
    assert resolved["history"] == []
    return [artifact.id for artifact in resolved["examples"]]


def test_the_window_is_the_run_s_span_and_those_before_it_newest_first(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3, 4, 5)]
    id_ = {a.get_int_custom_property("span"): a.id for a in spans}
    assert window(lineage, 1, spans[3], spans) == [id_[4]]
    assert window(lineage, 3, spans[3], spans) == [id_[4], id_[3], id_[2]]
    assert window(lineage, 9, spans[3], spans) == [id_[4], id_[3], id_[2], id_[1]]
    assert window(lineage, 3, spans[0], spans) == [id_[1]]


def test_a_gap_in_the_window_is_not_filled_from_before_it(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 5)]
    assert window(lineage, 3, spans[2], spans) == [spans[2].id]
    assert window(lineage, 4, spans[2], spans) == [spans[2].id, spans[1].id]


def test_of_a_span_that_was_ingested_twice_the_later_is_taken(lineage: Lineage) -> None:
    first, second, current = lineage.examples(1), lineage.examples(1), lineage.examples(2)
    assert window(lineage, 2, current, [second, current, first]) == [current.id, second.id]


def test_the_run_s_own_examples_are_taken_though_its_span_was_ingested_again(lineage: Lineage) -> None:
    current, again = lineage.examples(1), lineage.examples(1)
    assert window(lineage, 2, current, [current, again]) == [current.id]


def test_a_span_whose_last_ingestion_is_unfit_is_left_out_though_an_earlier_one_was_fit(lineage: Lineage) -> None:
    fit, unfit, current = lineage.examples(1), lineage.examples(1, unfit="too many rejected"), lineage.examples(2)
    assert window(lineage, 2, current, [fit, unfit, current]) == [current.id]


def test_the_last_ingestion_may_have_come_from_the_cache(lineage: Lineage) -> None:
    first, second, current = lineage.examples(1), lineage.examples(1), lineage.examples(2)
    lineage.execute((), first.id)  # the original files were restored
    assert window(lineage, 2, current, [first, second, current]) == [current.id, first.id]


def test_examples_of_another_recipe_are_left_out(lineage: Lineage, caplog: pytest.LogCaptureFixture) -> None:
    other = lineage.put(standard_artifacts.Examples, span=1, **{UNFIT: "", RECIPE: "another split"})
    alike = lineage.put(standard_artifacts.Examples, span=2, **{UNFIT: "", RECIPE: "this one"})
    current = lineage.put(standard_artifacts.Examples, span=3, **{UNFIT: "", RECIPE: "this one"})
    assert window(lineage, 3, current, [other, alike, current]) == [current.id, alike.id]
    assert caplog.messages == ["span 1 is left out: it was ingested by another config or other code only"]


def test_an_unfit_span_is_left_out_and_the_log_says_so(lineage: Lineage, caplog: pytest.LogCaptureFixture) -> None:
    spans = [lineage.examples(1), lineage.examples(2, unfit="too many rejected"), lineage.examples(3)]
    assert window(lineage, 3, spans[2], spans) == [spans[2].id, spans[0].id]
    assert caplog.messages == ["span 2 is left out of the window: too many rejected"]


def test_a_span_that_a_gate_stopped_is_left_out_until_a_run_of_it_is_let_through(
    lineage: Lineage, caplog: pytest.LogCaptureFixture
) -> None:
    drifted, strange, current = (lineage.examples(span) for span in (1, 2, 3))
    spans = [drifted, strange, current]
    of_drifted, of_strange = (lineage.put(standard_artifacts.ExampleStatistics, span) for span in (drifted, strange))
    anomalies = lineage.put(standard_artifacts.ExampleAnomalies, of_strange)
    lineage.gate("DataGate", of_drifted, passed=False)
    lineage.gate("AnomalyGate", anomalies, passed=False)
    assert window(lineage, 3, current, spans) == [current.id]
    assert caplog.messages == [
        f"span {span} is left out of the window: a gate on data stopped the run on its rows" for span in (2, 1)
    ]
    lineage.gate("DataGate", of_drifted, passed=True)  # as with drift.action: warn
    assert window(lineage, 3, current, spans) == [current.id, drifted.id]
    lineage.gate("DataGate", of_strange, passed=True)  # but the other gate still stops it
    assert window(lineage, 3, current, spans) == [current.id, drifted.id]
    lineage.gate("AnomalyGate", anomalies, passed=True)
    assert window(lineage, 3, current, spans) == [current.id, strange.id, drifted.id]


def test_a_span_that_was_stopped_stays_out_when_its_rows_are_ingested_by_another_recipe(lineage: Lineage) -> None:
    def examples(span: int, recipe: str, rows: str) -> Any:
        properties = {UNFIT: "", RECIPE: recipe, "input_fingerprint": rows}
        return lineage.put(standard_artifacts.Examples, span=span, **properties)

    stopped = examples(1, "old", "bad rows")
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, stopped), passed=False)
    again, current = examples(1, "new", "bad rows"), examples(2, "new", "rows")
    assert window(lineage, 2, current, [stopped, again, current]) == [current.id]
    rewritten = examples(1, "new", "other rows")
    assert window(lineage, 2, current, [stopped, again, rewritten, current]) == [current.id, rewritten.id]


def test_a_span_that_was_stopped_stays_out_when_a_table_of_all_spans_is_rewritten(lineage: Lineage) -> None:
    def examples(files: str, of_span: str) -> Any:
        properties = {UNFIT: "", RECIPE: "one", INPUT_FINGERPRINT: files, SPAN_FINGERPRINT: of_span}
        return lineage.put(standard_artifacts.Examples, span=1, **properties)

    stopped = examples("log and Monday's table", "log")
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, stopped), passed=False)
    again = examples("log and Tuesday's table", "log")
    current = lineage.put(standard_artifacts.Examples, span=2, **{UNFIT: "", RECIPE: "one"})
    assert window(lineage, 2, current, [stopped, again, current]) == [current.id]
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, again), passed=True)
    assert window(lineage, 2, current, [stopped, again, current]) == [current.id, again.id]
    rewritten = examples("another log and Tuesday's table", "another log")
    assert window(lineage, 2, current, [stopped, rewritten, current]) == [current.id, rewritten.id]


def test_a_stop_is_known_after_the_files_of_the_stopped_ingestion_were_removed(lineage: Lineage) -> None:
    """As after `wdr gc`, once a table that all spans share is rewritten."""
    stopped = lineage.examples(1, rows="log")
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, stopped), passed=False)
    again, current = lineage.examples(1, rows="log"), lineage.examples(2)
    lineage.remove(stopped)
    assert window(lineage, 2, current, [again, current]) == [current.id]
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, again), passed=True)
    assert window(lineage, 2, current, [again, current]) == [current.id, again.id]


def test_an_acceptance_is_known_after_the_files_of_the_accepted_ingestion_were_removed(lineage: Lineage) -> None:
    accepted = lineage.examples(1, unfit="too many rejected", rows="log")
    lineage.gate("RowGate", accepted, passed=True)
    again, current = lineage.examples(1, unfit="too many rejected", rows="log"), lineage.examples(2)
    lineage.remove(accepted)
    given = {"examples": [current], "history": [again, current]}
    found = SpanWindow(2, ["AnomalyGate"], "RowGate").resolve_artifacts(lineage.store, given)["examples"]
    assert [a.id for a in found] == [current.id, again.id]


def test_an_unfit_span_that_a_person_accepted_is_in_the_window(lineage: Lineage) -> None:
    unfit, current = lineage.examples(1, unfit="too many rejected"), lineage.examples(2)
    lineage.gate("RowGate", unfit, passed=False)
    strategy = SpanWindow(2, ["AnomalyGate"], "RowGate")

    def resolved() -> list[int]:
        found = strategy.resolve_artifacts(lineage.store, {"examples": [current], "history": [unfit, current]})
        return [artifact.id for artifact in found["examples"]]

    assert resolved() == [current.id]
    lineage.gate("RowGate", unfit, passed=True)
    assert resolved() == [current.id, unfit.id]


def test_what_a_person_accepted_stays_in_the_window_if_the_rows_are_ingested_again(lineage: Lineage) -> None:
    """As after an upgrade. With another finding, such as of a new column, it is not what the person accepted."""
    accepted = lineage.examples(1, unfit="too many rejected", rows="files")
    lineage.gate("RowGate", accepted, passed=True)
    again, current = lineage.examples(1, unfit="too many rejected", rows="files"), lineage.examples(2)
    strategy = SpanWindow(2, ["AnomalyGate"], "RowGate")

    def resolved(*history: Any) -> list[int]:
        given = {"examples": [current], "history": [*history, current]}
        return [artifact.id for artifact in strategy.resolve_artifacts(lineage.store, given)["examples"]]

    assert resolved(accepted, again) == [current.id, again.id]
    other = lineage.examples(1, unfit="a column is missing", rows="files")
    assert resolved(accepted, again, other) == [current.id]
    rewritten = lineage.examples(1, unfit="too many rejected", rows="other files")
    assert resolved(accepted, rewritten) == [current.id]


def test_what_a_person_accepted_is_known_by_the_sentence_of_ingestion(lineage: Lineage) -> None:
    """The sentence of real counts, with the numbers of another ingestion of the rows, and as 0.2.0 wrote it."""

    def examples(num_bad: int, quarantine: str = "") -> Any:
        counts = Counts(
            span=1,
            read={"impressions": 100},
            rejected={"impressions": {"malformed": num_bad}},
            labels={"train": {"0": 50, "1": 20}, "eval": {"0": 20, "1": 10 - num_bad}},
        )
        found = unfitness(counts, Ingestion(max_rejected_fraction=0.01)) + quarantine
        return lineage.examples(1, unfit=found, rows="files")

    accepted = examples(6, "; they are in /store/quarantine/1")
    lineage.gate("RowGate", accepted, passed=True)
    current = lineage.examples(2)
    for again, is_in in (
        (examples(6), True),
        (examples(6, "; they are in /store/quarantine/9"), True),
        (examples(7), False),
    ):
        given = {"examples": [current], "history": [accepted, again, current]}
        found = SpanWindow(2, ["AnomalyGate"], "RowGate").resolve_artifacts(lineage.store, given)["examples"]
        assert [a.id for a in found] == ([current.id, again.id] if is_in else [current.id])


def tail(lineage: Lineage, of: Any, by: Any, completed: int = 5) -> Any:
    """Adds the completed tail of Examples."""
    properties = {LATE: 1, TAIL_OF: of.id, COMPLETED_BY: by.id, "completed": completed}
    return lineage.put(standard_artifacts.Examples, of, by, span=of.get_int_custom_property("span"), **properties)


def late_window(lineage: Lineage, num_spans: int, history: list[Any], completed: list[Any]) -> list[int]:
    """Returns the window of the last of `history`, with completed tails."""
    given = {"examples": [history[-1]], "history": history, "completed": completed}
    resolved = SpanWindow(num_spans, ["DataGate"], "RowGate").resolve_artifacts(lineage.store, given)
    assert (resolved["history"], resolved["completed"]) == ([], [])
    return [artifact.id for artifact in resolved["examples"]]


def test_a_tail_is_in_the_window_as_long_as_the_span_that_completed_it(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 2, 3, 4)]
    one, two, three, four = (artifact.id for artifact in spans)
    tails = [tail(lineage, of, by) for of, by in itertools.pairwise(spans)]
    of_one, of_two, of_three = (artifact.id for artifact in tails)
    assert late_window(lineage, 1, spans, tails) == [four, of_three]
    assert late_window(lineage, 2, spans, tails) == [four, three, of_three, of_two]
    assert late_window(lineage, 9, spans, tails) == [four, three, two, one, of_three, of_two, of_one]
    # A span that is run again does not learn what a later span has completed.
    assert late_window(lineage, 9, spans[:2], tails) == [two, one, of_one]


def test_a_tail_is_left_out_if_its_span_or_the_one_that_completed_it_must_not_be_learned_from(
    lineage: Lineage, caplog: pytest.LogCaptureFixture
) -> None:
    spans = [lineage.examples(1, unfit="too many rejected"), lineage.examples(2), lineage.examples(3)]
    tails = [tail(lineage, of, by) for of, by in itertools.pairwise(spans)]
    assert late_window(lineage, 2, spans, tails) == [spans[2].id, spans[1].id, tails[1].id]
    assert caplog.messages == ["the tail of span 1 is left out: too many rejected"]
    lineage.gate("RowGate", spans[0], passed=True)  # a person accepted it
    assert late_window(lineage, 2, spans, tails) == [spans[2].id, spans[1].id, tails[1].id, tails[0].id]
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, spans[1]), passed=False)
    assert late_window(lineage, 2, spans, tails) == [spans[2].id]  # span 2 has lost installs, say


def test_of_a_tail_the_completion_of_the_window_s_own_ingestions_is_taken(lineage: Lineage) -> None:
    first, second = lineage.examples(1), lineage.examples(2)
    old = tail(lineage, first, second)
    again = lineage.examples(1)
    assert late_window(lineage, 2, [first, again, second], [old]) == [second.id, again.id]
    new = tail(lineage, again, second)
    assert late_window(lineage, 2, [first, again, second], [old, new]) == [second.id, again.id, new.id]
    empty = tail(lineage, again, second, completed=0)
    assert late_window(lineage, 2, [first, again, second], [empty]) == [second.id, again.id]


def test_the_span_that_has_the_tail_is_the_one_right_before(lineage: Lineage) -> None:
    def preceding(*history: Any) -> list[int]:
        given = {"examples": [history[-1]], "history": [*history]}
        resolved = PrecedingSpan().resolve_artifacts(lineage.store, given)
        assert resolved["examples"] == []
        return [artifact.id for artifact in resolved["history"]]

    one, three, four = (lineage.examples(span) for span in (1, 3, 4))
    assert preceding(one) == []
    assert preceding(one, three) == []  # the tail of span 1 waits for span 2
    assert preceding(one, three, four) == [three.id]
    again = lineage.examples(3)
    assert preceding(one, three, again, four) == [again.id]


def test_behind_a_completed_tail_are_the_ingestions_of_both_spans(lineage: Lineage) -> None:
    first, second = lineage.examples(1), lineage.examples(2)
    model = lineage.model(second, tail(lineage, first, second))
    assert sorted(a.id for a in examples_behind(lineage.store, model.id)) == [first.id, second.id]
