"""A process that scores requests with the served version while runs are in progress, as a model server would."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.infra_validation.process import DryRunProcess
from components.model_store.versions import verify, version_path, versions

#: The pause between two checks, in seconds.
_PAUSE = 0.2


class Answering(threading.Thread):
    """Repeatedly verifies the highest version against its manifest and scores recorded requests with it.

    Args:
      serving: The serving folder.
      requests: Serialized raw tf.Examples.
    """

    def __init__(self, serving: Path, requests: list[bytes]):
        super().__init__(daemon=True)
        self._serving = str(serving)
        self._requests = requests
        self._end = threading.Event()
        self._looked = threading.Condition()
        self._loads_wanted = self._loads = 0
        self.expected: np.ndarray | None = None
        self.looks = 0
        self.problems: list[str] = []

    def run(self) -> None:
        with tempfile.TemporaryDirectory() as folder, DryRunProcess(timeout_seconds=300) as process:
            process.wait_for_start()
            with tf.io.TFRecordWriter(f"{folder}/requests") as writer:
                for request in self._requests:
                    writer.write(request)
            while not self._end.wait(_PAUSE):
                try:
                    self._look(process, folder)
                except Exception as error:  # any failure to answer is recorded
                    self.problems.append(f"{type(error).__name__}: {error}")
                with self._looked:
                    self.looks += 1
                    self._looked.notify_all()

    def _look(self, process: DryRunProcess, folder: str) -> None:
        path = version_path(self._serving, versions(self._serving)[-1])
        verify(path)
        wanted = self._loads_wanted
        if self._loads < wanted or self.expected is None:
            process.ask("load", "load", model=path)
        scores = f"{folder}/scores.npy"
        process.ask("score requests", "score", requests=f"{folder}/requests", scores=scores, batch_size=200)
        received = np.load(scores)
        if self.expected is None:
            self.expected = received
        if not np.array_equal(received, self.expected):
            self.problems.append(f"{path} answers otherwise than it did")
        self._loads = wanted

    def load_again(self) -> None:
        """Makes the process reload the version, and waits until the next checks have ended, even with a problem."""
        with self._looked:
            self._loads_wanted += 1
            at_least = self.looks + 2
            assert self._looked.wait_for(lambda: self.looks >= at_least, timeout=300)

    def end(self) -> None:
        self._end.set()
        self.join()
