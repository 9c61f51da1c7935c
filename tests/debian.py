"""Debian packages that a test needs and no wheel contains; installed automatically if permitted."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock


def installed(command: str, package: str, folders: str = "") -> str:
    """Returns the path of a command; installs its package if needed.

    Args:
      command: The command's name.
      package: The Debian package that contains it.
      folders: A pattern of folders to search besides PATH.

    Raises:
      FileNotFoundError: If the command is missing and this process may not install it.
    """

    def find() -> str | None:
        return shutil.which(command, path=os.pathsep.join([os.environ["PATH"], *sorted(glob.glob(folders))]))

    with FileLock(Path(tempfile.gettempdir()) / "wdr-tests-apt.lock"):  # tests run in parallel, apt cannot
        if find() is None and shutil.which("apt-get") and os.geteuid() == 0:
            variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "update", "-qq"], env=variables, check=False)
            install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
            subprocess.run(install, env=variables, check=True)
    found = find()
    if found is None:
        raise FileNotFoundError(f"a test needs the command {command}: install the package {package}")
    return found
