"""The rules for a log of served rankings, on hand-written evidence."""

from __future__ import annotations

import pytest

from components.data_validation.evidence import Rescored, SpanEvidence
from components.data_validation.served_rules.rules import event_findings, moved_findings, rescored_findings
from components.gate_records import Finding
from components.ingestion.evidence import ServedEvidence
from tests.components.data_validation.hand_written import span
from transform.config.drift import Drift


def served(number: int, shown: int = 1000, moved: int = 0, **events: int) -> SpanEvidence:
    return span(number, served=ServedEvidence(shown, moved, events))


@pytest.mark.parametrize(("different", "is_stopped"), [(0, False), (4, False), (5, True)])
def test_at_most_2_rows_in_1000_have_another_score(different: int, is_stopped: bool) -> None:
    current = span(1, rescored=Rescored(2100, 2000, different, 0.1, "have the scores of version 2"))
    found = list(rescored_findings(current, [], Drift()))
    assert [each.severity for each in found] == (["stop"] if is_stopped else [])
    if is_stopped:
        assert found[0].sentence == (
            "scored again by the version that ranked it, a row must have the score that it was ranked by, to 1e-05, "
            "other than 0.20% of the rows (drift.max_rescored_share). Received: 5 of 2,000 differ, by up to 0.1; the "
            "rows have the scores of version 2"
        )


def test_rows_of_versions_that_are_gone_cannot_be_judged() -> None:
    (found,) = rescored_findings(span(1, rescored=Rescored(200, 0, 0, 0.0)), [], Drift())
    assert found.severity == "cannot_judge"
    assert "none of 200 rows has a score and a version whose model can score it" in found.sentence


def test_a_log_that_no_model_ranked_is_not_judged() -> None:
    assert list(rescored_findings(span(1), [], Drift())) == []
    assert list(moved_findings(span(2), [span(1)], Drift())) == []
    assert list(event_findings(span(2), [span(1)], Drift())) == []


def moved(number: int) -> list[Finding]:
    """Of 1,000 items before, 5 % were moved by exploration: 15 % are allowed, and 3 x sqrt(2 x .05 x .95 / 1000)."""
    return list(moved_findings(served(3, moved=number), [served(1, moved=40), served(2, moved=50)], Drift()))


def test_positions_that_are_shifted_by_one() -> None:
    assert moved(179) == []  # 0.15 + 0.0292
    (found,) = moved(1000)
    assert (found.severity, found.value) == ("stop", 1.0)
    assert found.bound == pytest.approx(0.17924, abs=1e-5)
    assert found.sentence == (
        "at most 5.0% of the items shown were elsewhere than at their place in the answer, in the 2 spans before it; a "
        "span may have at most 17.9% (drift.max_moved_increase). Received: 100.0%, 1,000 of 1,000"
    )


def test_events_that_are_doubled() -> None:
    before = [served(1, used=990, doubled=10), served(2, used=1000)]
    assert list(event_findings(served(3, used=930, doubled=70), before, Drift())) == []  # 1 % + 5 % + 1.3 %
    (found,) = event_findings(served(3, used=500, doubled=500), before, Drift())
    assert (found.severity, found.subject, found.value) == ("stop", "events: doubled", 0.5)
    assert "at most 1.0% of the events were `doubled`" in found.sentence


def test_the_first_span_of_served_rankings_has_nothing_to_be_compared_with() -> None:
    assert list(event_findings(served(3, used=1, doubled=9), [span(1)], Drift())) == []
