"""The project's pages: which files they are, their text, and their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SITE = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    ROOT / "serving/model_server/README.md",
    *sorted((ROOT / "deploy").glob("*/README.md")),
    *sorted((ROOT / "tests").rglob("README.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *SITE,
]

#: A fenced block: its indentation, its fence, its language and its lines.
FENCE = re.compile(r"^( *)(`{3,})([^\n]*)\n(.*?)\n\1\2[ ]*$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    """A page's path within the project."""
    return path.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    """A page's text."""
    return page.read_text(encoding="utf-8")


def lines_of(body: str) -> list[str]:
    """The lines of a shell block, continued lines as one."""
    return re.sub(r" *\\\n\s*", " ", body).splitlines()


def shell_lines(text: str) -> Iterator[str]:
    """The lines of a page's `sh` blocks, continued lines as one."""
    for _, _, language, body in FENCE.findall(text):
        if language == "sh":
            yield from lines_of(body)
