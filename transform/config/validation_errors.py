"""Turns pydantic's validation errors for a config into sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from transform.feature_spec import FeatureSpec

#: The keys of the file that make up `Config.spec`.
SPEC_KEYS = tuple(field.name for field in dataclasses.fields(FeatureSpec))

_MAX_SENTENCES = 5


def sentences(error: ValidationError, raw: dict[str, Any], where: str, schema: dict[str, Any]) -> list[str]:
    """Returns the mistakes, one sentence each: the rule, the value received and where, and what is allowed.

    Args:
      error: The error from pydantic.
      raw: The config as it was validated.
      where: The config's origin, such as the file.
      schema: The config's JSON schema.
    """
    details = _first_causes(error.errors())
    sentences = [_sentence(detail, raw, where, schema) for detail in details[:_MAX_SENTENCES]]
    more = len(details) - _MAX_SENTENCES
    return list(dict.fromkeys(sentences + ([f"and {more} more mistakes."] if more > 0 else [])))


def _first_causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Drops errors that pydantic reports only because of another one: other branches of a union, a list too short."""
    branch = {"string_type", "none_required"}
    causes = [d for d in details if not (d["type"] in branch and isinstance(d["input"], dict))]
    deepest = [d for d in causes if d["type"] != "too_short" or not d["input"]]
    return deepest or causes or list(details)


def _sentence(detail: ErrorDetails, raw: dict[str, Any], where: str, schema: dict[str, Any]) -> str:
    """One pydantic error as a sentence: rule, value received, file and key."""
    keys, place = _place(detail["loc"], raw)
    key = f"`{'.'.join(keys[-2:] if keys[-1].isdecimal() else keys[-1:])}`" if keys else "the config"
    match detail["type"]:
        case "missing" | "missing_argument":
            return f"{key} is required ({where}, {place})."
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"{key} is not a known key ({where}, {place}); allowed: {_known_keys(keys[:-1], schema)}."
    broken = rule(detail)
    if detail["type"] == "value_error" and not broken.startswith("must"):
        return f"{broken} ({where}{', ' + place if place else ''})."
    return f"{key} {broken}. Received: {short(detail['input'])} ({where}, {place})."


def rule(detail: ErrorDetails) -> str:
    """The rule that a value breaks, such as `must be at least 2`; or the message of the config's own validators."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "greater_than":
            return f"must be greater than {context['gt']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "less_than":
            return f"must be less than {context['lt']}"
        case "literal_error":
            return f"must be one of {context['expected']}"
        case "tuple_type":
            return "must be a list"
        case "dataclass_type" | "dict_type":
            return "must be a mapping of keys"
        case "string_type":
            return "must be a text"
        case "too_short":
            return f"must have at least {context['min_length']} entries"
        case "string_too_short":
            return f"must have at least {context['min_length']} characters"
        case "string_pattern_mismatch":
            return f"must match the pattern {context['pattern']}"
        case "value_error":
            return str(context["error"])
    return detail["msg"][0].lower() + detail["msg"][1:]


def _place(loc: Sequence[int | str], raw: Any) -> tuple[list[str], str]:
    """The keys that lead to a mistake, as in the file: `features.app_id.vocabulary`, not `spec.features.0…`."""
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


def short(value: Any) -> str:
    """A value's `repr` for a message, at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known_keys(path: Sequence[str], schema: dict[str, Any]) -> list[str]:
    """The keys allowed at a place of the file."""
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
    for part in ["spec", *path] if path and path[0] in SPEC_KEYS else path:
        node = resolve(child(node, part))
        properties = dict(node.get("properties", {}))
    if "spec" in properties:
        properties = {k: v for k, v in properties.items() if k != "spec"} | {key: {} for key in SPEC_KEYS}
    return sorted(properties)
