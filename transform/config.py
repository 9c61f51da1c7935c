"""Reads a deployment's YAML file into frozen, validated dataclasses.

A mistake is reported as one sentence that names the file, the key, the value received and what is allowed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from transform import settings
from transform import sources as source_sections
from transform.errors import ConfigError
from transform.feature_spec import IMPRESSIONS, STRICT, Feature, FeatureSpec, Name

MAX_CONFIG_BYTES = 1_000_000


ColumnKind = Literal["string", "list", "float", "label", "weight", "timestamp"]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column that a source must have: its name, how its text is read, and whether a row needs a value."""

    name: str
    kind: ColumnKind
    required: bool


@dataclass(frozen=True, config=STRICT)
class Config:
    """One deployment: everything that its pipeline needs to know beside where its data lies."""

    name: Name
    sources: source_sections.Sources
    spec: FeatureSpec
    evaluation: settings.Evaluation
    ingestion: settings.Ingestion = Field(default_factory=settings.Ingestion)
    model: settings.Model = Field(default_factory=settings.Model)
    training: settings.Training = Field(default_factory=settings.Training)
    infra_validation: settings.InfraValidation = Field(default_factory=settings.InfraValidation)

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        allowed = [IMPRESSIONS, *self.sources.tables]
        for f in self.spec.features:
            if f.source not in allowed:
                raise ValueError(f"feature `{f.name}` has the source `{f.source}`, which is none of {allowed}")
        for name in self.evaluation.slices:
            if name not in self.spec.by_name:
                raise ValueError(f"`evaluation.slices` names `{name}`, which is none of {sorted(self.spec.by_name)}")
        log = self.sources.impressions
        if log.splits is None:
            column, rule = {
                "request_hash": (log.request_id, "request_id"),
                "impression_hash": (log.impression_id, "impression_id"),
                "time": (log.timestamp, "timestamp"),
            }[self.ingestion.split_by]
            if column is None:
                raise ValueError(f"`ingestion.split_by: {self.ingestion.split_by}` needs `sources.impressions.{rule}`")
        for part in ("wide", "deep"):
            if self.model.parts in (part, "wide_and_deep"):
                crosses = self.spec.crosses if part == "wide" else ()
                if not (self.spec.of_part(part) or crosses or self.spec.counts_of_part(part)):
                    raise ValueError(f"`model.parts: {self.model.parts}`, but no feature is in the {part} part")
        return self

    def features_of(self, source: str) -> tuple[Feature, ...]:
        return tuple(f for f in self.spec.features if f.source == source)

    @cached_property
    def columns(self) -> dict[str, tuple[Column, ...]]:
        """The columns that each source must have, by the source's name."""
        kinds: dict[str, ColumnKind] = {"categorical": "string", "categorical_list": "list", "numeric": "float"}
        log, installs = self.sources.impressions, self.sources.installs
        result: dict[str, dict[tuple[str, ColumnKind], Column]] = {
            name: {} for name in (IMPRESSIONS, *self.sources.tables)
        }

        def add(source: str, name: str | None, kind: ColumnKind, required: bool) -> None:
            if name is not None:
                columns = result.setdefault(source, {})
                before = columns.get((name, kind))
                columns[name, kind] = Column(name, kind, required or bool(before and before.required))

        add(IMPRESSIONS, log.label, "label", True)
        add(IMPRESSIONS, log.weight, "weight", True)
        add(IMPRESSIONS, log.impression_id, "string", True)
        add(IMPRESSIONS, log.request_id, "string", True)
        add(IMPRESSIONS, log.timestamp, "timestamp", True)
        for name, table in self.sources.tables.items():
            add(IMPRESSIONS, table.log_column, "string", True)
            add(name, table.key, "string", True)
        if installs is not None:
            for key in installs.keys:
                add(IMPRESSIONS, key, "string", True)
                add("installs", key, "string", True)
            add("installs", installs.timestamp, "timestamp", True)
        for f in self.spec.features:
            add(f.source, f.source_column, kinds[f.kind], f.required)
        return {source: tuple(columns.values()) for source, columns in result.items()}

    def to_json(self) -> str:
        """The whole config as canonical JSON, which `from_json` reads back."""
        return json.dumps(_ADAPTER.dump_python(self, mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Config:
        return _ADAPTER.validate_json(text)


_ADAPTER = TypeAdapter(Config)

#: The keys of the file that make up `Config.spec`.
_SPEC_KEYS = tuple(field.name for field in dataclasses.fields(FeatureSpec))


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML allows a key twice and keeps the last; here it is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in own]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_config(path: str | Path) -> Config:
    """Reads and validates a YAML file.

    Args:
      path: The file.

    Returns:
      The config.

    Raises:
      ConfigError: If the file cannot be read, is not YAML, or breaks a rule.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= MAX_CONFIG_BYTES else ""
    except OSError as error:
        raise ConfigError(f"the config cannot be read: {error.strerror} ({path})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"a config must be UTF-8 text: {error.reason} at byte {error.start} ({path})") from error
    if size > MAX_CONFIG_BYTES:
        raise ConfigError(f"a config has at most {MAX_CONFIG_BYTES} bytes. Received: {size} ({path})")
    try:
        raw = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, a number too long
        raise ConfigError(f"the config is not valid YAML: {' '.join(str(error).split())} ({path})") from error
    except RecursionError as error:
        raise ConfigError(f"the config is nested too deeply ({path})") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"a config must be a mapping of keys. Received: {type(raw).__name__} ({path})")
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], where: str) -> Config:
    """Validates a config that is already a mapping; `where` names its origin in errors. Raises ConfigError."""
    raw = dict(raw)
    if "spec" in raw:
        raise ConfigError(f"`spec` is not a known key; did you mean `features`? ({where})")
    raw["spec"] = {key: raw.pop(key) for key in _SPEC_KEYS if key in raw}
    try:
        return _ADAPTER.validate_python(raw)
    except ValidationError as error:
        details = _first_causes(error.errors())
        sentences = [_sentence(detail, raw, where) for detail in details[:5]]
        more = [] if len(details) <= 5 else [f"and {len(details) - 5} more mistakes."]
        raise ConfigError("\n".join(dict.fromkeys(sentences + more))) from error


def _first_causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drops what pydantic reports only because of another mistake: the other branches of a union, a list too short."""
    branch = {"string_type", "none_required"}
    causes = [d for d in details if not (d["type"] in branch and isinstance(d["input"], dict))]
    deepest = [d for d in causes if d["type"] != "too_short" or not d["input"]]
    return deepest or causes or list(details)


def _sentence(detail: ErrorDetails, raw: dict[str, Any], where: str) -> str:
    """One pydantic error as a sentence: rule, value received, file and key."""
    keys, place = _place(detail["loc"], raw)
    key = f"`{'.'.join(keys[-2:] if keys[-1].isdecimal() else keys[-1:])}`" if keys else "the config"
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing" | "missing_argument":
            return f"{key} is required ({where}, {place})."
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{key} is not a known key ({where}, {place}); allowed: {_known_keys(keys[:-1])}."
        case "greater_than_equal":
            rule = f"must be at least {context['ge']}"
        case "greater_than":
            rule = f"must be greater than {context['gt']}"
        case "less_than_equal":
            rule = f"must be at most {context['le']}"
        case "less_than":
            rule = f"must be less than {context['lt']}"
        case "literal_error":
            rule = f"must be one of {context['expected']}"
        case "tuple_type":
            rule = "must be a list"
        case "dataclass_type" | "dict_type":
            rule = "must be a mapping of keys"
        case "string_type":
            rule = "must be a text"
        case "too_short":
            rule = f"must have at least {context['min_length']} entries"
        case "string_too_short":
            rule = f"must have at least {context['min_length']} characters"
        case "string_pattern_mismatch":
            rule = f"must match the pattern {context['pattern']}"
        case "value_error":
            message = str(context["error"])
            if message.startswith("must"):
                rule = message
            else:
                return f"{message} ({where}{', ' + place if place else ''})."
        case _:
            rule = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{key} {rule}. Received: {_short(detail['input'])} ({where}, {place})."


def _place(loc: Sequence[int | str], raw: Any) -> tuple[list[str], str]:
    """The keys on the way to a mistake as the file has them: `features.app_id.vocabulary`, not `spec.features.0…`."""
    keys: list[str] = []
    node = raw
    for part in loc:
        if isinstance(part, int):
            node = node[part] if isinstance(node, list | tuple) and part < len(node) else None
            keys.append(str(node.get("name", part)) if isinstance(node, dict) else str(part))
        elif isinstance(node, dict) and (part in node or (part.isidentifier() and not part[:1].isupper())):
            node = node.get(part)
            if part != "spec":
                keys.append(part)
        elif node is None and part.isidentifier() and part[:1].islower():
            keys.append(part)
    return keys, ".".join(keys)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(path: Sequence[str]) -> list[str]:
    """The keys allowed at a place of the file, read off the dataclasses."""
    schema: Any = _ADAPTER.json_schema()
    definitions = schema.get("$defs", {})

    def child(node: Any, part: str) -> Any:
        values = [*node.get("patternProperties", {}).values(), node.get("items"), node.get("additionalProperties")]
        return node.get("properties", {}).get(part) or next((v for v in values if v), {})

    def resolve(node: Any) -> Any:
        while "$ref" in node or "anyOf" in node:
            if "$ref" in node:
                node = definitions[node["$ref"].rsplit("/", 1)[1]]
            else:
                objects = [n for n in node["anyOf"] if "$ref" in n]
                node = objects[0] if objects else {}
        return node

    node = resolve(schema)
    properties = dict(node.get("properties", {}))
    for part in ["spec", *path] if path and path[0] in _SPEC_KEYS else path:
        node = resolve(child(node, part))
        properties = dict(node.get("properties", {}))
    if "spec" in properties:
        properties = {k: v for k, v in properties.items() if k != "spec"} | {key: {} for key in _SPEC_KEYS}
    return sorted(properties)
