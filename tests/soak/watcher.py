"""A process that polls a folder of versions as a model server does, and loads each version that appears.

It polls every 10 ms. A poll fails if it finds no version, if a version has disappeared, or if a version's files do not
match its manifest. A version whose files have changed since the poll before is verified at once; then another process
loads it and scores a recorded request with it. `Watcher` starts both processes.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from types import TracebackType

from components.model_store.versions import verify
from tests.e2e.store import ROOT
from transform.files.version_layout import EXTRA_ASSETS, WARMUP_FILE, DamagedVersionError

POLL_SECONDS = 0.01

_WATCHING = "watching"

#: A version's files: path, inode, size and modification time of each.
Files = tuple[tuple[str, int, int, int], ...]


@dataclasses.dataclass(frozen=True)
class Watched:
    """The observations of a watcher.

    Attributes:
      polls: The number of polls.
      longest_gap_ms: The longest time between two polls.
      loads: How often each version was loaded and scored.
      problems: The problems, with the number of polls that found each.
    """

    polls: int
    longest_gap_ms: float
    loads: dict[str, int]
    problems: dict[str, int]


class Watcher:
    """A watching process, as a context manager; at the end, `watched` holds its observations."""

    watched: Watched

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> Watcher:
        self._printed = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.watcher", str(self._folder)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != _WATCHING:
            self._fail()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        reported, _ = self._process.communicate()  # closes the process's input, which ends it
        if self._process.returncode != 0:
            self._fail()
        self.watched = Watched(**json.loads(reported))
        self._printed.close()

    def _fail(self) -> None:
        self._process.wait()
        self._printed.seek(0)
        raise RuntimeError(f"the watcher ended: {self._printed.read().decode(errors='replace')[-3000:]}")


class _Polls:
    """Polls the folder; another process loads the versions, so that polling continues meanwhile."""

    def __init__(self, folder: Path, loader: Executor):
        self._folder, self._loader = folder, loader
        self._files: dict[str, Files] = {}
        self.loads: list[tuple[str, Future[None]]] = []
        self.problems: collections.Counter[str] = collections.Counter()
        self.polls = 0
        self.longest_gap = 0.0

    def until(self, end: threading.Event) -> None:
        last = time.monotonic()
        while not end.wait(POLL_SECONDS):
            self._poll()
            now = time.monotonic()
            self.polls, self.longest_gap, last = self.polls + 1, max(self.longest_gap, now - last), now

    def _poll(self) -> None:
        found = {name for name in os.listdir(self._folder) if name.isdecimal()}
        if not found:
            self.problems["there is no version"] += 1
        self.problems.update(f"version {name} is gone" for name in self._files.keys() - found)
        for name in sorted(found, key=int):
            try:
                files = _files(self._folder / name)
                if files == self._files.get(name):
                    continue
                self._files[name] = files
                verify(str(self._folder / name))
            except (DamagedVersionError, FileNotFoundError) as error:
                self.problems[f"version {name} is not whole: {error}"] += 1
            self.loads.append((name, self._loader.submit(_score, self._folder / name)))


def _files(folder: Path) -> Files:
    found = []
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            stat = os.stat(path)
            found.append((path, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(found))


def _score(version: Path) -> None:
    """Loads a version as a model server does, and scores a request recorded with it."""
    import tensorflow as tf  # imported here, since only the loading process needs it
    from tensorflow_serving.apis import prediction_log_pb2

    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    records = tf.data.TFRecordDataset(str(version / EXTRA_ASSETS / WARMUP_FILE))
    log = prediction_log_pb2.PredictionLog.FromString(next(records.as_numpy_iterator()))
    (examples,) = log.predict_log.request.inputs.values()
    (scores,) = signature(tf.constant(tf.make_ndarray(examples))).values()
    values = scores.numpy()
    if len(values) == 0 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"its scores are no probabilities: {values[:5]}")


def _set_at_end_of_input(end: threading.Event) -> None:
    sys.stdin.read()
    end.set()


def main() -> None:
    """Watches until its input ends, then prints its observations."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as loader:
        end = threading.Event()
        threading.Thread(target=_set_at_end_of_input, args=(end,), daemon=True).start()
        print(_WATCHING, flush=True)
        polls = _Polls(Path(sys.argv[1]), loader)
        polls.until(end)
        loads: collections.Counter[str] = collections.Counter()
        for name, load in polls.loads:
            if error := load.exception():
                polls.problems[f"version {name} does not serve: {type(error).__name__}: {error}"] += 1
            else:
                loads[name] += 1
    watched = Watched(polls.polls, polls.longest_gap * 1000, dict(loads), dict(polls.problems))
    print(json.dumps(dataclasses.asdict(watched)))


if __name__ == "__main__":
    main()
