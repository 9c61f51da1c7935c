"""A dry run's process, as the component sees it: asked, waited for, and told apart when it does not answer."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

_TOP = Path(__file__).resolve().parents[2]

#: The time to start Python and import TensorFlow on a machine that does much else; no model has a part in it.
_START_SECONDS = 600.0

#: With less left for temporary files, a process that ended says nothing of the model.
_LEAST_FREE_BYTES = 2**20


class DryRunError(Exception):
    """A model that is not fit to serve; the text is one sentence."""


class DryRunProcess:
    """A process of `serving.dry_run`; entered it runs, and is killed on leaving.

    Args:
      timeout_seconds: For each answer.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> DryRunProcess:
        self._printed = tempfile.TemporaryFile()
        self._connection, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", "serving.dry_run", "--connection", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command,
                cwd=_TOP,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()
        self._printed.close()

    def ask(self, what_for: str, question: str, **arguments: Any) -> dict[str, Any]:
        """Asks, and waits for the answer.

        Args:
          what_for: What the model must do, for the sentence on one that does not: `load`, `score requests`.
          question: A method of `serving.dry_run`'s conversation.
          **arguments: Its arguments.

        Returns:
          The answer.

        Raises:
          DryRunError: If the model is not fit, the process ends, or it does not answer in time.
        """
        return self._ask(what_for, self._timeout_seconds, {"question": question, **arguments})

    def wait_for_start(self) -> None:
        """Waits until the process can be asked; raises DryRunError as `ask` does."""
        self._ask("have a process to run in", _START_SECONDS, {"question": "greet"})

    def _ask(self, what_for: str, seconds: float, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            if not self._connection.poll(seconds):
                raise DryRunError(f"the model must {what_for} within {seconds:g} seconds; it hung")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            if shutil.disk_usage(tempfile.gettempdir()).free < _LEAST_FREE_BYTES:  # may be no fault of the model's
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir()) from error
            raise DryRunError(f"the model must {what_for}; {self._how_it_ended()}") from error
        if "problem" in answer:
            raise DryRunError(answer["problem"])
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._printed.seek(0)
        printed = self._printed.read().decode(errors="replace").splitlines()
        last_line = next((line.strip() for line in reversed(printed) if line.strip()), "no word")
        if code >= 0:
            return f"its process ended with exit code {code}: {last_line}"
        name = signal.Signals(-code).name
        hint = ", as one is that takes too much memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}: {last_line}"
