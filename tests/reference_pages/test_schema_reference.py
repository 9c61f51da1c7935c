"""The JSON schemas of the documents are those of the dataclasses, and a document follows its schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from pipeline.report.run_report import RunReport
from tests.pipeline.report.run_results import run_result
from tests.reference_pages.json_documents import DOCUMENTS, FOLDER, PAGE, schemas, to_markdown
from tests.reference_pages.markers import rewritten

WRITE = "run `python -m tests.reference_pages --write`"


def test_the_schemas_are_what_the_generator_writes() -> None:
    found = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert found == schemas(), WRITE


def test_the_page_is_what_the_generator_writes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page, to_markdown()) == page, WRITE


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_key_is_described(name: str) -> None:
    schema = json.loads(schemas()[f"{name}.json"])
    assert schema["properties"]["schema_version"]["const"] == 1
    assert [key for key, field in schema["properties"].items() if not field.get("description")] == []
    assert schema["description"].endswith(".")


@pytest.mark.parametrize(
    "report",
    [
        run_result(metrics={"auc": float("nan")}),
        RunReport.skipped(3, "row_gate", "too few rows"),
    ],
    ids=["pushed", "skipped"],
)
def test_a_report_follows_its_schema(report: RunReport) -> None:
    schema: dict[str, Any] = json.loads((FOLDER / "run_report.json").read_text(encoding="utf-8"))
    plain = json.loads(report.to_json())
    validator = jsonschema_rs.Draft202012Validator(schema)
    validator.validate(plain)
    for key in plain:
        assert not validator.is_valid({other: value for other, value in plain.items() if other != key}), key
    assert not validator.is_valid({**plain, "more": 1})
    assert not validator.is_valid({**plain, "metrics": {"auc": "0.7"}})
