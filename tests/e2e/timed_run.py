"""A `wdr run` that is observed while it runs (which node, since when) and can be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tests.e2e import store

#: The time before the first node starts, and the time after the last one has ended.
BEGINNING = "(start)"
END = "(end)"

_TIMEOUT_SECONDS = 1200.0


class TimedRun:
    """A running `wdr run`, in its own process group.

    Args:
      arguments: As for `store.command`.
      environment: Variables that are added to this process's environment.
      root: The checkout whose code runs.

    Attributes:
      starts: When each node's start was printed, in seconds since the process's start; `BEGINNING` first.
    """

    def __init__(
        self, arguments: list[str | Path], environment: Mapping[str, str] | None = None, root: Path = store.ROOT
    ):
        self._lines: list[str] = []
        self._told = threading.Condition()
        self._has_ended = False
        self._since = time.monotonic()
        self.starts = {BEGINNING: 0.0}
        self._process = subprocess.Popen(
            store.command(*arguments), cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def seconds(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._since

    @property
    def durations(self) -> dict[str, float]:
        """The time from each node's start to the next one's, in seconds; for a run that has just ended."""
        ends = [*list(self.starts.values())[1:], self.seconds]
        return {node: end - start for (node, start), end in zip(self.starts.items(), ends, strict=True)}

    @property
    def node(self) -> str:
        """The running node."""
        return list(self.starts)[-1]

    @property
    def output(self) -> str:
        """The output so far."""
        return "".join(self._lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._told:
                self._lines.append(line)
                if line.endswith(" …\n"):
                    self.starts[line.removesuffix(" …\n")] = self.seconds
                elif line.startswith("✓ push: "):
                    self.starts[END] = self.seconds
                self._told.notify_all()
        with self._told:
            self._has_ended = True
            self._told.notify_all()

    def wait_for(self, node: str) -> bool:
        """Waits until a node starts; returns False if the run ends before."""
        with self._told:
            reported = self._told.wait_for(lambda: node in self.starts or self._has_ended, _TIMEOUT_SECONDS)
        assert reported, f"{node} did not start: {self.output}"
        return node in self.starts

    def kill_after(self, node: str, seconds: float) -> float | None:
        """Kills the run, and all processes that it has started, a time after a node's start.

        Returns:
          The time of the kill, in seconds since the run's start; None if the run had ended before.
        """
        if not self.wait_for(node):
            return None
        try:
            self._process.wait(max(0.0, self.starts[node] + seconds - self.seconds))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
        killed_at = self.seconds
        return killed_at if self.wait() == -signal.SIGKILL else None

    def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        code = self._process.wait(_TIMEOUT_SECONDS)
        self._reader.join()
        return code
