"""The component's side of a dry run's process: calls it, waits for answers, and explains why one is missing."""

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

#: The timeout for starting Python and importing TensorFlow on a busy machine; it does not depend on the model.
_START_SECONDS = 600.0

#: With less free space for temporary files, the end of a process is not attributed to the model.
_LEAST_FREE_BYTES = 2**20


class DryRunError(Exception):
    """The model is not fit to serve; the message is one sentence."""


class DryRunProcess:
    """A process of `serving.dry_run`; a context manager that starts it on entry and kills it on exit.

    Args:
      timeout_seconds: The timeout of each answer.
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
        self.kill()
        self._process.wait()
        self._connection.close()
        self._printed.close()

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()

    def ask(self, what_for: str, question: str, **arguments: Any) -> dict[str, Any]:
        """Calls a method of the process, and waits for the answer.

        Args:
          what_for: What the model must do, for the error message: `load`, `score requests`.
          question: The name of a method of `serving.dry_run`.
          **arguments: The method's arguments.

        Returns:
          The answer.

        Raises:
          DryRunError: If the model is not fit, the process ends, or it does not answer in time.
        """
        return self._ask(what_for, self._timeout_seconds, {"question": question, **arguments})

    def wait_for_start(self) -> None:
        """Waits until the process answers; raises DryRunError as `ask` does."""
        self._ask("start its process", _START_SECONDS, {"question": "greet"})

    def _ask(self, what_for: str, seconds: float, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            if not self._connection.poll(seconds):
                raise DryRunError(f"the model must {what_for} within {seconds:g} seconds; it did not answer")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            if shutil.disk_usage(tempfile.gettempdir()).free < _LEAST_FREE_BYTES:  # the disk may be the cause
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir()) from error
            raise DryRunError(f"the model must {what_for}; {self._how_it_ended()}") from error
        if "problem" in answer:
            raise DryRunError(answer["problem"])
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        self._printed.seek(0)
        printed = self._printed.read().decode(errors="replace").splitlines()
        last_line = next((line.strip() for line in reversed(printed) if line.strip()), "nothing was printed")
        if code >= 0:
            return f"its process ended with exit code {code}: {last_line}"
        name = signal.Signals(-code).name
        hint = ", as happens when memory runs out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}: {last_line}"
