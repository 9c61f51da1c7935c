"""A document's JSON is read as it was written; a damaged one, or one of another version, is refused in one sentence."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

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


def migrated(plain: dict[str, Any]) -> dict[str, Any]:
    return {"count": plain.get("number")}


WHOLE = Document(Whole, "a whole", migrated)
NEW = Document(Whole, "a whole")


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


def test_a_document_without_a_version_is_migrated() -> None:
    assert WHOLE.from_json('{"number": 5}', "here") == Whole(5)


@pytest.mark.parametrize(
    ("document", "text", "expected"),
    [
        (
            WHOLE,
            '{"count": 1',
            "a whole must be JSON. Received: EOF while parsing an object at line 1 column 11 (here)",
        ),
        (WHOLE, "", "a whole must be JSON. Received: EOF while parsing a value at line 1 column 0 (here)"),
        (WHOLE, "[1, 2]", "a whole must be a JSON object. Received: [1, 2] (here)"),
        (
            WHOLE,
            '{"count": 1, "schema_version": 2}',
            "a whole must have `schema_version` 1, or none, as before release 0.2.0. Received: 2 (here)",
        ),
        (NEW, '{"count": 1, "schema_version": "1"}', "a whole must have `schema_version` 1. Received: '1' (here)"),
        (NEW, '{"count": 1, "schema_version": true}', "a whole must have `schema_version` 1. Received: True (here)"),
        (NEW, '{"count": 1}', "a whole must have `schema_version` 1. Received: none (here)"),
        (NEW, '{"schema_version": 1}', "a whole must have the key `count`. Received: none (here)"),
        (
            NEW,
            '{"count": 1, "parts": [{"name": "a", "value": 1.0, "x": 2}], "schema_version": 1}',
            "a whole must have no key that its schema lacks. Received: `parts.0.x` (here)",
        ),
        (
            NEW,
            '{"count": "1", "schema_version": 1}',
            "a whole must follow its schema: `count`: input should be a valid integer. Received: '1' (here)",
        ),
        (
            WHOLE,
            '{"number": null}',
            "a whole must follow its schema: `count`: input should be a valid integer. Received: None (here)",
        ),
    ],
)
def test_another_text_is_refused(document: Document[Whole], text: str, expected: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        document.from_json(text, "here")


def test_a_message_has_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(InputError) as error:
        NEW.from_json(json.dumps({"count": "7" * 10_000, "schema_version": 1}), "here")
    assert len(str(error.value)) < 250


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a whole must be JSON\. Received: recursion limit exceeded"):
        NEW.from_json("[" * 100_000, "here")
