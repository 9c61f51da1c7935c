"""Runs a command of `wdr` in a process of its own, and returns the heavy libraries that it imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

#: Each takes seconds to import.
HEAVY = ("apache_beam", "tensorflow", "tensorflow_model_analysis", "tensorflow_transform", "tfx")

_PROGRAM = f"""
import atexit, json, sys
atexit.register(lambda: print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr))
from pipeline.cli.main import main
sys.argv[0] = "wdr"
main()
"""


class Ended(NamedTuple):
    """A command's exit code and output, and the heavy libraries that its process imported."""

    code: int
    stdout: str
    stderr: str
    imported: list[str]


def wdr(*words: str) -> Ended:
    """Runs a command."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], cwd=ROOT, capture_output=True, text=True)
    *stderr, last = done.stderr.splitlines()
    return Ended(done.returncode, done.stdout, "\n".join(stderr), json.loads(last))
