"""Bad days of a simulated store: each is detected by its rule, given the days before it, without a pipeline run."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks.good_days import CONFIG, Day, combine_evidence, days
from components.data_validation.decision import decide
from components.data_validation.evidence import SpanEvidence
from tests.components.data_validation.bad_days import BAD_DAYS, INVENTED, PRESENCE, BadDay
from transform.config.config import Config
from transform.config.config_file import load_config

NUM_GOOD_DAYS = 9


@pytest.fixture(scope="module")
def config() -> Config:
    loaded = load_config(CONFIG)
    return dataclasses.replace(loaded, drift=dataclasses.replace(loaded.drift, max_divergence={}))


@pytest.fixture(scope="module")
def last_days() -> list[Day]:
    return list(days(5, 8000, NUM_GOOD_DAYS + 1, 2000, 400))


@pytest.fixture(scope="module")
def earlier(last_days: list[Day], config: Config) -> list[SpanEvidence]:
    return [combine_evidence(day, config) for day in last_days[:-1]]


def test_a_good_day_is_let_through(last_days: list[Day], earlier: list[SpanEvidence], config: Config) -> None:
    assert decide(combine_evidence(last_days[-1], config), earlier, config.drift) == []


@pytest.mark.slow
@pytest.mark.parametrize("row", [*BAD_DAYS, *PRESENCE, *INVENTED], ids=lambda row: row.kind)
def test_a_bad_day_is_found_by_its_rule(
    row: BadDay, last_days: list[Day], earlier: list[SpanEvidence], config: Config
) -> None:
    found = decide(combine_evidence(row.breaks(last_days[-1]), config), earlier, config.drift)
    matching = [f for f in found if (f.rule, f.subject) == (f"drift.{row.rule}", row.subject)]
    assert [f.severity for f in matching] == [row.severity], found
    assert row.says in matching[0].sentence
    if row.severity == "warn":
        assert {f.severity for f in found} == {"warn"}
