"""What a gate's decision was made of and what it found: a JSON file that later spans, and a replay, read again.

A gate is three parts. A measuring component writes a `GateRecord` artifact and ends well, whatever it found. A pure
function decides: `decide(current inputs, earlier spans' inputs, settings) -> list[Finding]`. The gate component reads
the record and stops the run, or refuses the model. So the numbers of a span that was stopped are on record too, and
`wdr gates replay` calls the same function again with other settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from components import storage
from transform.errors import InputError

#: Of the files that this code writes, and the only one that it reads.
SCHEMA_VERSION: Final = 1

#: In a GateRecord artifact.
RECORD_FILE = "gate_record.json"

#: Custom properties of a GateRecord artifact: the gate's name and the span.
GATE, SPAN = "gate", "span"

#: `stop`: the span's data are not learned from. `refuse`: the model is not pushed. `warn`: the summary says it.
#: `cannot_judge`: the gate has too few rows or too few earlier spans for this rule, and the summary says so.
Severity = Literal["stop", "refuse", "warn", "cannot_judge"]

_FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=_STRICT)
class Finding:
    """One thing that a gate found.

    Attributes:
      gate: The gate.
      rule: The config's key that holds the bound, such as `drift.min_rows_ratio`.
      severity: What follows from it.
      subject: What was measured: a metric, a feature or a slice, such as `auc` or `logloss where country = US`.
      value: What was measured of it; None if there is no number.
      bound: The lowest or highest value allowed; None if there is none.
      rows: How many rows it was measured on; None if that has no meaning.
      sentence: All of this for a person: the rule, what was received, and what is allowed.
    """

    gate: str
    rule: str
    severity: Severity
    subject: str
    value: _FiniteFloat | None
    bound: _FiniteFloat | None
    rows: int | None
    sentence: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, config=_STRICT)
class GateRecord:
    """What a gate measured of one span, and what it found.

    Attributes:
      gate: The gate.
      span: The span.
      inputs: What the decision was made of: plain JSON, its numbers finite. A number that is not defined is null.
      findings: What was found, the gravest first.
      schema_version: Of this dataclass.
    """

    gate: str
    span: int
    inputs: dict[str, JsonValue]
    findings: tuple[Finding, ...] = ()
    schema_version: Literal[1] = SCHEMA_VERSION

    def of_severity(self, *severities: Severity) -> tuple[Finding, ...]:
        """The findings of some severities."""
        return tuple(finding for finding in self.findings if finding.severity in severities)

    def to_json(self) -> str:
        """The record as JSON; raises ValueError if a number is not finite."""
        found = _ADAPTER.dump_python(self, mode="python")
        return json.dumps(found, separators=(",", ":"), sort_keys=True, allow_nan=False)


_ADAPTER = TypeAdapter(GateRecord)


def write_record(uri: str, record: GateRecord) -> None:
    """Writes a record into a GateRecord artifact's folder; raises ValueError if a number in it is not finite."""
    storage.write_text(os.path.join(uri, RECORD_FILE), record.to_json() + "\n")


def read_record(uri: str) -> GateRecord:
    """Reads a GateRecord artifact's record.

    Raises:
      InputError: If there is no record, or it is none that this code understands.
    """
    path = os.path.join(uri, RECORD_FILE)
    text = storage.read_text(path)
    if text is None:
        raise InputError(f"a gate's record must have the file {RECORD_FILE} ({uri})")
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"a gate's record must be one of schema version {SCHEMA_VERSION}: "
            f"{place or 'the file'}: {first['msg']} ({path})"
        ) from error


def read_records(uris: Iterable[str]) -> list[GateRecord]:
    """Reads the records of earlier spans, as `EarlierRecords` resolves them: by span, the oldest first."""
    return sorted((read_record(uri) for uri in uris), key=lambda record: record.span)
