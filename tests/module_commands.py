"""Runs commands `python -m MODULE …` one after another in this process, which imports TensorFlow only once.

Usage: `python -m tests.module_commands`, with a JSON list on standard input. Each entry is a list: a module and its
arguments. Prints a JSON list with each one's exit code and what it printed.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys


def run(words: list[str]) -> tuple[str | int, str]:
    """Runs a module; returns its exit code, or the sentence with which it ended, and what it printed."""
    printed = io.StringIO()
    code: str | int = 0
    sys.argv = words
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
    return code, printed.getvalue()


if __name__ == "__main__":
    sys.stdout.write(json.dumps([run(words) for words in json.load(sys.stdin)]))
