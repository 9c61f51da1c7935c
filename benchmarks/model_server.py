"""A model server in a process of its own, for benchmarks: starts it, pushes versions to it and reads its log."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transform.errors import UserError

#: The model's name.
MODEL = "benchmark"

#: Maximum time for the server to become ready.
_PATIENCE_SECONDS = 120


@dataclasses.dataclass
class Running:
    """A running server.

    Attributes:
      process: Its process.
      log: The path of its log.
      rest_port: Its REST port, which also serves `/readyz`.
    """

    process: subprocess.Popen[bytes]
    log: Path
    rest_port: int

    @property
    def ready(self) -> bool:
        """Whether the server is ready: its model answers."""
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.rest_port}/readyz"
            with urllib.request.urlopen(url, timeout=1) as response:
                return bool(response.status == 200)
        return False

    def lines(self) -> list[dict[str, Any]]:
        """Returns the log's entries."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    @property
    def memory_mb(self) -> float:
        """The resident memory of the server's processes, in MB."""
        return memory_mb(self.process.pid)

    def wait_until_ready(self) -> None:
        """Waits until the model answers.

        Raises:
          UserError: If it does not become ready in time.
        """
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self.ready:
            if self.process.poll() is not None or time.monotonic() > end:
                raise UserError(f"the model server must become ready. Received: {self.log.read_text(encoding='utf-8')}")
            time.sleep(0.02)


def children(pid: int) -> list[int]:
    """Returns the ids of a process's child processes."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found += map(int, file.read_text(encoding="ascii").split())
    return found


def memory_mb(pid: int) -> float:
    """Returns the resident memory of a process and its descendants in MB; shared pages count for each process.

    It is not the proportional set size, which depends on the machine's other processes.
    """
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20 + sum(map(memory_mb, children(pid)))


def free_port() -> int:
    """Returns a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(models: Path, grpc_port: int, *arguments: str) -> Iterator[Running]:
    """Runs a server of a folder of models, with its log next to the folder; kills it at the end."""
    rest_port = free_port()
    ports = ("--grpc-port", str(grpc_port), "--rest-port", str(rest_port))
    command = [sys.executable, "-m", "serving.model_server", "--models", str(models), *ports, *arguments]
    log = models.parent / f"server-{rest_port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    try:
        yield Running(process, log, rest_port)
    finally:
        process.kill()
        process.wait()


def push(version: Path, models: Path, number: int) -> None:
    """Pushes a copy of a version under a number; its files appear atomically, by a rename."""
    folder = models / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".copy-{number}"
    shutil.copytree(version, part)
    part.rename(folder / str(number))
