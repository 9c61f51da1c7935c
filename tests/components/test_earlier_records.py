"""Which earlier records a gate receives, resolved from a real ML Metadata store."""

from __future__ import annotations

from typing import Any

from tfx.types import standard_artifacts

from components.artifact_types import GateRecord
from components.resolvers import EarlierRecords
from tests.components.mlmd_lineage import Lineage


def put_record(lineage: Lineage, examples: Any, gate: str = "counts") -> Any:
    span = examples.get_int_custom_property("span")
    return lineage.put(GateRecord, examples, gate=gate, span=span)


def earlier(lineage: Lineage, current: Any, records: list[Any], num_spans: int = 9) -> list[int]:
    strategy = EarlierRecords("counts", num_spans, ["CountsGate", "DataGate"])
    resolved = strategy.resolve_artifacts(lineage.store, {"examples": [current], "records": records})
    assert resolved["examples"] == []
    return [artifact.id for artifact in resolved["records"]]


def test_the_records_of_the_last_spans_before_the_run_s_are_taken_newest_first(lineage: Lineage) -> None:
    spans = [lineage.examples(span) for span in (1, 3, 2, 5)]
    one, three, two, five = records = [put_record(lineage, examples) for examples in spans]
    current = lineage.examples(4)
    assert earlier(lineage, current, records) == [three.id, two.id, one.id]
    assert earlier(lineage, current, records, num_spans=2) == [three.id, two.id]
    assert earlier(lineage, spans[0], records) == []
    assert earlier(lineage, lineage.examples(6), records, num_spans=1) == [five.id]


def test_a_record_without_inputs_takes_no_span_s_place(lineage: Lineage) -> None:
    """The quality gate's, of a span whose model infra validation refused."""
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    first, second = put_record(lineage, one), put_record(lineage, two)
    empty = [lineage.put(GateRecord, e, gate="counts", span=n, empty=1) for n, e in ((2, two), (3, three))]
    records = [first, second, *empty]
    assert earlier(lineage, lineage.examples(4), records, num_spans=2) == [second.id, first.id]


def test_another_gate_s_records_are_left_out(lineage: Lineage) -> None:
    one = lineage.examples(1)
    other, own = put_record(lineage, one, gate="drift"), put_record(lineage, one)
    assert earlier(lineage, lineage.examples(2), [own, other]) == [own.id]


def test_the_newest_record_of_a_span_counts(lineage: Lineage) -> None:
    first, again = (put_record(lineage, lineage.examples(1)) for _ in range(2))
    assert earlier(lineage, lineage.examples(2), [again, first]) == [again.id]


def test_a_span_that_a_gate_stopped_is_no_reference_until_it_is_accepted(lineage: Lineage) -> None:
    one, two, three = (lineage.examples(span) for span in (1, 2, 3))
    records = [put_record(lineage, examples) for examples in (one, two, three)]
    lineage.gate("CountsGate", records[1], passed=False)
    lineage.gate("DataGate", lineage.put(standard_artifacts.ExampleStatistics, three), passed=False)
    current = lineage.examples(4)
    assert earlier(lineage, current, records) == [records[0].id]
    lineage.gate("CountsGate", records[1], passed=True)  # a person accepted it
    assert earlier(lineage, current, records) == [records[1].id, records[0].id]
