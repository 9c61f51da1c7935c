"""Documents that release 0.1 wrote, with their real text: files of `tests/e2e/workspace-of-0.1.tar.xz`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "documents_of_0.1"


def text_of(name: str) -> str:
    """The text of a document, without the suffix of its name."""
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def with_keys_of(earlier: Any, document: Any) -> Any:
    """Returns a JSON document without the keys that an earlier one lacks, such as those of a later release."""
    if isinstance(earlier, dict) and isinstance(document, dict):
        return {key: with_keys_of(earlier[key], value) for key, value in document.items() if key in earlier}
    return document
