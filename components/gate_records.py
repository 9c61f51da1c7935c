"""What the gates share: records, as JSON files that later spans and `wdr gates replay` read, and the tables of rules.

A gate has three parts. A measuring component writes a `GateRecord` artifact and succeeds, whatever it found. A pure
function decides: `decide(current inputs, earlier spans' inputs, settings) -> list[Finding]`. The gate component reads
the record and stops the run, or refuses the model. So the measurements of a stopped span are recorded too, and
`wdr gates replay` calls the same function again with other settings.

It applies a table of rules. A rule's id is the config's key of its bound: what a person reads in a finding is what to
look up and to change. `docs/how_to/extend.md` says how to add a rule.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from components import storage
from transform.errors import InputError

#: The schema version of the files that this code writes, and the only one that it reads.
SCHEMA_VERSION: Final = 1

#: The file in a GateRecord artifact.
RECORD_FILE = "gate_record.json"

#: Custom properties of a GateRecord artifact: the gate's name and the span.
GATE, SPAN = "gate", "span"

#: A custom property, 1 or missing: whether the record has no inputs, since there was nothing to judge.
EMPTY = "empty"

#: `stop`: no model is trained on the span's data. `refuse`: the model is not pushed. `warn`: the summary reports the
#: finding. `cannot_judge`: the gate has too few rows or earlier spans for this rule, and the summary reports that.
Severity = Literal["stop", "refuse", "warn", "cannot_judge"]

_FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, config=_STRICT)
class Finding:
    """One finding of a gate.

    Attributes:
      gate: The gate.
      rule: The config's key of the bound, such as `drift.min_rows_ratio`.
      severity: The consequence.
      subject: What was measured: a metric, a feature or a slice, such as `auc` or `logloss where country = US`.
      value: The measured value; None if there is no number.
      bound: The lowest or highest value allowed; None if there is none.
      rows: The number of rows that it was measured on; None if that has no meaning.
      sentence: The finding as text for a user: the rule, the value received, and the values allowed.
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
    """A gate's measurements of one span, and its findings.

    Attributes:
      gate: The gate.
      span: The span.
      inputs: The inputs of the decision: plain JSON with finite numbers. An undefined number is null.
      findings: The findings, the most severe first.
      schema_version: The version of this dataclass's schema.
    """

    gate: str
    span: int
    inputs: dict[str, JsonValue]
    findings: tuple[Finding, ...] = ()
    schema_version: Literal[1] = SCHEMA_VERSION

    def of_severity(self, *severities: Severity) -> tuple[Finding, ...]:
        """Returns the findings of the given severities."""
        return tuple(finding for finding in self.findings if finding.severity in severities)

    def to_json(self) -> str:
        """Returns the record as JSON; raises ValueError if a number is not finite."""
        found = _ADAPTER.dump_python(self, mode="python")
        return json.dumps(found, separators=(",", ":"), sort_keys=True, allow_nan=False)


_ADAPTER = TypeAdapter(GateRecord)


def write_record(uri: str, record: GateRecord) -> None:
    """Writes a record into a GateRecord artifact's folder; raises ValueError if a number in it is not finite."""
    storage.write_text(os.path.join(uri, RECORD_FILE), record.to_json() + "\n")


def read_record(uri: str) -> GateRecord:
    """Reads a GateRecord artifact's record.

    Raises:
      InputError: If there is no record, or it does not follow the schema of this code.
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
    """Reads the records of earlier spans, which `EarlierRecords` has resolved; sorted by span, the oldest first."""
    return sorted((read_record(uri) for uri in uris), key=lambda record: record.span)


def is_of(rule_id: str, key: str) -> bool:
    """Returns whether a rule's id is a key of the config, or below it, as `evaluation.thresholds.auc.min` is."""
    return f"{rule_id}.".startswith(f"{key}.")


class Rule(NamedTuple):
    """A rule.

    Attributes:
      ids: What `Finding.rule` of its findings may be: keys of the config, such as `drift.min_agreement`, or below them.
      check: Yields the findings; its docstring says what it finds. It takes what the gate gives to all of its rules.
    """

    ids: tuple[str, ...]
    check: Callable[..., Iterable[Finding]]

    def has(self, rule_id: str) -> bool:
        """Returns whether an id is of this rule."""
        return any(is_of(rule_id, known) for known in self.ids)


def apply_rules(rules: Iterable[Rule], order: Sequence[Severity], *inputs: object) -> list[Finding]:
    """Returns the findings of all rules by severity, and those of one severity in the order of the rules.

    Args:
      rules: The gate's rules.
      order: The severities of their findings, the first one first.
      *inputs: The arguments of each rule's `check`.
    """
    found: list[Finding] = []
    for rule in rules:
        of_rule = list(rule.check(*inputs))
        unknown = [finding.rule for finding in of_rule if not rule.has(finding.rule)]
        assert not unknown, f"the findings of {rule.ids} must be of their rule. Received: {unknown}"
        found += of_rule
    return sorted(found, key=lambda finding: order.index(finding.severity))
