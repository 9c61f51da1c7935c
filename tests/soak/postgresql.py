"""A PostgreSQL server of its own, on loopback, for ML Metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.debian import installed

#: Where Debian has the server's commands.
_DEBIAN = "/usr/lib/postgresql/*/bin"


@dataclasses.dataclass(frozen=True)
class PostgreSQL:
    """A server.

    Attributes:
      commands: The folder of its commands.
      folder: Its data's, which belongs to whoever runs it.
      port: On loopback.
      user: Who runs it: it refuses to be run by root. None for whoever runs this process.
    """

    commands: Path
    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """For `WDR_METADATA_URL`; ML Metadata makes the database."""
        return f"postgresql://wdr@127.0.0.1:{self.port}/mlmd"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.call("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Ends it at once, with whatever is connected to it."""
        self.call("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def call(self, command: str, *arguments: str) -> None:
        """Runs a command of its, as who may."""
        subprocess.run(
            [self.commands / command, *arguments],
            cwd=self.folder, user=self.user, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip


@contextlib.contextmanager
def running() -> Iterator[PostgreSQL]:
    """A new server with an empty database, from its start to its end."""
    commands = Path(installed("initdb", "postgresql", _DEBIAN)).parent
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)
        with socket.create_server(("127.0.0.1", 0)) as free:
            server = PostgreSQL(commands, folder, free.getsockname()[1], user)
        server.call("initdb", "-D", "data", "-U", "wdr", "--auth", "trust", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):  # it is stopped already
                server.stop()
