"""The outputs that the pages show right after a command or a Python snippet."""

from __future__ import annotations

import re

from tests.documented_commands import plain
from tests.pages import lines_of

#: A block of commands, or a snippet, and the output after it, with nothing in between.
_SHOWN = re.compile(r"^```(sh|python)\n((?:(?!```).)*?)\n```\n\n```text\n(.*?)\n```$", re.MULTILINE | re.DOTALL)

#: A number, or a SHA-256 in hexadecimal.
_NUMBER = re.compile(r"\b[0-9a-f]{64}\b|-?\d[\d,.]*(?:e[+-]?\d+)?")


def outputs_of(page: str) -> dict[str, str]:
    """Returns the outputs in a page's text, by the snippet, or by the last command of the block."""
    return {
        plain(lines_of(body)[-1]) if language == "sh" else f"{body}\n": output
        for language, body, output in _SHOWN.findall(page)
    }


def shape_of(output: str) -> list[list[str]]:
    """Returns an output's words by line, each number as `#`; what a model answers differs from model to model."""
    return [_NUMBER.sub("#", line).split() for line in output.splitlines() if line.strip()]
