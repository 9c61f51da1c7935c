"""Generates the JSON schemas of the documents that one part of the project writes and another reads."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from components.evaluation.results import Measured
from components.fingerprint import ROOT
from components.gate_records import GateRecord
from components.infra_validation.verdict import Checksums, Verdict
from components.ingestion.served.exported import ExportRecord
from components.model_store.manifest import Manifest
from components.model_store.retention import Pins
from pipeline.batch_scoring.score import ScoreResult
from pipeline.check.source_report import CheckResult
from pipeline.compile.topology import Topology
from pipeline.registry.diff import Differences
from pipeline.registry.garbage import GarbageList
from pipeline.registry.list import VersionChange, VersionList
from pipeline.registry.progressive import History
from pipeline.registry.record import VersionRecord
from pipeline.report.run_report import RunReport
from tests.reference_pages.config_keys import attribute_docs, first_paragraph
from trainer.training.report import TrainingReport

#: The documents: for each, the name of its schema's file, and its dataclass.
DOCUMENTS: Final[dict[str, type]] = {
    "run_report": RunReport,
    "training_report": TrainingReport,
    "verdict": Verdict,
    "checksums": Checksums,
    "gate_record": GateRecord,
    "topology": Topology,
    "manifest": Manifest,
    "pins": Pins,
    "measured": Measured,
    "version_list": VersionList,
    "version_record": VersionRecord,
    "differences": Differences,
    "history": History,
    "version_change": VersionChange,
    "garbage_list": GarbageList,
    "check_result": CheckResult,
    "score_result": ScoreResult,
    "export_record": ExportRecord,
}

FOLDER = ROOT / "docs" / "reference" / "schemas"
PAGE = ROOT / "docs" / "reference" / "schemas.md"


def _from_json(words: str) -> str:
    """Returns a docstring's words in the terms of JSON."""
    return words.replace("None", "null")


class _WithDocstrings(GenerateJsonSchema):
    """Describes dataclasses by the first paragraph of their docstrings, and fields by the entries in `Attributes:`."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        generated = super().dataclass_schema(schema)
        described = attribute_docs(schema["cls"])
        for name, field in generated.get("properties", {}).items():
            if name in described:
                field["description"] = _from_json(described[name])
        return {**generated, "description": _from_json(first_paragraph(schema["cls"]))}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title would be the key in other letters


def make_schema(cls: type) -> dict[str, Any]:
    """Returns the JSON schema of a document as it is written: keys with a default are there too."""
    generated = TypeAdapter(cls).json_schema(schema_generator=_WithDocstrings, mode="serialization")
    return {"$schema": GenerateJsonSchema.schema_dialect, **generated}


def schemas() -> dict[str, str]:
    """Returns the text of each schema's file, by the file's name."""
    return {f"{name}.json": json.dumps(make_schema(cls), indent=2) + "\n" for name, cls in DOCUMENTS.items()}


def to_markdown() -> str:
    """Returns the table as it appears between the page's markers."""
    rows = [
        f"| [`{name}.json`](schemas/{name}.json) | {first_paragraph(cls)} | {_version(cls)} |"
        for name, cls in DOCUMENTS.items()
    ]
    return "\n".join(["| schema | document | version |", "| --- | --- | --- |", *rows]) + "\n"


def _version(cls: type) -> int:
    version: int = make_schema(cls)["properties"]["schema_version"]["const"]
    return version
