"""Generates the tables of config keys, and the JSON schema, from the dataclasses that a config is parsed into.

By the schema, `configs/schema.json`, editors complete and check a config.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

from components.fingerprint import ROOT
from transform import combinations, derived_times, feature
from transform.config import beam as beam_settings
from transform.config import drift as drift_settings
from transform.config import evaluation as evaluation_settings
from transform.config import infra_validation as infra_settings
from transform.config import quality as quality_settings
from transform.config import schedule as schedule_settings
from transform.config import settings, sources
from transform.config.config import Config

PAGE = ROOT / "docs" / "reference" / "config.md"
SCHEMA = ROOT / "configs" / "schema.json"

#: Meanings of the keys that have neither an `Attributes:` entry nor a section whose docstring describes them.
_OWN_WORDS = {"name": "The deployment's name. It names the pipeline, and the folder below `serving/`."}

#: Beginning of a docstring that refers to `Source`, which has no section of its own.
_AS_IN_SOURCE = "As in any source"

JsonSchema = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Section:
    """One table of keys.

    Attributes:
      place: The path of the keys in the file, such as `features[].vocabulary`; empty for the top level.
      definition: The name of the keys' definition in the JSON schema: their dataclass.
      summary: What the keys describe, in one sentence.
      rows: One row per key: its name, allowed values, default and meaning.
    """

    place: str
    definition: str
    summary: str
    rows: tuple[tuple[str, str, str, str], ...]

    def to_markdown(self) -> str:
        """Returns the section as Markdown: a heading, the summary and the table."""
        cells = [[text.replace("|", r"\|") for text in row] for row in self.rows]
        rows = [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in cells]
        table = "\n".join(["| key | allowed | default | meaning |", "| --- | --- | --- | --- |", *rows])
        return f"### {f'`{self.place}`' if self.place else 'The top of the file'}\n\n{self.summary}\n\n{table}\n"


def sections() -> list[Section]:
    """Returns all tables in the order of the file: each section, then its subsections."""
    top, definitions = _schema_of_files()
    return list(_sections("", Config, top, definitions))


def _schema_of_files() -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns pydantic's JSON schema of a config file's top level, and the definitions that it refers to."""
    schema = TypeAdapter(Config).json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    spec = definitions.pop("FeatureSpec")  # its keys are at the top level of the file
    properties: dict[str, Any] = {}
    for name in Config.__annotations__:  # in the order of `Config` itself; the schema has its base classes' keys first
        properties |= spec["properties"] if name == "spec" else {name: schema["properties"][name]}
    required = [name for name in Config.__annotations__ if name in schema["required"] and name != "spec"]
    required += spec["required"]
    return {"properties": properties, "required": required}, definitions


def json_schema() -> dict[str, Any]:
    """Returns the JSON schema (draft 7) of a config file, with the tables' texts as descriptions."""
    top, definitions = _schema_of_files()
    described = {"": top, **definitions}
    for section in sections():
        node = described["" if section.definition == Config.__name__ else section.definition]
        node["description"] = section.summary
        for name, _, _, meaning in section.rows:
            if "$ref" not in node["properties"][name]:  # draft 7 ignores what is beside a reference
                node["properties"][name]["description"] = meaning
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A deployment's config",
        "type": "object",
        "additionalProperties": False,
        **_strict(top),
        "$defs": {name: _strict(node) for name, node in definitions.items()},
    }


def _strict(node: Any) -> Any:
    """Returns a schema without pydantic's titles, in which a mapping has no other keys than those of its pattern."""
    if isinstance(node, list):
        return [_strict(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    strict = {name: _strict(entry) for name, entry in node.items() if name != "title" or not isinstance(entry, str)}
    return {**strict, "additionalProperties": False} if "patternProperties" in strict else strict


def to_markdown() -> str:
    """Returns all tables as they appear between the page's markers."""
    return "\n".join(section.to_markdown() for section in sections())


def schema_text() -> str:
    """Returns the JSON schema as its file has it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _sections(place: str, cls: type, schema: JsonSchema, definitions: JsonSchema) -> Iterator[Section]:
    docs = attribute_docs(cls)
    names = list(schema["properties"])
    rows, below = [], []
    for index, (name, node) in enumerate(schema["properties"].items()):
        child, suffix = _child(node)
        following = names[index + 1] if index + 1 < len(names) else ""
        meaning = _meaning(docs.get(name, ""), name, following) or (
            first_paragraph(child) if child else _OWN_WORDS[name]
        )
        rows.append((name, _allowed(node), _default(name, node, schema), meaning))
        if child:
            child_place = f"{place}.{name}{suffix}" if place else f"{name}{suffix}"
            below.append((child_place, child, definitions[child.__name__]))
    summary = "The sections of the file." if cls is Config else first_paragraph(cls)
    yield Section(place, cls.__name__, summary, tuple(rows))
    for child_place, child, child_schema in below:
        yield from _sections(child_place, child, child_schema, definitions)


def _child(node: JsonSchema) -> tuple[type | None, str]:
    """Returns the dataclass that a key's value is parsed into, and the suffix between the key and that class's keys."""
    for branch in node.get("anyOf", [node]):
        for part, suffix in (
            (branch, ""),
            (branch.get("items", {}), "[]"),
            (_values(branch), ".NAME"),
        ):
            if "$ref" in part:
                name = part["$ref"].rsplit("/", 1)[1]
                modules = (
                    settings,
                    beam_settings,
                    drift_settings,
                    evaluation_settings,
                    infra_settings,
                    quality_settings,
                    schedule_settings,
                    sources,
                    feature,
                    combinations,
                    derived_times,
                )
                return next(getattr(module, name) for module in modules if hasattr(module, name)), suffix
    return None, ""


def _values(node: JsonSchema) -> JsonSchema:
    """Returns the schema of a mapping's values; empty if the node is not a mapping."""
    if "patternProperties" in node:
        (node,) = node["patternProperties"].values()
        return node
    return node.get("additionalProperties") or {}


def first_paragraph(cls: type) -> str:
    """Returns the first paragraph of a class's docstring."""
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def attribute_docs(cls: type) -> dict[str, str]:
    """Collects the entries of the `Attributes:` parts in the docstrings of a class and its base classes."""
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__):
        text = inspect.cleandoc(ancestor.__dict__.get("__doc__") or "")
        _, _, entries = text.partition("Attributes:\n")
        for name, words in re.findall(r"^  (\w+): (.*(?:\n    .*)*)", entries, re.MULTILINE):
            found[name] = " ".join(words.split())
    return found


def _meaning(words: str, name: str, following: str) -> str:
    if words.startswith(_AS_IN_SOURCE):
        words = attribute_docs(sources.Source)[name].removesuffix(".") + words.removeprefix(_AS_IN_SOURCE)
    words = re.sub(r"[,;] or$", f". Or `{following}`.", words.replace("None", "`null`"))
    return re.sub(r"^[a-z]", lambda first: first[0].upper(), words)


def _allowed(node: JsonSchema) -> str:
    """Describes the values that a key takes."""
    if "anyOf" in node:
        return ", or ".join(_allowed(branch) for branch in node["anyOf"] if branch.get("type") != "null")
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    match node.get("type"):
        case None:  # a reference to another dataclass, or anything
            return "a mapping of keys" if "$ref" in node else "any value"
        case "boolean":
            return "`true`, `false`"
        case "integer":
            return "a whole number" + _bounds(node)
        case "number":
            return "a number" + _bounds(node)
        case "array":
            entries = _bounds({"minimum": node.get("minItems"), "maximum": node.get("maxItems")})
            return f"a list{entries + ' entries' if entries else ''}; an entry: {_allowed(node['items'])}"
        case "object":
            keys = node.get("propertyNames", {})
            keys = f"one of {_allowed(keys)}" if "enum" in keys else "a name"
            return f"a mapping; a key: {keys}; a value: {_allowed(_values(node))}"
    if "examples" in node:
        return "such as " + " or ".join(f"`{example}`" for example in node["examples"])
    if "pattern" in node:
        return "a name: small letters, digits and `_`, a letter first"
    if node.get("format") == "date":
        return "a date"
    return "one character" if node.get("maxLength") == 1 else "a text"


def _bounds(node: JsonSchema) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {node[key]:,}" for key, word in words.items() if node.get(key) is not None]
    return ", " + " and ".join(found) if found else ""


def _default(name: str, node: JsonSchema, schema: JsonSchema) -> str:
    if name in schema.get("required", ()):
        return "**required**"
    if "$ref" in node:  # a section of its own; its keys have their own defaults
        return "see there"
    return f"`{json.dumps(node.get('default', {} if node.get('type') == 'object' else None))}`"
