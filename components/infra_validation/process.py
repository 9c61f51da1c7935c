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


#: The signals that others send: the kernel when memory runs out, an eviction, a person. A fault of a model's own code
#: raises others, such as SIGABRT and SIGSEGV.
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"})


class DryRunError(Exception):
    """The model is not fit to serve; the message is one sentence."""


class ProcessEndedError(DryRunError):
    """The model's process ended, or did not answer in time.

    Attributes:
      end: How: a signal's name, `exit code 1`, or `timeout`.
    """

    def __init__(self, sentence: str, end: str) -> None:
        super().__init__(sentence)
        self.end = end

    @property
    def is_from_outside(self) -> bool:
        """Whether others ended the process, so that it says nothing about the model."""
        return self.end in _FROM_OUTSIDE


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
          ProcessEndedError: If the process ends, or does not answer in time.
          DryRunError: If the model is not fit.
        """
        return self._ask(what_for, self._timeout_seconds, {"question": question, **arguments})

    def wait_for_start(self) -> None:
        """Waits until the process answers; raises DryRunError as `ask` does."""
        self._ask("start its process", _START_SECONDS, {"question": "greet"})

    def _ask(self, what_for: str, seconds: float, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            if not self._connection.poll(seconds):
                rule = f"the model must {what_for} within {seconds:g} seconds"
                raise ProcessEndedError(f"{rule}; it did not answer", "timeout")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            if shutil.disk_usage(tempfile.gettempdir()).free < _LEAST_FREE_BYTES:  # the disk may be the cause
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), tempfile.gettempdir()) from error
            raise self._ended(what_for) from error
        if "problem" in answer:
            raise DryRunError(answer["problem"])
        return answer

    def _ended(self, what_for: str) -> ProcessEndedError:
        code = self._process.wait()
        self._printed.seek(0)
        printed = self._printed.read().decode(errors="replace").splitlines()
        last_line = next((line.strip() for line in reversed(printed) if line.strip()), "nothing was printed")
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        hint = ", as happens when memory runs out" if end == "SIGKILL" else ""
        how = f"was killed by {end}{hint}" if code < 0 else f"ended with {end}"
        return ProcessEndedError(f"the model must {what_for}; its process {how}: {last_line}", end)
