"""Pinned versions, which are never removed."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from components import storage
from components.model_store.versions import locked, versions
from transform.documents import CONFIG, Document
from transform.errors import InputError

#: In the serving folder: the pins. TF Serving ignores the file.
PINS_FILE = ".pins.json"


@dataclass(frozen=True, config=CONFIG)
class Pins:
    """The pins of a serving folder.

    Attributes:
      reasons: The reason of each pin, by version; may be empty.
      schema_version: The version of this dataclass's schema.
    """

    reasons: dict[int, str] = Field(default_factory=dict)
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        return _DOCUMENT.to_json(self)


_DOCUMENT = Document(Pins, "the file of pins")


def pins(root: str) -> dict[int, str]:
    """Returns the reason of each pin, by version; raises InputError if the file is damaged."""
    path = os.path.join(root, PINS_FILE)
    text = storage.read_text(path)
    return {} if text is None else _DOCUMENT.from_json(text, path).reasons


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


def _write(root: str, pinned: dict[int, str]) -> None:
    storage.write_text(os.path.join(root, PINS_FILE), Pins(dict(sorted(pinned.items()))).to_json())
