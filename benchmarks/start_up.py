"""User time until a command of `wdr` has answered, and until the ranking client is imported.

`python -m benchmarks.start_up --data DIR --workspace DIR`: a data folder as `wdr simulate` writes it, and a workspace
with at least one pushed version. Each command runs in a process of its own, several times; the least user time counts,
as it has the fewest interruptions. User time, the processor time outside the kernel, not the time on a clock, so that
other processes matter little. A command must end with the exit code that it has when it answers.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.client.build import PACKAGE, gather
from transform.errors import UserError

CONFIG = "configs/app_store.yaml"

#: The most user time allowed, in seconds.
_MOST, _MOST_OF_CHECK, _MOST_OF_CLIENT = 1.0, 3.0, 0.5


def user_seconds(command: Sequence[str], repetitions: int, path: str = "", code: int = 0) -> float:
    """Runs a command several times; returns the least user time of its process, in seconds.

    Args:
      command: The command.
      repetitions: How often it runs.
      path: A folder in front of the path of modules.
      code: The exit code that it must have.

    Raises:
      UserError: If it ends with another exit code.
    """
    environment = {**os.environ, "PYTHONPATH": path} if path else None
    seconds = []
    for _ in range(repetitions):
        before = os.times().children_user
        ended = subprocess.run(command, capture_output=True, env=environment, text=True)
        seconds.append(os.times().children_user - before)
        if ended.returncode != code:
            reported = f"{shlex.join(command)} must end with exit code {code}. Received: {ended.returncode}"
            raise UserError(f"{reported}\n{ended.stderr}")
    return min(seconds)


#: The commands that answer with an error.
_FAILING = ("rank, no server", "run, no such span")


def commands(data: str, workspace: str) -> dict[str, tuple[list[str], float]]:
    """Returns the commands by name, each with the most user time allowed."""
    place = ["--workspace", workspace]
    fast = {
        "--help": ["--help"],
        "models list": ["models", "list", *place],
        "models show": ["models", "show", *place],
        "models history": ["models", "history", *place],
        "models diff": ["models", "diff", "1", "1", *place],
        "gates replay": ["gates", "replay", CONFIG, *place],
        "gc --dry-run": ["gc", "--dry-run", *place],
        "rank, no server": ["rank", "--server", "127.0.0.1:1", "--model", "m", "--context", "{}", "--items", "a"],
        "run, no such span": ["run", CONFIG, "--data", data, *place, "--span", "999999"],
    }
    found = {name: (words, _MOST) for name, words in fast.items()}
    return {**found, "check": (["check", CONFIG, "--data", data], _MOST_OF_CHECK)}


def main() -> None:
    """Prints a table; exits with 1 if a limit is exceeded, or if a command ends with another exit code than usual."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    measured = {}
    try:
        for name, (words, most) in commands(arguments.data, arguments.workspace).items():
            command = [sys.executable, "-m", "pipeline.cli", *words]
            seconds = user_seconds(command, arguments.repetitions, code=int(name in _FAILING))
            measured[f"wdr {name}"] = seconds, most
        with tempfile.TemporaryDirectory() as folder:
            gather(Path(folder))
            seconds = user_seconds([sys.executable, "-c", f"import {PACKAGE}"], arguments.repetitions, folder)
            measured[f"import {PACKAGE}"] = seconds, _MOST_OF_CLIENT
    except UserError as error:
        sys.exit(str(error))
    table = Table("", "user seconds", "at most", box=None)
    for name, (seconds, most) in measured.items():
        table.add_row(name, f"{seconds:.2f}", f"{most:g}")
    Console().print(table)
    sys.exit(any(seconds > most for seconds, most in measured.values()))


if __name__ == "__main__":
    main()
