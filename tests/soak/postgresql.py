"""A dedicated PostgreSQL server on loopback, for ML Metadata."""

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

#: The folder in which Debian installs the server's commands.
_DEBIAN = "/usr/lib/postgresql/*/bin"


@dataclasses.dataclass(frozen=True)
class PostgreSQL:
    """A PostgreSQL server.

    Attributes:
      commands: The folder of its commands.
      folder: The folder of its data, owned by the user who runs it.
      port: The port on loopback.
      user: The user who runs it, because it refuses to be run by root. None for the user of this process.
    """

    commands: Path
    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """The value for `WDR_METADATA_URL`; ML Metadata creates the database."""
        return f"postgresql://wdr@127.0.0.1:{self.port}/mlmd"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.call("pg_ctl", "start", "-w", "-D", "data", "-l", "log", "-o", options)

    def stop(self) -> None:
        """Stops the server immediately, with all of its connections."""
        self.call("pg_ctl", "stop", "-w", "-D", "data", "-m", "immediate")

    def call(self, command: str, *arguments: str) -> None:
        """Runs one of its commands as its user.

        `setpriv` changes the user. `subprocess.run(user=...)` would fork, and so run gRPC's fork handlers, of which
        a child sometimes dies (2 of 600); without `user` Python calls vfork, which runs no handlers.
        """
        user = self.user
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        command_line = [*as_user, str(self.commands / command), *arguments]
        subprocess.run(command_line, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def running() -> Iterator[PostgreSQL]:
    """Starts a new server with an empty database, and stops it at the end of the context."""
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
            with contextlib.suppress(subprocess.CalledProcessError):  # it may be stopped already
                server.stop()
