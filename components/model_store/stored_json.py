"""Reads JSON files of a serving folder into dataclasses; a damaged file is described in one sentence."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from transform.config.validation_errors import short
from transform.errors import InputError

_T = TypeVar("_T")


def validated(
    adapter: TypeAdapter[_T], text: str, what: str, path: str, error_type: type[InputError] = InputError
) -> _T:
    """Validates a file's text strictly: a number in quotes is no number.

    Args:
      adapter: The adapter of the file's dataclass, which has a `schema_version`.
      text: The file's text.
      what: The file's kind, such as `a manifest`.
      path: The file's path.
      error_type: The type of the error.

    Raises:
      InputError: If the text is no JSON object, or does not follow the schema; of the type `error_type`.
    """
    try:
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        # Of a file with another schema version, the version explains every other difference.
        first = min(error.errors(), key=lambda detail: detail["loc"] != ("schema_version",))
        raise error_type(_sentence(first, what, path, adapter)) from error


def _sentence(detail: ErrorDetails, what: str, path: str, adapter: TypeAdapter[Any]) -> str:
    """Returns the rule that a file breaks, the value received and where, and what is allowed."""
    place = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "json_invalid":
            return f"{what} must be JSON. Received: {detail['ctx']['error']} ({path})"
        case "dataclass_type" if not place:
            return f"{what} must be a JSON object. Received: {short(detail['input'])} ({path})"
        case "missing":
            return f"{what} must have the key `{place}`. Received: none ({path})"
        case "unexpected_keyword_argument":
            allowed = ", ".join(_keys_at(adapter.json_schema(), detail["loc"][:-1]))
            return f"{what} must have known keys only. Received: `{place}` ({path}); allowed: {allowed}"
        case "literal_error":
            expected = detail["ctx"]["expected"]
            return f"{what} must have {expected} as `{place}`. Received: {short(detail['input'])} ({path})"
    return f"{what} must follow its schema. Received: `{place}`: {short(detail['input'])} ({path}): {detail['msg']}"


def _keys_at(schema: dict[str, Any], place: tuple[int | str, ...]) -> list[str]:
    """Returns the keys of the object at a place of a JSON schema whose objects are nullable references."""
    node = schema
    for part in place:
        node = node["properties"][str(part)]
        (reference,) = [option["$ref"] for option in node["anyOf"] if "$ref" in option]
        node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return sorted(node["properties"])
