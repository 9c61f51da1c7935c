"""The schedule is validated when it is read, and is part of no component's cache key."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from tests.e2e.store import CONFIG
from transform.config import component_configs as scopes
from transform.config.config_file import load_config
from transform.config.schedule import Pod, Schedule


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("cron", "0 4 * *", "must have five fields: minute, hour, day, month, weekday. Received: '0 4 * *'"),
        ("timezone", "Mars/Olympus", "must be a name of the tz database, such as UTC or Europe/Berlin"),
        ("marker", "../_SUCCESS", "must be a path below the data folder"),
        ("retries", -1, "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_told(key: str, value: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Schedule(**{key: value})
    assert problem in str(raised.value)


@pytest.mark.parametrize(("key", "value"), [("cpu", "two"), ("memory", "8 GB")])
def test_a_pod_asks_as_kubernetes_writes(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Pod(**{key: value})


def test_no_component_sees_the_schedule() -> None:
    config = load_config(CONFIG)
    other = dataclasses.replace(config, schedule=Schedule(cron="30 1 * * *", start=datetime.date(2020, 1, 1)))
    assert scopes.for_push(other) == scopes.for_push(config)  # the others have no section `schedule`
