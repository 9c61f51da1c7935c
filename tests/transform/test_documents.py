"""A document's JSON is read as it was written; a damaged one, or one of another version, is refused in one sentence."""

from __future__ import annotations

import json
import math
import re
from typing import Literal

import pytest
from pydantic.dataclasses import dataclass

from transform.documents import CONFIG, Document, FloatOrNaN
from transform.errors import InputError


@dataclass(frozen=True, config=CONFIG)
class Part:
    name: str
    value: FloatOrNaN


@dataclass(frozen=True, config=CONFIG)
class Whole:
    count: int
    parts: tuple[Part, ...] = ()
    schema_version: Literal[1] = 1


WHOLE = Document(Whole, "a whole")


def test_it_comes_back_as_it_was_written() -> None:
    whole = Whole(3, (Part("é", 0.1), Part("b", -7.0)))
    text = WHOLE.to_json(whole)
    assert json.loads(text) == {
        "count": 3,
        "parts": [{"name": "é", "value": 0.1}, {"name": "b", "value": -7.0}],
        "schema_version": 1,
    }
    assert WHOLE.from_json(text, "here") == whole


def test_an_undefined_number_is_null() -> None:
    text = WHOLE.to_json(Whole(1, (Part("a", math.nan), Part("b", math.inf))))
    assert [part["value"] for part in json.loads(text)["parts"]] == [None, None]
    assert all(math.isnan(part.value) for part in WHOLE.from_json(text, "here").parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"count": 1',
            "a whole must be JSON. Received: EOF while parsing an object at line 1 column 11 (here)",
        ),
        ("", "a whole must be JSON. Received: EOF while parsing a value at line 1 column 0 (here)"),
        ("[1, 2]", "a whole must be a JSON object. Received: [1, 2] (here)"),
        (
            '{"count": 1, "schema_version": 2}',
            "a whole must have `schema_version` 1. Received: 2 (here)",
        ),
        ('{"count": 1, "schema_version": "1"}', "a whole must have `schema_version` 1. Received: '1' (here)"),
        ('{"count": 1, "schema_version": true}', "a whole must have `schema_version` 1. Received: True (here)"),
        ('{"count": 1}', "a whole must have `schema_version` 1. Received: none (here)"),
        ('{"schema_version": 1}', "a whole must have the key `count`. Received: none (here)"),
        (
            '{"count": 1, "parts": [{"name": "a", "value": 1.0, "x": 2}], "schema_version": 1}',
            "a whole must have no key that its schema lacks. Received: `parts.0.x` (here)",
        ),
        (
            '{"count": "1", "schema_version": 1}',
            "a whole must follow its schema: `count`: input should be a valid integer. Received: '1' (here)",
        ),
    ],
)
def test_another_text_is_refused(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        WHOLE.from_json(text, "here")


def test_a_message_has_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(InputError) as error:
        WHOLE.from_json(json.dumps({"count": "7" * 10_000, "schema_version": 1}), "here")
    assert len(str(error.value)) < 250


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a whole must be JSON\. Received: recursion limit exceeded"):
        WHOLE.from_json("[" * 100_000, "here")
