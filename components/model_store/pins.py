"""Pinned versions, which are never removed."""

from __future__ import annotations

import json
import os
from typing import Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from components import storage
from components.model_store.stored_json import validated
from components.model_store.versions import locked, versions
from transform.errors import InputError

#: In the serving folder: the pins. TF Serving ignores the file.
PINS_FILE = ".pins.json"

#: The schema version of the files that this code writes. Release 0.1 wrote `reasons` alone, without a schema version.
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Pins:
    """The pins of a serving folder.

    Attributes:
      reasons: The reason of each pin, by version; may be empty.
      schema_version: The version of this dataclass's schema.
    """

    reasons: dict[int, str] = Field(default_factory=dict)
    schema_version: Literal[1] = SCHEMA_VERSION

    def to_json(self) -> str:
        return json.dumps(PINS_ADAPTER.dump_python(self, mode="json"), indent=2)


#: Validates the file of pins, and gives its JSON schema.
PINS_ADAPTER = TypeAdapter(Pins)


def pins(root: str) -> dict[int, str]:
    """Returns the reason of each pin, by version; raises InputError if the file is damaged."""
    path = os.path.join(root, PINS_FILE)
    text = storage.read_text(path)
    return {} if text is None else validated(PINS_ADAPTER, _migrated(text), "the file of pins", path).reasons


def pin(root: str, version: int, reason: str) -> None:
    """Pins a version; raises InputError if there is no such version."""
    with locked(root):
        found = versions(root)
        if version not in found:
            raise InputError(f"a version to pin must be one of {found}. Received: {version} ({root})")
        _write(root, {**pins(root), version: reason})


def unpin(root: str, version: int) -> None:
    """Removes a pin; raises InputError if the version is not pinned."""
    with locked(root):
        pinned = pins(root)
        if version not in pinned:
            raise InputError(f"a version to unpin must be one of {sorted(pinned)}. Received: {version} ({root})")
        _write(root, {number: reason for number, reason in pinned.items() if number != version})


def _migrated(text: str) -> str:
    """Converts a file of release 0.1, which had only the reasons by version; returns any other text as it is."""
    try:
        found = json.loads(text)
    except ValueError:  # described by `validated`
        return text
    if not isinstance(found, dict) or "schema_version" in found:
        return text
    return json.dumps({"reasons": found, "schema_version": SCHEMA_VERSION})


def _write(root: str, pinned: dict[int, str]) -> None:
    storage.write_text(os.path.join(root, PINS_FILE), Pins(dict(sorted(pinned.items()))).to_json())
