"""JSON documents: each is a frozen dataclass with a `schema_version`, written and read through one validator.

A document's dataclass has the field `schema_version: Literal[n] = n` and the config `CONFIG`. Its `Document` converts
it to JSON and back. The JSON schemas are in `docs/reference/schemas/`, written by
`python -m tests.reference_pages --write`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any, Final, Generic, TypeVar

import pydantic_core
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema

from transform.errors import InputError

#: The config of a document's dataclass and of the dataclasses in it. In its schema, keys with a default are required,
#: since a document is written with all of its keys.
CONFIG: Final = ConfigDict(extra="forbid", json_schema_serialization_defaults_required=True)

#: A number that may be undefined, such as an AUC without a positive: NaN in Python, null in JSON.
FloatOrNaN = Annotated[
    float,
    BeforeValidator(lambda value: math.nan if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}),
]

_VERSION = "schema_version"

#: The most characters of a received value in a message.
_MAX_RECEIVED = 80

T = TypeVar("T")


class Document(Generic[T]):
    """The validator of one kind of document.

    Args:
      cls: The document's dataclass.
      name: What a message calls it, with its article, such as `a run's report`.
      error_type: The type of the error for a document that is damaged.
      omits_none: Whether a document is written without the keys whose value is None.
    """

    def __init__(
        self, cls: type[T], name: str, *, error_type: type[InputError] = InputError, omits_none: bool = False
    ) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(cls)
        self._name = name
        self._error_type = error_type
        self._omits_none = omits_none
        fields: Any = dataclasses.fields(cls)  # type: ignore[arg-type]
        self._version: int = next(field.default for field in fields if field.name == _VERSION)

    def to_json(self, value: T) -> str:
        """Returns a document as JSON; a number that is not finite becomes null."""
        return self._adapter.dump_json(value, indent=2, exclude_none=self._omits_none).decode() + "\n"

    def from_json(self, text: str | bytes, where: str) -> T:
        """Reads a document; `where` is the path that a message names.

        Raises:
          InputError: If it is damaged, or of a version that this release does not read; of the type `error_type`.
        """
        try:
            plain = pydantic_core.from_json(text)
        except ValueError as error:
            raise self._error_type(f"{self._name} must be JSON. Received: {error} ({where})") from error
        if not isinstance(plain, dict):
            raise self._error_type(f"{self._name} must be a JSON object. Received: {_shortened(plain)} ({where})")
        self._check_version(plain, where)
        try:
            # Strict validation of Python values takes no list for a tuple; strict validation of JSON does.
            return self._adapter.validate_json(pydantic_core.to_json(plain, inf_nan_mode="constants"), strict=True)
        except ValidationError as error:
            raise self._error_type(f"{self._name} {_first_mistake(error)} ({where})") from error

    def _check_version(self, plain: dict[str, Any], where: str) -> None:
        """Raises InputError if a document has another version than the one that is read, or none."""
        version = plain.get(_VERSION)
        if type(version) is not int or version != self._version:
            received = _shortened(version) if _VERSION in plain else "none"
            rule = f"{self._name} must have `{_VERSION}` {self._version}"
            raise self._error_type(f"{rule}. Received: {received} ({where})")


def _first_mistake(error: ValidationError) -> str:
    """Describes the first mistake in a document: where in it, the rule and the value received."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the document"
    if first["type"] == "missing":
        return f"must have the key `{place}`. Received: none"
    if first["type"] == "unexpected_keyword_argument":
        return f"must have no key that its schema lacks. Received: `{place}`"
    rule = first["msg"][:1].lower() + first["msg"][1:]
    return f"must follow its schema: `{place}`: {rule}. Received: {_shortened(first['input'])}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_RECEIVED else f"{text[: _MAX_RECEIVED - 1]}…"
