"""Ids, and what belongs to users who come and go, do not stop a span by their distributions."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.data_validation.columns import Columns, read_tokens
from components.data_validation.decision import decide
from components.data_validation.distributions import Distribution, measure_tokens, new_share
from components.data_validation.evidence import SpanEvidence
from components.data_validation.measuring import ids, measure
from components.gate_records import Finding
from components.ingestion.evidence import Evidence, LabelCount
from tests.components.data_validation.hand_written import span
from tests.components.data_validation.store_config import CONFIG
from transform.config.config import Config
from transform.config.config_file import parse_config
from transform.config.drift import Drift


def with_users(**evaluation: str) -> Config:
    """Returns the store's config with a user's id, postal code and hour of the log, and no requests."""
    plain: dict[str, Any] = copy.deepcopy(CONFIG)
    del plain["sources"]["impressions"]["request_id"]
    plain["features"] = [f for f in plain["features"] if f["name"] == "app_id"] + [
        {"name": name, "side": "context", "kind": "categorical", "required": True, "vocabulary": {}}
        for name in ("user", "postal_code", "hour")
    ]
    plain["evaluation"] |= evaluation
    del plain["sources"]["tables"], plain["sources"]["installs"]
    plain["sources"]["impressions"]["label"] = "clicked"
    plain["ingestion"] = {"split_by": "row_hash"}
    return parse_config(plain, "store.yaml")


def measured(number: int, config: Config, **values: Sequence[object]) -> SpanEvidence:
    tokens = {
        name: read_tokens(pa.array([None if v is None else str(v) for v in column])) for name, column in values.items()
    }
    num_rows = len(values["user"])
    label = np.arange(num_rows) % 2
    evidence = Evidence(span=number, labels=LabelCount(num_rows - int(label.sum()), int(label.sum())))
    return measure(Columns(label, np.arange(num_rows), tokens, {}), None, evidence, config)


def of_feature(found: Sequence[Finding], name: str) -> list[tuple[str, str]]:
    return [(f.severity, f.sentence.rpartition("; ")[2]) for f in found if f.subject == name]


@pytest.mark.parametrize("key", ["user", "gauc_by"])
def test_what_the_evaluation_groups_by_is_an_id(key: str) -> None:
    assert ids(with_users()) == ("app_id",)
    assert ids(with_users(**{key: "user"})) == ("app_id", "user")


def test_the_value_of_a_user_is_one_draw_and_another_value_of_the_user_is_another() -> None:
    rows: dict[str, Sequence[object]] = {
        "user": ["a", "a", "a", "a", "b", "b", None, None],
        "postal_code": [1, 1, 1, 1, 1, 1, 2, 2],
        "hour": [5, 5, 6, 6, 5, 6, 5, None],
        "app_id": list("xxyyxxyy"),
    }
    found = measured(1, with_users(user="user"), **rows).features
    # a and b have one postal code each; an example without a user is a draw of its own.
    assert found["postal_code"].num_draws == 4
    assert found["hour"].num_draws == 6  # a has 5 and 6, b too
    assert (found["user"].num_draws, found["app_id"].num_draws) == (8, 8)
    unknown = measured(1, with_users(), **rows).features
    assert {d.num_draws for d in unknown.values()} == {8}


def test_users_who_come_and_go_stop_no_span() -> None:
    """As in MovieLens: 943 users in all, each with all ratings within a short time, in four spans by time."""
    rng, config = np.random.default_rng(1), with_users(user="user")
    postal_codes = rng.integers(0, 900, 943)
    earlier: list[SpanEvidence] = []
    for number, users in enumerate(np.array_split(np.arange(943), 4), start=1):
        user = np.repeat(users, rng.geometric(0.01, len(users)) + 20)
        rows = {
            "user": user,
            "postal_code": postal_codes[user],
            "hour": (user * 7 + rng.integers(0, 2, len(user))) % 24,
            "app_id": (1682 * rng.random(len(user)) ** 3).astype(int),
        }
        evidence = measured(number, config, **{name: list(column) for name, column in rows.items()})
        found = decide(evidence, earlier, Drift())
        assert [f.sentence for f in found if f.severity == "stop"] == []
        if number == 2:
            assert of_feature(found, "user") == [("warn", "it is an id, which only warns")]
        earlier.append(evidence)


def queries(day: int, new: int, *, new_head: bool = True, number: int = 2000) -> Distribution:
    """Returns a feature with a head of frequent values; `new` of each ten values are of this day alone."""
    counts = {}
    for n in range(number):
        is_new = n * 7 % 10 < new and (new_head or n >= 40)
        counts[f"day {day}, {n}" if is_new else f"{n}"] = 6 + 2000 // (n + 1)
    return measure_tokens(counts, 0, sum(counts.values()))


def test_new_values_count_as_often_as_they_occur() -> None:
    # Of 1,200 values, 600 occur 5 times and are known; 600 occur once and are new: 600 of 3,600 occurrences.
    known, new = {f"k{n}": 5 for n in range(600)}, {f"n{n}": 1 for n in range(600)}
    one = measure_tokens(known | new, 0, 3600)
    other = measure_tokens(known | {f"o{n}": 1 for n in range(600)}, 0, 3600)
    assert new_share(one, other) == pytest.approx(1 / 6, abs=0.05)
    assert new_share(one, one) == 0
    assert new_share(one, queries(1, 10)) == 1
    assert new_share(one, measure_tokens({f"k{n}": 5 for n in range(999)}, 0, 4995)) is None


def decided(values: Sequence[Distribution]) -> list[tuple[str, str]]:
    """Returns the findings of the last span on a feature of the given distributions, span by span."""
    spans = [span(n, features={"query": d}) for n, d in enumerate(values, start=1)]
    return of_feature(decide(spans[-1], spans[:-1], Drift()), "query")


def test_thousands_of_values_of_which_many_are_new_each_day_are_ids() -> None:
    an_id = [("warn", "it is an id, which only warns")]
    assert decided([queries(1, 6), queries(2, 6)]) == an_id
    # Usually 60 % of the rare values are new, and of a sudden the frequent ones are too.
    assert decided([*(queries(day, 6, new_head=False) for day in (1, 2, 3)), queries(4, 6)]) == an_id


def test_values_that_are_new_of_a_sudden_are_no_ids() -> None:
    """Such as cities in another script, where the spans before had the same cities."""
    assert [severity for severity, _ in decided([*(queries(day, 0) for day in (1, 2, 3)), queries(4, 10)])] == ["stop"]
    assert [severity for severity, _ in decided([queries(1, 10, number=900), queries(2, 10, number=900)])] == ["stop"]


def test_the_record_of_an_earlier_release_has_no_sample() -> None:
    evidence = span(1, features={"query": queries(1, 0)})
    inputs = evidence.to_inputs()
    assert SpanEvidence.from_inputs(json.loads(json.dumps(inputs))) == evidence
    del inputs["features"]["query"]["sample"]
    assert SpanEvidence.from_inputs(inputs).features["query"].sample == {}
