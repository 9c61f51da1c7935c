"""Prism, Beam's runner of the Fn API on one machine, and a pool of workers: processes that end with the test.

Prism is a program of Beam's Go module, which Go builds by its name; it is kept for later test runs. Both listen on all
of the machine's addresses, since neither has an option for that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest
from filelock import FileLock

from tests.deploy.manifests import container, pods

ROOT = Path(__file__).resolve().parents[1]

MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"

#: Where Go's own installer puts the command, besides the folders of PATH.
_GO_FOLDER = "/usr/local/go/bin"


def built() -> Path:
    """Returns the path of Prism of the lock file's Beam; builds it if needed, and skips the test where Go is absent."""
    go = shutil.which("go", path=os.pathsep.join([os.environ["PATH"], _GO_FOLDER]))
    if go is None:
        pytest.skip("Prism is built by Go, and there is no command `go` here")
    (version,) = re.findall(r"^apache-beam==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wide-deep-ranker"
    program = cache / f"prism-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{program}.lock"):
        if not program.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                subprocess.run([go, "install", f"{MODULE}@v{version}"], env={**os.environ, "GOBIN": folder}, check=True)
                (Path(folder) / "prism").rename(program)
    return program


@contextlib.contextmanager
def prism() -> Iterator[int]:
    """Runs Prism without its page; yields the port of its job server."""
    port = free_port()
    with _process([built(), f"-job_port={port}", "-serve_http=false", "-log_level=warn"], {}, port):
        yield port


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool of workers that runs.

    Attributes:
      port: Its port.
      pid: Its process, the parent of the one that forks its workers.
    """

    port: int
    pid: int

    def workers(self) -> list[int]:
        """Returns the processes of the workers that it has started and that have not ended."""
        return [worker for process in _children(self.pid) for worker in _children(process)]


def _children(parent: int) -> list[int]:
    lists = (task.read_text().split() for task in Path(f"/proc/{parent}/task").glob("*/children"))
    return [int(pid) for pids in lists for pid in pids if not has_ended(int(pid))]


@contextlib.contextmanager
def worker_pool(port: int | None = None) -> Iterator[Pool]:
    """Runs a pool of workers by the command line of `deploy/beam/pools.yaml`, without the image's init.

    Args:
      port: Its port; if not given, a free one.
    """
    port = free_port() if port is None else port
    # The tests' pools have addresses of loopback other than the first.
    _init, _end, _python, *arguments = container(pods()["beam-pool"])["command"]
    own = {"--host=$(POD_IP)": "--host=0.0.0.0", "--port=50000": f"--port={port}"}
    command = [sys.executable, *(own.get(argument, argument) for argument in arguments)]
    with _process(command, {"PYTHONPATH": str(ROOT)}, port) as process:
        yield Pool(port, process.pid)


def beam_args(job_port: int, pool_port: int, *more: str) -> tuple[str, ...]:
    """Returns the options of Beam's pipelines for Prism with a pool of workers, as in `deploy/beam/README.md`."""
    return (
        "--runner=PortableRunner",
        f"--job_endpoint=localhost:{job_port}",
        "--environment_type=EXTERNAL",
        f"--environment_config=localhost:{pool_port}",
        "--sdk_container_image=none",
        *more,
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def _process(command: Sequence[str | Path], variables: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process until the end of the block, with all that it starts; yields it when it serves gRPC at its port."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, start_new_session=True)
    try:
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=180)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # Prism may have ended itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def has_ended(pid: int) -> bool:
    """Returns whether a process is gone, or waits for its parent to notice that it ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
