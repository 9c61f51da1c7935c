"""Documents that release 0.1 wrote, with their real text: files of `tests/e2e/workspace-of-0.1.tar.xz`."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "documents_of_0.1"


def text_of(name: str) -> str:
    """The text of a document, without the suffix of its name."""
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")
