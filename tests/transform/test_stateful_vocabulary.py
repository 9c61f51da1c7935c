"""The vocabularies' memory: for how long, how many, and which tokens are remembered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from transform.config.config_file import parse_config
from transform.errors import InputError
from transform.feature_spec import FeatureSpec
from transform.stateful_vocabulary import (
    MAX_REMEMBERED_COMBINATIONS,
    MEMORY_FILE,
    Memory,
    Rule,
    Seen,
    earlier_tokens,
    read_vocabulary_state,
    rules,
    updated,
    write_vocabulary_state,
)


def spec_of(*crosses: dict[str, Any], **weekday: Any) -> FeatureSpec:
    """Two categorical features and a numeric one; `weekday`'s vocabulary rule has the given keys."""
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "weekday", "side": "context", "kind": "categorical", "vocabulary": weekday},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {"memory_spans": 0}},
                {"name": "price", "side": "item", "kind": "numeric", "num_quantiles": 2},
            ],
            "crosses": list(crosses),
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    ).spec


DAYS = [b"thu", b"fri", b"sat", b"sun", b"mon", b"tue", b"wed"]


def test_a_weekday_that_a_window_of_one_day_lacks_is_remembered_until_it_comes_back() -> None:
    spec = spec_of(memory_spans=7)
    memory: Memory | None = None
    for span in range(1, 15):
        if memory is not None:
            remembered = earlier_tokens(memory, spec, span)["weekday"]
            assert set(remembered) == set(DAYS[: span - 1])
        memory = updated(memory, {span: {"weekday": [(DAYS[(span - 1) % 7], 100)]}}, spec, span)
    assert memory is not None
    # When no Thursday occurs any more, it is forgotten 7 spans after span 8, the last span that had it.
    for span in range(15, 17):
        memory = updated(memory, {span: {"weekday": [(b"fri", 100)]}}, spec, span)
        assert (b"thu" in earlier_tokens(memory, spec, span + 1).get("weekday", [])) is (span + 1 <= 8 + 7)


def test_counts_are_halved_every_half_of_the_memory() -> None:
    spec = spec_of(memory_spans=4)
    memory = updated(None, {3: {"weekday": [(b"thu", 8), (b"fri", 1)]}}, spec, 3)
    memory = updated(memory, {5: {"weekday": [(b"thu", 2)]}}, spec, 5)
    # Two spans later, a count of 8 has decayed to 4, and a count of 1 to 1/2.
    assert memory == Memory(5, {"weekday": {b"thu": Seen(6.0, 5), b"fri": Seen(0.5, 3)}})


def test_earlier_spans_of_a_window_that_no_memory_has_counted_are_counted_at_once() -> None:
    spec = spec_of(memory_spans=4)
    counts = {2: {"weekday": [(b"thu", 8)]}, 3: {"weekday": [(b"thu", 1)]}, 4: {"weekday": [(b"fri", 5)]}}
    at_once = updated(None, counts, spec, 4)
    assert at_once.vocabularies["weekday"][b"thu"].last_span == 3
    one_by_one = None
    for span, of_span in counts.items():
        one_by_one = updated(one_by_one, {span: of_span}, spec, span)
    assert one_by_one is not None
    for token, seen in at_once.vocabularies["weekday"].items():
        other = one_by_one.vocabularies["weekday"][token]
        assert seen.last_span == other.last_span
        assert seen.count == pytest.approx(other.count)


def test_of_more_tokens_than_the_vocabulary_s_maximum_the_most_frequent_are_remembered() -> None:
    spec = spec_of(memory_spans=4, max_size=2)
    counts = [(b"thu", 5), (b"fri", 7), (b"sat", 6)]
    memory = updated(None, {1: {"weekday": counts}}, spec, 1)
    assert earlier_tokens(memory, spec, 2) == {"weekday": [b"fri", b"sat"]}


def test_what_has_no_memory_is_not_remembered() -> None:
    """`app` forgets at once; quantile numbers represent other values in another window; hash buckets have no tokens."""
    crosses: tuple[dict[str, Any], ...] = (
        {"features": ["weekday", "app"], "min_count": 2},
        {"features": ["app", "weekday"], "min_count": 2, "max_size": 10, "memory_spans": 3},
        {"features": ["app", "price"], "min_count": 2},
        {"features": ["weekday", "price"], "num_hash_buckets": 10},
    )
    assert rules(spec_of(*crosses)) == {
        "weekday": Rule(14, None),
        "weekday_x_app": Rule(14, MAX_REMEMBERED_COMBINATIONS),
        "app_x_weekday": Rule(3, 10),
    }


def derived(part: str | None, zone: str = "UTC", form: str = "iso") -> FeatureSpec:
    """A feature that is a part of a time, one that shares its vocabulary, and a cross of it."""
    derive = None if part is None else {"part": part, "format": form, "time_zone": zone}
    return parse_config(
        {
            "name": "x",
            "sources": {"impressions": {"path": "a.csv", "format": "csv", "label": "y", "request_id": "r"}},
            "features": [
                {"name": "shared", "side": "context", "kind": "categorical", "vocabulary": {}},
                {"name": "part", "side": "context", "kind": "categorical", "vocabulary": "shared", "derive": derive},
                {"name": "app", "side": "item", "kind": "categorical", "vocabulary": {}},
            ],
            "crosses": [{"features": ["app", "part"], "min_count": 1}],
            "evaluation": {"thresholds": {"auc": {"min": 0.5}}},
        },
        "test",
    ).spec


TOKENS = {"shared": [(b"12", 3)], "app": [(b"chess", 3)], "app_x_part": [(b"chess\x1f12", 3)]}


@pytest.mark.parametrize("after", [derived("day"), derived("month", "Asia/Tokyo"), derived(None)])
def test_tokens_of_another_part_or_another_zone_are_not_remembered(tmp_path: Path, after: FeatureSpec) -> None:
    write_vocabulary_state(updated(None, {1: TOKENS}, derived("month"), 1), str(tmp_path))
    memory = read_vocabulary_state(str(tmp_path))
    kept = {"shared": [b"12"], "app": [b"chess"], "app_x_part": [b"chess\x1f12"]}
    assert earlier_tokens(memory, derived("month"), 2) == kept
    assert earlier_tokens(memory, derived("month", form="epoch_seconds"), 2) == kept
    assert earlier_tokens(memory, after, 2) == {"app": [b"chess"]}
    # They do not come back by the next memory either, whose tokens have the new meaning.
    again = updated(memory, {2: {"shared": [(b"13", 1)]}}, after, 2)
    assert set(again.vocabularies["shared"]) == {b"13"}
    assert earlier_tokens(again, after, 3) == {"shared": [b"13"], "app": [b"chess"]}
    assert earlier_tokens(again, derived("month"), 3) == {"app": [b"chess"]}


def test_a_further_feature_of_the_same_part_keeps_the_memory(tmp_path: Path) -> None:
    before = derived("month")
    (part,) = (f for f in before.features if f.derive is not None)
    further = dataclasses.replace(part, name="other_part", vocabulary="shared")
    both = dataclasses.replace(before, features=(*before.features, further))
    for first, then in ((before, both), (both, before)):
        write_vocabulary_state(updated(None, {1: TOKENS}, first, 1), str(tmp_path))
        assert earlier_tokens(read_vocabulary_state(str(tmp_path)), then, 2)["shared"] == [b"12"]


def test_a_memory_of_an_earlier_release_has_no_derived_tokens(tmp_path: Path) -> None:
    vocabulary = {"tokens": ["12"], "counts": [3.0], "last_spans": [1]}
    content = {"schema_version": 1, "span": 1, "vocabularies": {"shared": vocabulary}}
    (tmp_path / MEMORY_FILE).write_text(json.dumps(content))
    memory = read_vocabulary_state(str(tmp_path))
    assert earlier_tokens(memory, derived(None), 2) == {"shared": [b"12"]}
    assert earlier_tokens(memory, derived("month"), 2) == {}


def test_a_file_holds_any_bytes(tmp_path: Path) -> None:
    memory = Memory(7, {"app": {b"\xff\x00": Seen(1.5, 6), "été\x1f".encode(): Seen(2.0, 7)}, "weekday": {}})
    write_vocabulary_state(memory, str(tmp_path))
    assert read_vocabulary_state(str(tmp_path)) == memory


@pytest.mark.parametrize("content", ["", '{"schema_version": 2, "span": 1, "vocabularies": {}}'])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / MEMORY_FILE).write_text(content)
    with pytest.raises(InputError, match=f"memory must be readable.*{MEMORY_FILE}"):
        read_vocabulary_state(str(tmp_path))
